//! Refreshes in the background that fail: somebody is told, what is stored stays, and no try lasts for ever.

use std::{
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use larder::{
    BoxError, CacheLayer, Event, Outcome, StaleLimit, Stored,
    status::{Miss, RefreshError, RefreshFailure, Refusal, Stale},
    store::{ErrorKind, Memory, Store},
};
use tokio::time::Instant;

use crate::support::{
    Broken, Double, Faulty, Op, Stand, TestBody, boxed, channel, frames, line, ok, status, tagged,
    url,
};

const SECOND: Duration = Duration::from_secs(1);
const STALE: Outcome = Outcome::Stale(Stale::WhileRevalidate);

type Told = Arc<Mutex<Vec<RefreshFailure>>>;

/// A hook that keeps the failures.
fn telling<B>(layer: CacheLayer<B>, told: &Told) -> CacheLayer<B> {
    let told = told.clone();
    layer.add_event_hook(move |event| {
        if let Event::RefreshFailed { failure, .. } = event {
            told.lock().unwrap().push(RefreshFailure::clone(failure));
        }
    })
}

/// A cache whose entry for `GET /` has expired and is served for ever, and what its hook was told.
async fn expired<B: Store>(
    store: B,
    answer: impl Fn(Request<Bytes>, usize) -> Result<Response<TestBody>, Broken> + Send + Sync + 'static,
) -> (Stand<B>, Told) {
    let told = Told::default();
    let inner = Double::fallible(move |request, call| match call {
        1 => Ok(ok("old")),
        _ => answer(request, call),
    });
    let stand = Stand::over(store, inner).with(|layer| {
        let layer = layer.expire_after(SECOND).max_body(100);
        telling(layer.stale_while_revalidate(StaleLimit::Unlimited), &told)
    });
    stand.get("/").await;
    stand.clock.advance(SECOND);
    (stand, told)
}

/// A request that is answered stale, and the refresh that it begins.
async fn refresh<B: Store>(stand: &Stand<B>) {
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (STALE, "old"));
    stand.layer.idle().await;
}

// ===== Each failure =====

fn panics() -> TestBody {
    let panic = stream::poll_fn(|_| -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        panic!("the body panics, as the test wants it to")
    });
    boxed(StreamBody::new(panic))
}

fn answer(path: RefreshError) -> Result<Response<TestBody>, Broken> {
    match path {
        RefreshError::Call => Err(Broken("down")),
        RefreshError::Status(code) => Ok(status(code.as_u16())),
        RefreshError::Body => Ok(Response::new(frames(["new"], Some(Err("cut".into()))))),
        RefreshError::Panicked => panic!("the inner service panics, as the test wants it to"),
        RefreshError::NotStored(Refusal::Status) => Ok(status(400)),
        RefreshError::NotStored(Refusal::TooLarge) => Ok(Response::new(frames(["long"; 30], None))),
        RefreshError::NotStored(Refusal::Length) => {
            Ok(line(Response::new(frames(["ab"], None)), "content-length", "3"))
        }
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn each_failure_is_told_and_leaves_the_entry() {
    let codes = [500, 502, 503, 504].map(|code| RefreshError::Status(code.try_into().unwrap()));
    for reason in codes.into_iter().chain([
        RefreshError::Call,
        RefreshError::Body,
        RefreshError::Panicked,
        RefreshError::NotStored(Refusal::Status),
        RefreshError::NotStored(Refusal::TooLarge),
        RefreshError::NotStored(Refusal::Length),
    ]) {
        let (stand, told) = expired(Memory::default(), move |_, _| answer(reason)).await;
        refresh(&stand).await;
        let key = stand.get("/").await.cache.key().unwrap();
        let expected = [(key, url("/"), reason)];
        let told: Vec<_> = told
            .lock()
            .unwrap()
            .iter()
            .map(|failure| (failure.key, failure.url.clone(), failure.reason))
            .collect();
        assert_eq!(told, expected);
        let stats = stand.layer.stats();
        assert_eq!((stats.refreshes, stats.failed_refreshes, stats.in_flight), (1, 1, 0));
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (STALE, "old"), "{reason}");
        assert_eq!((stand.len().await, stand.calls()), (1, 2), "{reason}");
    }
}

#[tokio::test]
async fn a_body_that_panics_is_a_failure_like_any() {
    let (stand, told) = expired(Memory::default(), |_, call| match call {
        2 => Ok(Response::new(panics())),
        _ => Ok(ok("new")),
    })
    .await;
    refresh(&stand).await;
    assert_eq!(told.lock().unwrap()[0].reason, RefreshError::Panicked);
    assert_eq!((stand.layer.stats().failed_refreshes, stand.layer.stats().in_flight), (1, 0));
    stand.clock.advance(SECOND);
    refresh(&stand).await;
    assert_eq!(stand.get("/").await.text(), "new");
}

#[tokio::test]
async fn a_store_that_fails_is_a_failure_to_refresh() {
    for op in [Op::Put, Op::Write, Op::Finish, Op::Update] {
        let store = Faulty::new(Memory::default());
        let inner = |request, _| Ok(tagged(&request, "\"a\"", "old"));
        let (stand, told) = expired(store.clone(), inner).await;
        if op == Op::Update {
            // The entry gets its tag, and expires again.
            refresh(&stand).await;
            stand.clock.advance(SECOND);
        }
        store.fail(op, ErrorKind::Full);
        refresh(&stand).await;
        let reason = RefreshError::NotStored(Refusal::StoreFailed(ErrorKind::Full));
        assert_eq!(told.lock().unwrap()[0].reason, reason, "{op:?}");
        assert_eq!(stand.layer.stats().store_errors, 1);
        store.heal();
        stand.clock.advance(SECOND);
        refresh(&stand).await;
        assert_eq!(stand.get("/").await.outcome(), Outcome::Hit, "{op:?}");
    }
}

#[tokio::test]
async fn a_cookie_that_a_shared_cache_does_not_keep_ends_the_response() {
    let stand = Stand::shared(Double::new(|_, call| match call {
        1 => ok("old"),
        _ => line(ok("new"), "set-cookie", "id=1"),
    }))
    .with(|layer| layer.expire_after(SECOND).stale_while_revalidate(SECOND * 60));
    stand.get("/").await;
    stand.clock.advance(SECOND);
    refresh(&stand).await;
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Absent), "new"));
    let stats = stand.layer.stats();
    assert_eq!((stats.refreshes, stats.failed_refreshes, stats.stale_hits), (1, 1, 1));
}

#[tokio::test]
async fn a_hook_that_panics_harms_nobody() {
    let (stand, _) = expired(Memory::default(), |_, call| match call {
        2 => Err(Broken("down")),
        _ => Ok(ok("new")),
    })
    .await;
    let stand = stand.with(|layer| layer.add_event_hook(|_| panic!("as the test wants it to")));
    refresh(&stand).await;
    assert_eq!((stand.layer.stats().failed_refreshes, stand.layer.stats().in_flight), (1, 0));
    stand.clock.advance(SECOND);
    refresh(&stand).await;
    assert_eq!(stand.get("/").await.text(), "new");
}

/// What is known to be gone is not served on.
#[tokio::test]
async fn what_is_gone_is_removed() {
    for code in [404, 410] {
        let (stand, _) = expired(Memory::default(), move |_, _| Ok(status(code))).await;
        refresh(&stand).await;
        assert_eq!(stand.len().await, 0, "{code}");
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.status.as_u16()), (Outcome::Miss(Miss::Absent), code));
        assert_eq!(reply.stored(), Stored::No(Refusal::Status));
    }
}

// ===== Time =====

#[tokio::test(start_paused = true)]
async fn a_refresh_has_a_time_limit_of_its_own() {
    for (limit, seconds) in [(None, 30), (Some(SECOND * 5), 5)] {
        let (inner, gate) = Double::counting().gated();
        let told = Told::default();
        let stand = Stand::new(inner).with(|layer| {
            let layer = layer.expire_after(SECOND).stale_while_revalidate(StaleLimit::Unlimited);
            let layer = telling(layer, &told);
            match limit {
                Some(limit) => layer.refresh_timeout(limit).unwrap(),
                None => layer,
            }
        });
        gate.open(1);
        stand.get("/").await;
        stand.clock.advance(SECOND);
        let begun = Instant::now();
        assert_eq!(stand.get("/").await.outcome(), STALE);
        stand.layer.idle().await;
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert_eq!(told.lock().unwrap()[0].reason, RefreshError::TimedOut);
        assert_eq!(stand.layer.stats().in_flight, 0);
        stand.clock.advance(SECOND);
        gate.open(1);
        assert_eq!(stand.get("/").await.text(), "1");
        stand.layer.idle().await;
        assert_eq!(stand.get("/").await.text(), "3");
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_one_for_head_and_body() {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let (stand, told) = expired(Memory::default(), move |_, _| {
        Ok(Response::new(body.lock().unwrap().take().unwrap()))
    })
    .await;
    sender.send("never ends");
    let begun = Instant::now();
    refresh(&stand).await;
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(told.lock().unwrap()[0].reason, RefreshError::TimedOut);
    assert!(sender.is_closed(), "the call is dropped");
    assert_eq!((stand.len().await, stand.layer.stats().in_flight), (1, 0));
}
