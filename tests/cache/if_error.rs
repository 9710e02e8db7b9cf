//! Where the origin fails, what has expired stands in for as long as that is allowed.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use http::{Request, Response, StatusCode};
use larder::{
    BoxError, CacheLayer, CacheOptions, Outcome, StaleLimit, Stored,
    status::{Miss, Refusal, Stale},
    store::Memory,
    time::ManualClock,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, timeout::error::Elapsed};

use crate::support::{
    Broken, Double, Reply, Sender, Stand, T0, TestBody, channel, chunk, empty, frames, get, line,
    ok, status, tagged, with,
};

const SECOND: Duration = Duration::from_secs(1);
const DOWN: Broken = Broken("down");
const STALE: Outcome = Outcome::Stale(Stale::IfError);
const NEW: fn() -> CacheOptions = CacheOptions::new;

/// A cache that keeps for ten seconds, and stale for five more, over an origin that answers once and then as it is told.
async fn expired(
    answer: impl Fn(usize) -> Result<Response<TestBody>, Broken> + Send + Sync + 'static,
) -> Stand {
    let stand = Stand::new(Double::fallible(move |_, call| match call {
        1 => Ok(ok("old")),
        _ => answer(call),
    }))
    .with(|layer| layer.expire_after(SECOND * 10).stale_if_error(SECOND * 5));
    stand.get("/").await;
    stand.clock.advance(SECOND * 10);
    stand
}

#[track_caller]
fn is_stale(reply: &Reply) {
    assert_eq!((reply.outcome(), reply.status), (STALE, StatusCode::OK));
    assert_eq!((reply.text(), reply.stored()), ("old", Stored::Yes));
}

// ===== What is a failure =====

#[tokio::test]
async fn an_error_is_answered_with_what_has_expired_until_the_limit() {
    let stand = expired(|_| Err(DOWN)).await;
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    stand.clock.advance(SECOND * 5 - Duration::from_millis(1));
    let reply = stand.get("/").await;
    is_stale(&reply);
    assert_eq!(reply.cache.age(), Some(SECOND * 15 - Duration::from_millis(1)));
    assert_eq!(reply.cache.expires_at(), Some(T0.saturating_add(SECOND * 10).into()));
    assert!(reply.is_from_store() && !reply.is_hit() && !reply.cache.is_coalesced());
    let field = "larder; fwd=stale; ttl=-4; detail=stale-if-error";
    assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
    stand.clock.advance(Duration::from_millis(1));
    assert_eq!(stand.error(get("/")).await, DOWN, "the very error");
    let stats = stand.layer.stats();
    assert_eq!((stats.stale_if_error, stats.misses, stats.calls, stats.in_flight), (1, 2, 3, 0));
    assert_eq!((stand.calls(), stand.len().await), (3, 1));
}

#[tokio::test]
async fn without_a_limit_a_failure_is_one() {
    let stand = expired(|_| Err(DOWN)).await.with(|layer| layer.stale_if_error(StaleLimit::None));
    assert_eq!(stand.error(get("/")).await, DOWN);
}

#[tokio::test]
async fn the_statuses_of_a_failing_server_are_failures_and_others_are_answers() {
    for code in 400..600 {
        let stand = expired(move |_| Ok(status(code))).await;
        let reply = stand.get("/").await;
        if [500, 502, 503, 504].contains(&code) {
            is_stale(&reply);
        } else {
            assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired), "{code}");
            assert_eq!(reply.status.as_u16(), code);
        }
    }
}

#[tokio::test]
async fn which_statuses_are_failures_can_be_said() {
    let chosen = [StatusCode::TOO_MANY_REQUESTS, StatusCode::NOT_FOUND];
    for (code, is_failure) in [(429, true), (404, true), (500, false), (503, false)] {
        let stand = expired(move |_| Ok(status(code))).await;
        let stand = stand.with(|layer| layer.error_statuses(chosen).unwrap());
        let reply = stand.get("/").await;
        assert_eq!(reply.outcome() == STALE, is_failure, "{code}");
    }
}

#[tokio::test]
async fn beyond_the_limit_a_failing_response_comes_as_it_is() {
    let stand = expired(|_| Ok(line(status(503), "retry-after", "7"))).await;
    stand.clock.advance(SECOND * 5);
    let reply = stand.get("/").await;
    assert_eq!((reply.status.as_u16(), reply.stored()), (503, Stored::No(Refusal::Status)));
    assert_eq!(reply.headers["retry-after"], "7");
    assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired));
}

/// The error is a box here, as tower's own layers make it.
#[tokio::test(start_paused = true)]
async fn a_time_limit_of_an_inner_layer_is_an_error_like_any() {
    let clock = ManualClock::new(T0);
    let layer = CacheLayer::private(Memory::default())
        .clock(clock.clone())
        .expire_after(SECOND * 10)
        .stale_if_error(SECOND * 5);
    let (inner, gate) = Double::new(|_, _| ok("old")).gated();
    let slow = ServiceBuilder::new().layer(layer).timeout(Duration::from_millis(50)).service(inner);
    let ask = async || slow.clone().oneshot(get("/").body(empty()).unwrap()).await;
    gate.open(1);
    Reply::read(ask().await.unwrap()).await;
    clock.advance(SECOND * 10);
    is_stale(&Reply::read(ask().await.unwrap()).await);
    clock.advance(SECOND * 5);
    let error: BoxError = ask().await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
}

#[derive(Clone)]
struct NeverReady;

impl<B> Service<Request<B>> for NeverReady {
    type Response = Response<TestBody>;
    type Error = Broken;
    type Future = std::future::Ready<Result<Response<TestBody>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Err(DOWN))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        unreachable!("it is not ready")
    }
}

#[tokio::test]
async fn an_inner_service_that_is_not_ready_has_failed() {
    let stand = expired(|_| Err(DOWN)).await;
    let request = get("/").body(empty()).unwrap();
    is_stale(&Reply::read(stand.layer.layer(NeverReady).oneshot(request).await.unwrap()).await);
}

#[tokio::test]
async fn no_runtime_is_needed() {
    let stand = expired(|_| Err(DOWN)).await;
    let answer = std::thread::spawn(move || stand.get("/").now_or_never());
    is_stale(&answer.join().unwrap().expect("nothing to wait for"));
}

// ===== A body that breaks off =====

#[tokio::test]
async fn a_body_that_breaks_off_at_once_is_a_failure() {
    for chunks in [&[][..], &["new"], &["ne", "w"]] {
        let stand = expired(move |_| {
            Ok(Response::new(frames(chunks.iter().copied(), Some(Err("cut".into())))))
        })
        .await;
        is_stale(&stand.get("/").await);
        // Where nothing stands in, the caller gets what there is of it, and the error.
        let reply = stand.ask(with(NEW().stale_if_error(StaleLimit::None))).await;
        assert_eq!((&reply.body[..], reply.error.is_some()), (chunks.concat().as_bytes(), true));
        assert_eq!(reply.stored(), Stored::No(Refusal::BodyFailed));
        is_stale(&stand.get("/").await);
    }
}

fn streaming() -> (Sender, impl Fn(usize) -> Result<Response<TestBody>, Broken>) {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    (sender, move |_| Ok(Response::new(body.lock().unwrap().take().unwrap())))
}

#[tokio::test]
async fn a_body_that_breaks_off_before_its_first_chunk_is_a_failure_whenever_that_is() {
    let (sender, answer) = streaming();
    let stand = expired(answer).await;
    let mut ask = Box::pin(stand.get("/"));
    assert!((&mut ask).now_or_never().is_none(), "the head alone proves nothing");
    sender.fail("cut");
    is_stale(&ask.await);
}

#[tokio::test]
async fn a_body_that_breaks_off_later_is_the_callers_and_leaves_the_entry() {
    let (sender, answer) = streaming();
    let stand = expired(answer).await;
    sender.send("ne");
    let mut response = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(chunk(response.body_mut()).await.unwrap(), "ne");
    sender.fail("cut");
    let reply = Reply::read(response).await;
    assert!(reply.error.is_some() && reply.stored() == Stored::No(Refusal::BodyFailed));
    let reply = stand.ask(with(NEW().only_if_cached(true))).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Stale(Stale::OnlyIfCached), "old"));
}

/// What was read to see whether the body holds is not lost.
#[tokio::test]
async fn a_body_that_holds_arrives_whole() {
    let (sender, answer) = streaming();
    let stand = expired(answer).await;
    sender.send("one ");
    sender.send("two ");
    let response = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
    sender.send("three");
    drop(sender);
    let reply = Reply::read(response).await;
    assert_eq!((reply.text(), reply.stored()), ("one two three", Stored::Yes));
    assert_eq!(stand.get("/").await.text(), "one two three");
}

// ===== Who gets it =====

#[tokio::test]
async fn a_request_has_its_own_limit() {
    let stand = expired(|_| Err(DOWN)).await;
    assert_eq!(stand.error(with(NEW().stale_if_error(StaleLimit::None))).await, DOWN);
    stand.clock.advance(SECOND * 1000);
    assert_eq!(stand.error(get("/")).await, DOWN);
    for limit in [StaleLimit::Unlimited, StaleLimit::Within(SECOND * 1001)] {
        is_stale(&stand.ask(with(NEW().stale_if_error(limit))).await);
    }
}

#[tokio::test]
async fn who_forces_a_refresh_gets_the_failure_as_it_is() {
    let stand = expired(|call| if call == 2 { Err(DOWN) } else { Ok(status(503)) }).await;
    assert_eq!(stand.error(with(NEW().force_refresh(true))).await, DOWN);
    let reply = stand.ask(with(NEW().force_refresh(true))).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    is_stale(&stand.ask(with(NEW().refresh(true))).await);
}

#[tokio::test]
async fn a_fresh_response_is_served_if_a_refresh_fails() {
    let stand = expired(|_| Err(DOWN)).await;
    stand.clock.set(T0);
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    let reply = stand.ask(with(NEW().refresh(true))).await;
    is_stale(&reply);
    let field = "larder; fwd=request; ttl=10; detail=stale-if-error";
    assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
}

#[tokio::test]
async fn those_behind_a_call_that_fails_do_not_call_again() {
    let (inner, gate) = Double::fallible(|_, call| match call {
        1 => Ok(ok("old")),
        _ => Err(DOWN),
    })
    .gated();
    let stand =
        Stand::new(inner).with(|layer| layer.expire_after(SECOND).stale_if_error(SECOND * 5));
    gate.open(1);
    stand.get("/").await;
    stand.clock.advance(SECOND);
    let mut asks: Vec<_> = (0..1000).map(|_| Box::pin(stand.get("/"))).collect();
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()));
    gate.open(1000);
    join_all(asks).await.iter().for_each(is_stale);
    assert_eq!((stand.calls(), stand.layer.stats().stale_if_error), (2, 1000));
}

/// Nothing has to be stored for it.
#[tokio::test]
async fn a_reader_and_who_does_not_store_get_it_as_well() {
    let stand = expired(|_| Err(DOWN)).await;
    is_stale(&stand.ask(with(NEW().no_store(true))).await);
    let reader = stand.clone_with(|layer| layer.read_only(true));
    is_stale(&reader.get("/").await);
    stand.layer.set_enabled(false);
    assert_eq!(stand.error(get("/")).await, DOWN);
}

#[tokio::test]
async fn the_origin_is_asked_each_time_and_its_recovery_seen_at_once() {
    let stand = expired(|call| if call < 4 { Err(DOWN) } else { Ok(ok("new")) }).await;
    is_stale(&stand.get("/").await);
    is_stale(&stand.get("/").await);
    assert_eq!(stand.get("/").await.text(), "new");
}

/// The question whether it still holds fails as well.
#[tokio::test]
async fn a_revalidation_that_fails_is_a_failure() {
    let stand = Stand::new(Double::fallible(|request, call| match call {
        2 => Err(DOWN),
        3 => Ok(status(502)),
        _ => Ok(tagged(&request, "\"a\"", "old")),
    }))
    .with(|layer| layer.expire_after(SECOND).stale_if_error(SECOND * 5));
    stand.get("/").await;
    stand.clock.advance(SECOND);
    is_stale(&stand.get("/").await);
    is_stale(&stand.get("/").await);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated);
    let reply = stand.ask(get("/").header("if-none-match", "\"a\"")).await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
}
