//! Background refreshes that fail. The failure is reported, the stored response stays, and each
//! attempt has a time limit.

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

type Failures = Arc<Mutex<Vec<RefreshFailure>>>;

/// Adds a hook that records the failures.
fn recording_failures<B>(layer: CacheLayer<B>, failures: &Failures) -> CacheLayer<B> {
    let failures = failures.clone();
    layer.add_event_hook(move |event| {
        if let Event::RefreshFailed { failure, .. } = event {
            failures.lock().unwrap().push(RefreshFailure::clone(failure));
        }
    })
}

/// A cache whose entry for `GET /` has expired and may be served stale without limit. Also returns
/// the failures that its hook records.
async fn expired<B: Store>(
    store: B,
    answer: impl Fn(Request<Bytes>, usize) -> Result<Response<TestBody>, Broken> + Send + Sync + 'static,
) -> (Stand<B>, Failures) {
    let failures = Failures::default();
    let inner = Double::fallible(move |request, call| match call {
        1 => Ok(ok("old")),
        _ => answer(request, call),
    });
    let stand = Stand::over(store, inner).with(|layer| {
        let layer = layer.expire_after(SECOND).max_body(100);
        recording_failures(layer.stale_while_revalidate(StaleLimit::Unlimited), &failures)
    });
    stand.get("/").await;
    stand.clock.advance(SECOND);
    (stand, failures)
}

/// Sends a request that is answered stale, and waits for the refresh that it starts.
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
async fn each_failure_is_reported_and_leaves_the_entry() {
    let codes = [500, 502, 503, 504].map(|code| RefreshError::Status(code.try_into().unwrap()));
    for reason in codes.into_iter().chain([
        RefreshError::Call,
        RefreshError::Body,
        RefreshError::Panicked,
        RefreshError::NotStored(Refusal::Status),
        RefreshError::NotStored(Refusal::TooLarge),
        RefreshError::NotStored(Refusal::Length),
    ]) {
        let (stand, failures) = expired(Memory::default(), move |_, _| answer(reason)).await;
        refresh(&stand).await;
        let key = stand.get("/").await.cache.key().unwrap();
        let expected = [(key, url("/"), reason)];
        let failures: Vec<_> = failures
            .lock()
            .unwrap()
            .iter()
            .map(|failure| (failure.key, failure.url.clone(), failure.reason))
            .collect();
        assert_eq!(failures, expected);
        let stats = stand.layer.stats();
        assert_eq!((stats.refreshes, stats.failed_refreshes, stats.in_flight), (1, 1, 0));
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (STALE, "old"), "{reason}");
        assert_eq!((stand.len().await, stand.calls()), (1, 2), "{reason}");
    }
}

#[tokio::test]
async fn panicking_body_is_a_failed_refresh() {
    let (stand, failures) = expired(Memory::default(), |_, call| match call {
        2 => Ok(Response::new(panics())),
        _ => Ok(ok("new")),
    })
    .await;
    refresh(&stand).await;
    assert_eq!(failures.lock().unwrap()[0].reason, RefreshError::Panicked);
    assert_eq!((stand.layer.stats().failed_refreshes, stand.layer.stats().in_flight), (1, 0));
    stand.clock.advance(SECOND);
    refresh(&stand).await;
    assert_eq!(stand.get("/").await.text(), "new");
}

#[tokio::test]
async fn failing_store_is_a_failed_refresh() {
    for op in [Op::Put, Op::Write, Op::Finish, Op::Update] {
        let store = Faulty::new(Memory::default());
        let inner = |request, _| Ok(tagged(&request, "\"a\"", "old"));
        let (stand, failures) = expired(store.clone(), inner).await;
        if op == Op::Update {
            // This refresh gives the entry its ETag. Then the entry expires again.
            refresh(&stand).await;
            stand.clock.advance(SECOND);
        }
        store.fail(op, ErrorKind::Full);
        refresh(&stand).await;
        let reason = RefreshError::NotStored(Refusal::StoreFailed(ErrorKind::Full));
        assert_eq!(failures.lock().unwrap()[0].reason, reason, "{op:?}");
        assert_eq!(stand.layer.stats().store_errors, 1);
        store.heal();
        stand.clock.advance(SECOND);
        refresh(&stand).await;
        assert_eq!(stand.get("/").await.outcome(), Outcome::Hit, "{op:?}");
    }
}

#[tokio::test]
async fn refresh_that_sets_a_cookie_removes_the_entry_of_a_shared_cache() {
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
async fn panicking_hook_does_not_affect_refreshes() {
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

/// The cache stops serving a response once the origin says that it is gone.
#[tokio::test]
async fn entry_is_removed_when_the_origin_answers_404_or_410() {
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
async fn refresh_has_its_own_time_limit() {
    for (limit, seconds) in [(None, 30), (Some(SECOND * 5), 5)] {
        let (inner, gate) = Double::counting().gated();
        let failures = Failures::default();
        let stand = Stand::new(inner).with(|layer| {
            let layer = layer.expire_after(SECOND).stale_while_revalidate(StaleLimit::Unlimited);
            let layer = recording_failures(layer, &failures);
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
        assert_eq!(failures.lock().unwrap()[0].reason, RefreshError::TimedOut);
        assert_eq!(stand.layer.stats().in_flight, 0);
        stand.clock.advance(SECOND);
        gate.open(1);
        assert_eq!(stand.get("/").await.text(), "1");
        stand.layer.idle().await;
        assert_eq!(stand.get("/").await.text(), "3");
    }
}

#[tokio::test(start_paused = true)]
async fn time_limit_covers_head_and_body_together() {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let (stand, failures) = expired(Memory::default(), move |_, _| {
        Ok(Response::new(body.lock().unwrap().take().unwrap()))
    })
    .await;
    sender.send("never ends");
    let begun = Instant::now();
    refresh(&stand).await;
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(failures.lock().unwrap()[0].reason, RefreshError::TimedOut);
    assert!(sender.is_closed(), "the call is dropped");
    assert_eq!((stand.len().await, stand.layer.stats().in_flight), (1, 0));
}
