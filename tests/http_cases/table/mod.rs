//! The cases of [cache-tests](https://github.com/http-tests/cache-tests), as of July 2026
//! (b55b8bd). Each of its files has one here, with the same ids. See `LICENSE-cache-tests` beside
//! this file.
//!
//! If the original loops over a list, its file here does too. The names of cases are shortened.

mod age_parse;
mod auth;
mod cc_freshness;
mod cc_parse;
mod cc_request;
mod cc_response;
mod cdn_cache_control;
mod conditional_etag;
mod conditional_lm;
mod expires;
mod expires_parse;
mod headers;
mod heuristic;
mod interim;
mod invalidation;
mod method;
mod names;
mod other;
mod partial;
mod pragma;
mod stale;
mod status;
mod update304;
mod update_head;
mod vary;
mod vary_parse;

use crate::case::Suite;

/// Cases of the original that only a browser's cache can play. They are left out.
pub(crate) const BROWSER_ONLY: [&str; 5] = [
    "freshness-max-age-s-maxage-private",
    "freshness-max-age-s-maxage-private-multiple",
    "cc-resp-private-private",
    "cc-resp-immutable-fresh",
    "cc-resp-immutable-stale",
];

/// All suites, in the original's order.
pub(crate) fn suites() -> Vec<Suite> {
    vec![
        cc_freshness::suite(),
        cc_parse::suite(),
        age_parse::suite(),
        expires::suite(),
        expires_parse::suite(),
        cc_response::suite(),
        stale::suite(),
        heuristic::suite(),
        method::suite(),
        status::suite(),
        cc_request::suite(),
        pragma::suite(),
        vary::suite(),
        vary_parse::suite(),
        conditional_lm::suite(),
        conditional_etag::suite(),
        headers::suite(),
        update304::suite(),
        update_head::suite(),
        invalidation::suite(),
        partial::suite(),
        auth::suite(),
        other::suite(),
        cdn_cache_control::suite(),
        interim::suite(),
    ]
}

/// Fifteen letters from `seed`.
fn letters(seed: &str) -> String {
    let step: usize = seed.bytes().map(usize::from).sum();
    (0..15).map(|at| char::from(b'a' + (at * step % 26) as u8)).collect()
}
