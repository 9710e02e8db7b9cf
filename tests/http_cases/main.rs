//! The conformance cases for HTTP caches, played against a service in virtual time.
//!
//! The cases are those of [cache-tests](https://github.com/http-tests/cache-tests), which tests
//! caches over real connections and takes a minute. Here the same cases are data ([`table`]). An
//! [`origin`] and a [`client`] replace those of the original, in this process and without
//! connections. The clock is advanced by hand, so all cases take a second. `tests/http_suite.sh`
//! runs the original through a gateway.
//!
//! The verdicts differ from the original's in two ways. Its client means to check that a field with
//! a value is absent, but looks in the wrong place. This is checked here. Some results are visible
//! only on a connection, and so not here: interim responses, and an `ETag` that Node.js writes as
//! UTF-8 (`conditional-etag-strong-respond-obs-text`).
//!
//! Passing all cases is not a goal in itself. [`accepted`] lists those that do not pass, with
//! reasons.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)]

mod accepted;
mod case;
mod client;
mod exchange;
mod field;
mod judge;
mod origin;
mod score;
mod table;
mod wire;

use std::{collections::HashMap, fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use larder::{
    CacheLayer,
    store::{Memory, Store},
    time::{ManualClock, Timestamp},
};
use tower::{Layer, Service};

use self::{
    case::{Kind, Suite},
    judge::Fault,
    origin::{Disconnected, Origin},
    score::Score,
};

/// July 2026, when the table was made. It is not a full second, because an origin's `Date` is
/// always a little early.
const START: Timestamp = Timestamp::from_millis(1_784_548_800_400);

/// Plays each case of `suites` against `service`, and returns the outcomes.
async fn play_all<'a, S, B>(
    suites: &'a [Suite],
    service: S,
    origin: &Origin,
    clock: &ManualClock,
    settled: impl AsyncFn(),
) -> HashMap<&'a str, Result<(), Fault>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Disconnected> + Clone,
    B: Body<Data = Bytes, Error: fmt::Display>,
{
    let mut outcomes = HashMap::new();
    let cases = score::cases(suites).filter(|case| !case.needs_a_connection);
    for (number, case) in cases.enumerate() {
        // The same length as the original's, on which some cases rely.
        let token = format!("{number:08x}-0000-4000-8000-000000000000");
        let outcome = client::play(case, &token, &service, origin, clock, &settled).await;
        outcomes.insert(&*case.id, outcome);
    }
    outcomes
}

/// Plays all cases against a shared layer over `store` that `rules` configures.
async fn play_cached<B: Store>(
    suites: &[Suite],
    store: B,
    rules: impl Fn(CacheLayer<B>) -> CacheLayer<B>,
) -> HashMap<&str, Result<(), Fault>> {
    let clock = ManualClock::new(START);
    let origin = Origin::new(clock.clone());
    let layer = rules(CacheLayer::shared(store).clock(clock.clone()));
    let service = layer.layer(origin.clone());
    play_all(suites, service, &origin, &clock, async || layer.idle().await).await
}

/// Configures a layer like a gateway's: the headers decide, and a stale response may be served if
/// the origin cannot be reached. The original tests this first, before it tests when it is
/// forbidden.
fn gateway<B: Store>(layer: CacheLayer<B>) -> CacheLayer<B> {
    layer
        .http_rules()
        .stale_if_error(Duration::from_secs(3600))
        .store_set_cookie(true)
        .reuse_post_for_get(true)
}

/// The score by section. Panics if a case fails that is not accepted, or if an accepted one passes.
#[track_caller]
fn judge(suites: &[Suite], outcomes: &HashMap<&str, Result<(), Fault>>) {
    let score = Score::new(suites, outcomes);
    println!("{score}");
    let differences = score.differences(accepted::ACCEPTED);
    assert!(
        differences.is_empty(),
        "{} differences from what tests/http_cases/accepted.rs accepts:\n  {}",
        differences.len(),
        differences.join("\n  "),
    );
}

#[tokio::test]
async fn the_http_rules_pass_what_they_should_over_memory() {
    let suites = table::suites();
    let outcomes = play_cached(&suites, Memory::default(), gateway).await;
    judge(&suites, &outcomes);
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn the_http_rules_pass_what_they_should_over_a_file() {
    let suites = table::suites();
    let store = larder::store::Redb::temporary().unwrap();
    judge(&suites, &play_cached(&suites, store, gateway).await);
}

/// Checks that the judge does not accept everything. Without a cache, only cases pass that forbid
/// reuse and depend on nothing.
#[tokio::test]
async fn without_a_cache_nothing_passes_but_what_forbids_one() {
    let suites = table::suites();
    let clock = ManualClock::new(START);
    let origin = Origin::new(clock.clone());
    let outcomes = play_all(&suites, origin.clone(), &origin, &clock, async || ()).await;
    let score = Score::new(&suites, &outcomes);
    assert_eq!(score.passed(Kind::Optimal), [""; 0]);
    assert_eq!(score.passed(Kind::Required), PASSED_WITHOUT_A_CACHE);
    let unasked = Fault::Failed("request 2 should have been conditional, and was not".into());
    assert_eq!(outcomes["cc-resp-no-cache-revalidate"], Err(unasked));
    let once = Fault::Setup("response 2 does not come from the cache".into());
    assert_eq!(outcomes["partial-use-headers"], Err(once));
}

/// The original reports the same when its client talks to its own server.
const PASSED_WITHOUT_A_CACHE: [&str; 22] = [
    "freshness-max-age-0",
    "freshness-max-age-0-expires",
    "freshness-max-age-negative",
    "freshness-max-age-single-quoted",
    "freshness-expires-present",
    "cc-resp-private-shared",
    "cc-resp-no-store",
    "cc-resp-no-store-case-insensitive",
    "cc-resp-no-store-fresh",
    "cc-resp-no-cache",
    "cc-resp-no-cache-case-insensitive",
    "heuristic-201-not_cached",
    "heuristic-202-not_cached",
    "heuristic-403-not_cached",
    "heuristic-502-not_cached",
    "heuristic-503-not_cached",
    "heuristic-504-not_cached",
    "heuristic-599-not_cached",
    "vary-star",
    "cdn-private",
    "cdn-no-cache",
    "cdn-no-store-cc-fresh",
];

/// A cache that ignores all response headers must fail.
#[tokio::test]
async fn by_time_alone_most_cases_fail_and_say_how() {
    let suites = table::suites();
    let hour = Duration::from_secs(3600);
    let outcomes = play_cached(&suites, Memory::default(), |layer| layer.expire_after(hour)).await;
    let score = Score::new(&suites, &outcomes);
    let verdict = |id| score.verdict(id).to_string();
    assert_eq!(verdict("cc-resp-no-store"), "response 2 comes from the cache");
    assert_eq!(verdict("cc-resp-no-store-fresh"), "depends on cc-resp-no-store");
    assert_eq!(verdict("heuristic-404-cached"), "response 2 does not come from the cache");
    assert_eq!(verdict("vary-star"), "passed");
    assert_eq!(verdict("interim-103"), "needs a connection");
    assert!(score.differences(&[("cc-resp-no-store", "")]).len() > 200);
}
