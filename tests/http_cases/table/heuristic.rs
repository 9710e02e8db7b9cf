//! Heuristic freshness, from `Last-Modified`.

use crate::{
    case::{Case, Suite, check, optimal, required},
    exchange::get,
    field::{cc, date, last_modified},
};

const TEXT: &str = "aaaaaaaaaaaaaaa";

pub(crate) fn suite() -> Suite {
    let kept = [200, 203, 204, 404, 405, 410, 414, 501].map(is_kept);
    let not_kept = [201, 202, 403, 502, 503, 504, 599].map(is_not_kept);
    let public = optimal(
        "heuristic-599-cached",
        "reuses a `599` with `Last-Modified` where `Cache-Control: public` is present",
    )
    .plays([
        get()
            .status(599)
            .answers([last_modified(-86_400), date(0), cc("public")])
            .text(TEXT)
            .setup(),
        get().status(599).text(TEXT).cached(),
    ]);
    let ages = [5, 10, 30, 60, 300, 600, 1200, 1800, 3600, 12 * 3600, 24 * 3600].map(is_fresh);
    let cases = kept.into_iter().chain(not_kept).chain([public]).chain(ages).collect();
    Suite { id: "heuristic", cases }
}

fn is_kept(status: u16) -> Case {
    let name = format!("reuses a `{status}` with `Last-Modified`");
    let answer = get().status(status).answers([last_modified(-86_400), date(0)]).setup();
    let again = get().status(status).cached();
    let case = optimal(format!("heuristic-{status}-cached"), name);
    match status {
        204 => case.plays([answer, again]),
        _ => case.plays([answer.text(TEXT), again.text(TEXT)]),
    }
}

fn is_not_kept(status: u16) -> Case {
    let name = format!("must not reuse a `{status}` without explicit freshness");
    required(format!("heuristic-{status}-not_cached"), name).plays([
        get().status(status).answers([last_modified(-86_400), date(0)]).text(TEXT).setup(),
        get().status(status).text(TEXT).not_cached(),
    ])
}

fn is_fresh(seconds: i64) -> Case {
    let name = format!("does a cache take a response modified {seconds} s ago for fresh?");
    check(format!("heuristic-delta-{seconds}"), name)
        .plays([get().answers([last_modified(-seconds), date(0)]).setup().pauses(), get().cached()])
}
