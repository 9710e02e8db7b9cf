//! If the origin fails, a stale response is served for as long as `stale_if_error` allows.

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

/// A cache with an expired response to `GET /`. Responses are fresh for ten seconds, and may be
/// served stale for five more. The origin's first response is `old`. Later calls get `answer`.
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
fn assert_stale_if_error(reply: &Reply) {
    assert_eq!((reply.outcome(), reply.status), (STALE, StatusCode::OK));
    assert_eq!((reply.text(), reply.stored()), ("old", Stored::Yes));
}

// ===== What is a failure =====

#[tokio::test]
async fn stale_response_is_served_for_an_error_until_the_limit() {
    let stand = expired(|_| Err(DOWN)).await;
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    stand.clock.advance(SECOND * 5 - Duration::from_millis(1));
    let reply = stand.get("/").await;
    assert_stale_if_error(&reply);
    assert_eq!(reply.cache.age(), Some(SECOND * 15 - Duration::from_millis(1)));
    assert_eq!(reply.cache.expires_at(), Some(T0.saturating_add(SECOND * 10).into()));
    assert!(reply.is_from_store() && !reply.is_hit() && !reply.cache.is_coalesced());
    let field = "larder; fwd=stale; ttl=-4; detail=stale-if-error";
    assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
    stand.clock.advance(Duration::from_millis(1));
    assert_eq!(stand.error(get("/")).await, DOWN, "the error itself");
    let stats = stand.layer.stats();
    assert_eq!((stats.stale_if_error, stats.misses, stats.calls, stats.in_flight), (1, 2, 3, 0));
    assert_eq!((stand.calls(), stand.len().await), (3, 1));
}

#[tokio::test]
async fn without_a_limit_the_error_is_returned() {
    let stand = expired(|_| Err(DOWN)).await.with(|layer| layer.stale_if_error(StaleLimit::None));
    assert_eq!(stand.error(get("/")).await, DOWN);
}

#[tokio::test]
async fn only_statuses_of_a_failing_server_are_failures() {
    for code in 400..600 {
        let stand = expired(move |_| Ok(status(code))).await;
        let reply = stand.get("/").await;
        if [500, 502, 503, 504].contains(&code) {
            assert_stale_if_error(&reply);
        } else {
            assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired), "{code}");
            assert_eq!(reply.status.as_u16(), code);
        }
    }
}

#[tokio::test]
async fn failure_statuses_can_be_chosen() {
    let chosen = [StatusCode::TOO_MANY_REQUESTS, StatusCode::NOT_FOUND];
    for (code, is_failure) in [(429, true), (404, true), (500, false), (503, false)] {
        let stand = expired(move |_| Ok(status(code))).await;
        let stand = stand.with(|layer| layer.error_statuses(chosen).unwrap());
        let reply = stand.get("/").await;
        assert_eq!(reply.outcome() == STALE, is_failure, "{code}");
    }
}

#[tokio::test]
async fn failed_response_is_passed_on_unchanged_beyond_the_limit() {
    let stand = expired(|_| Ok(line(status(503), "retry-after", "7"))).await;
    stand.clock.advance(SECOND * 5);
    let reply = stand.get("/").await;
    assert_eq!((reply.status.as_u16(), reply.stored()), (503, Stored::No(Refusal::Status)));
    assert_eq!(reply.headers["retry-after"], "7");
    assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired));
}

/// The error is boxed here, as tower's own layers return it.
#[tokio::test(start_paused = true)]
async fn timeout_of_an_inner_layer_is_a_failure() {
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
    assert_stale_if_error(&Reply::read(ask().await.unwrap()).await);
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
async fn inner_service_that_fails_to_become_ready_is_a_failure() {
    let stand = expired(|_| Err(DOWN)).await;
    let request = get("/").body(empty()).unwrap();
    assert_stale_if_error(
        &Reply::read(stand.layer.layer(NeverReady).oneshot(request).await.unwrap()).await,
    );
}

#[tokio::test]
async fn stale_if_error_needs_no_runtime() {
    let stand = expired(|_| Err(DOWN)).await;
    let answer = std::thread::spawn(move || stand.get("/").now_or_never());
    assert_stale_if_error(&answer.join().unwrap().expect("nothing to wait for"));
}

// ===== A body that breaks off =====

#[tokio::test]
async fn a_body_that_breaks_off_at_once_is_a_failure() {
    for chunks in [&[][..], &["new"], &["ne", "w"]] {
        let stand = expired(move |_| {
            Ok(Response::new(frames(chunks.iter().copied(), Some(Err("cut".into())))))
        })
        .await;
        assert_stale_if_error(&stand.get("/").await);
        // If no stale response may be served, the caller gets what there is of the body, and the
        // error.
        let reply = stand.ask(with(NEW().stale_if_error(StaleLimit::None))).await;
        assert_eq!((&reply.body[..], reply.error.is_some()), (chunks.concat().as_bytes(), true));
        assert_eq!(reply.stored(), Stored::No(Refusal::BodyFailed));
        assert_stale_if_error(&stand.get("/").await);
    }
}

fn streaming() -> (Sender, impl Fn(usize) -> Result<Response<TestBody>, Broken>) {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    (sender, move |_| Ok(Response::new(body.lock().unwrap().take().unwrap())))
}

#[tokio::test]
async fn body_that_breaks_off_before_its_first_chunk_is_a_failure_at_any_time() {
    let (sender, answer) = streaming();
    let stand = expired(answer).await;
    let mut ask = Box::pin(stand.get("/"));
    assert!((&mut ask).now_or_never().is_none(), "the head alone is not enough");
    sender.fail("cut");
    assert_stale_if_error(&ask.await);
}

#[tokio::test]
async fn body_that_breaks_off_later_reaches_the_caller_and_leaves_the_entry() {
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

/// What was read to see whether the body breaks off is not lost.
#[tokio::test]
async fn body_that_does_not_break_off_arrives_whole() {
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

// ===== Which requests get the stale response =====

#[tokio::test]
async fn a_request_has_its_own_limit() {
    let stand = expired(|_| Err(DOWN)).await;
    assert_eq!(stand.error(with(NEW().stale_if_error(StaleLimit::None))).await, DOWN);
    stand.clock.advance(SECOND * 1000);
    assert_eq!(stand.error(get("/")).await, DOWN);
    for limit in [StaleLimit::Unlimited, StaleLimit::Within(SECOND * 1001)] {
        assert_stale_if_error(&stand.ask(with(NEW().stale_if_error(limit))).await);
    }
}

#[tokio::test]
async fn forced_refresh_gets_the_failure_itself() {
    let stand = expired(|call| if call == 2 { Err(DOWN) } else { Ok(status(503)) }).await;
    assert_eq!(stand.error(with(NEW().force_refresh(true))).await, DOWN);
    let reply = stand.ask(with(NEW().force_refresh(true))).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_stale_if_error(&stand.ask(with(NEW().refresh(true))).await);
}

#[tokio::test]
async fn a_fresh_response_is_served_if_a_refresh_fails() {
    let stand = expired(|_| Err(DOWN)).await;
    stand.clock.set(T0);
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    let reply = stand.ask(with(NEW().refresh(true))).await;
    assert_stale_if_error(&reply);
    let field = "larder; fwd=request; ttl=10; detail=stale-if-error";
    assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
}

#[tokio::test]
async fn followers_of_a_failed_call_make_no_call() {
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
    join_all(asks).await.iter().for_each(assert_stale_if_error);
    assert_eq!((stand.calls(), stand.layer.stats().stale_if_error), (2, 1000));
}

/// Serving a stale response requires no write.
#[tokio::test]
async fn no_store_requests_and_read_only_layers_get_the_stale_response() {
    let stand = expired(|_| Err(DOWN)).await;
    assert_stale_if_error(&stand.ask(with(NEW().no_store(true))).await);
    let reader = stand.clone_with(|layer| layer.read_only(true));
    assert_stale_if_error(&reader.get("/").await);
    stand.layer.set_enabled(false);
    assert_eq!(stand.error(get("/")).await, DOWN);
}

#[tokio::test]
async fn origin_is_called_each_time_and_its_recovery_is_seen_at_once() {
    let stand = expired(|call| if call < 4 { Err(DOWN) } else { Ok(ok("new")) }).await;
    assert_stale_if_error(&stand.get("/").await);
    assert_stale_if_error(&stand.get("/").await);
    assert_eq!(stand.get("/").await.text(), "new");
}

/// The request that revalidates the stored response fails.
#[tokio::test]
async fn failed_revalidation_is_a_failure() {
    let stand = Stand::new(Double::fallible(|request, call| match call {
        2 => Err(DOWN),
        3 => Ok(status(502)),
        _ => Ok(tagged(&request, "\"a\"", "old")),
    }))
    .with(|layer| layer.expire_after(SECOND).stale_if_error(SECOND * 5));
    stand.get("/").await;
    stand.clock.advance(SECOND);
    assert_stale_if_error(&stand.get("/").await);
    assert_stale_if_error(&stand.get("/").await);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated);
    let reply = stand.ask(get("/").header("if-none-match", "\"a\"")).await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
}
