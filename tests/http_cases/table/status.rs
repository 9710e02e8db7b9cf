//! Statuses with explicit freshness. Each of them may be stored, and none may be reused when stale.

use crate::{
    case::{Case, Suite, optimal, required},
    exchange::{Exchange, fresh, get, stale},
    field::cc,
};

const STATUSES: [u16; 18] =
    [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599];

pub(crate) fn suite() -> Suite {
    let mut cases: Vec<Case> = STATUSES.into_iter().flat_map(fresh_and_stale).collect();
    cases.push(
        required(
            "status-599-must-understand",
            "must not reuse an unknown status with `no-store, must-understand`",
        )
        .depends_on("status-599-fresh")
        .plays([
            get().status(599).answers([cc("max-age=3600, no-store, must-understand")]).setup(),
            get().not_cached(),
        ]),
    );
    cases.push(
        optimal(
            "status-200-must-understand",
            "reuses a known status with `no-store, must-understand`",
        )
        .depends_on("status-200-fresh")
        .depends_on("cc-resp-no-store-fresh")
        .plays([
            get().status(200).answers([cc("max-age=3600, no-store, must-understand")]).setup(),
            get().cached(),
        ]),
    );
    Suite { id: "status", cases }
}

fn fresh_and_stale(status: u16) -> [Case; 2] {
    let with_text = |exchange: Exchange| match status {
        204 => exchange,
        _ => exchange.text("aaaaaaaaaaaaaaa"),
    };
    [
        optimal(format!("status-{status}-fresh"), format!("reuses a fresh `{status}`"))
            .depends_on("freshness-max-age")
            .plays([with_text(fresh().status(status)), with_text(get().status(status).cached())]),
        required(format!("status-{status}-stale"), format!("must not reuse a stale `{status}`"))
            .depends_on(format!("status-{status}-fresh"))
            .plays([with_text(stale().status(status)), with_text(get().not_cached())]),
    ]
}
