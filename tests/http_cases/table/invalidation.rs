//! Unsafe methods, and the responses that they invalidate.

use crate::{
    case::{Case, Suite, check, optimal, required},
    exchange::{Exchange, fresh, get, method},
    field::{beneath, cc, date, last_modified},
};

const METHODS: [&str; 4] = ["POST", "PUT", "DELETE", "M-SEARCH"];

pub(crate) fn suite() -> Suite {
    let own = METHODS.into_iter().flat_map(own_url);
    let cases = own
        .chain(METHODS.map(|name| named_url(name, "location", "Location", "location_target")))
        .chain(
            METHODS
                .map(|name| named_url(name, "cl", "Content-Location", "content_location_target")),
        )
        .collect();
    Suite { id: "invalidation", cases }
}

fn own_url(name: &'static str) -> [Case; 2] {
    let unsafely = || method(name).sends_text("abc").setup();
    [
        required(
            format!("invalidate-{name}"),
            format!("must invalidate the URL after a successful `{name}`"),
        )
        .depends_on("freshness-max-age")
        .plays([fresh(), unsafely(), get().not_cached()]),
        optimal(
            format!("invalidate-{name}-failed"),
            format!("does not invalidate the URL after a failed `{name}`"),
        )
        .depends_on(format!("invalidate-{name}"))
        .plays([fresh(), unsafely().status(500), get().cached()]),
    ]
}

fn named_url(name: &'static str, id: &str, by: &str, file: &'static str) -> Case {
    let target = || get().file(file).answers([cc("max-age=100000"), last_modified(0), date(0)]);
    let unsafely: Exchange = method(name)
        .sends_text("abc")
        .answers([
            beneath("Location", "location_target"),
            beneath("Content-Location", "content_location_target"),
        ])
        .setup();
    check(
        format!("invalidate-{name}-{id}"),
        format!("does a cache invalidate the `{by}` of a successful `{name}`?"),
    )
    .depends_on(format!("invalidate-{name}"))
    .plays([target().setup(), unsafely, target().not_cached()])
}
