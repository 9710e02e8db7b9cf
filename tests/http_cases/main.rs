//! The field's conformance cases, played against a service in virtual time.
//!
//! The cases are those of [cache-tests](https://github.com/http-tests/cache-tests), which judges the caches of the
//! field over real connections, and takes a minute. Here the same cases are data ([`table`]), an [`origin`] and a
//! [`client`] do in this process what the original's do over connections, and the clock goes forward when it is told to:
//! all of them take a second or two. `tests/http_suite.sh` runs the original itself, through a gateway.
//!
//! Passing them all is no aim of itself: [`accepted`] says which are not passed, and why.

#![cfg(all(feature = "memory", feature = "tokio"))]
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

use std::{collections::HashMap, fmt};

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

/// July 2026, when the table was made. Not on a full second: an origin's `Date` is always a little early.
const START: Timestamp = Timestamp::from_millis(1_784_548_800_400);

/// What playing each case of `suites` against `service` comes to.
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
        // As long as the original's, which some cases count on.
        let token = format!("{number:08x}-0000-4000-8000-000000000000");
        let outcome = client::play(case, &token, &service, origin, clock, &settled).await;
        outcomes.insert(&*case.id, outcome);
    }
    outcomes
}

/// What the layer that `rules` makes of a shared one over `store` comes to.
async fn play_cached<'a, B: Store>(
    suites: &'a [Suite],
    store: B,
    rules: impl Fn(CacheLayer<B>) -> CacheLayer<B>,
) -> HashMap<&'a str, Result<(), Fault>> {
    let clock = ManualClock::new(START);
    let origin = Origin::new(clock.clone());
    let layer = rules(CacheLayer::shared(store).clock(clock.clone()));
    let service = layer.layer(origin.clone());
    play_all(suites, service, &origin, &clock, async || layer.idle().await).await
}

#[tokio::test]
async fn without_a_cache_nothing_passes_but_what_forbids_one() {
    let suites = table::suites();
    let clock = ManualClock::new(START);
    let origin = Origin::new(clock.clone());
    let outcomes = play_all(&suites, origin.clone(), &origin, &clock, async || ()).await;
    let score = Score::new(&suites, &outcomes);
    println!("{score}");
    for (id, o) in {
        let mut v: Vec<_> = outcomes.iter().collect();
        v.sort_by_key(|x| *x.0);
        v
    } {
        println!("@@ {id}\t{}\t{:?}", score.verdict(id), o);
    }
    assert_eq!(score.passed(Kind::Optimal), [""; 0]);
    assert_eq!(score.passed(Kind::Required).len(), 22);
}
#[tokio::test]
async fn by_time_alone() {
    let suites = table::suites();
    let outcomes = play_cached(&suites, Memory::default(), |layer| {
        layer.expire_after(std::time::Duration::from_secs(3600))
    })
    .await;
    let score = Score::new(&suites, &outcomes);
    println!("{score}");
    println!("{:#?}", score.differences(accepted::ACCEPTED));
}
