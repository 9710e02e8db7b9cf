//! After a background refresh has failed, the next one begins only after a pause.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use larder::{Outcome, StaleLimit, status::Stale};
use tokio::sync::Barrier;
use tower::Service;

use crate::support::{Broken, Double, Stand, TestBody, empty, get, ok};

const SECOND: Duration = Duration::from_secs(1);
const STALE: Outcome = Outcome::Stale(Stale::WhileRevalidate);

/// A cache whose entry for `GET /` has expired, and may be served stale without a limit.
async fn expired(
    answer: impl Fn(Request<Bytes>, usize) -> Result<Response<TestBody>, Broken> + Send + Sync + 'static,
) -> Stand {
    let inner = Double::fallible(move |request, call| match call {
        1 => Ok(ok("old")),
        _ => answer(request, call),
    });
    let stand = Stand::new(inner)
        .with(|layer| layer.expire_after(SECOND).stale_while_revalidate(StaleLimit::Unlimited));
    stand.get("/").await;
    stand.clock.advance(SECOND);
    stand
}

/// Sends a request that is answered stale, and waits for the refresh that it may begin.
async fn refresh(stand: &Stand) {
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (STALE, "old"));
    stand.layer.idle().await;
}

/// The pause is one second by the layer's clock. It doubles with each failure, up to a minute.
#[tokio::test]
async fn failures_are_followed_by_pauses() {
    let stand = expired(|_, _| Err(Broken("down"))).await;
    for (failures, pause) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        refresh(&stand).await;
        assert_eq!(stand.layer.stats().failed_refreshes, failures);
        stand.clock.advance(SECOND * pause - Duration::from_millis(1));
        refresh(&stand).await;
        assert_eq!(stand.layer.stats().failed_refreshes, failures, "within {pause} s");
        stand.clock.advance(Duration::from_millis(1));
    }
    assert_eq!(stand.calls(), 10);
}

#[tokio::test]
async fn a_success_ends_the_pauses() {
    let stand = expired(|_, call| match call {
        2 | 3 | 5 => Err(Broken("down")),
        _ => Ok(ok("old")),
    })
    .await;
    for (pause, calls) in [(1, 2), (2, 3), (1, 4), (1, 5), (1, 6)] {
        refresh(&stand).await;
        assert_eq!(stand.calls(), calls);
        stand.clock.advance(SECOND * pause);
    }
}

#[tokio::test]
async fn failures_of_one_key_do_not_pause_another() {
    let stand = expired(|request, _| match request.uri().path() {
        "/" => Err(Broken("down")),
        _ => Ok(ok("other")),
    })
    .await;
    stand.get("/other").await;
    refresh(&stand).await;
    stand.clock.advance(SECOND / 2);
    stand.get("/other").await;
    stand.clock.advance(SECOND / 2 - Duration::from_millis(1));
    assert_eq!(stand.get("/other").await.outcome(), Outcome::Hit);
    stand.clock.advance(Duration::from_millis(1));
    assert_eq!(stand.get("/other").await.outcome(), STALE);
    stand.layer.idle().await;
    assert_eq!(stand.get("/other").await.outcome(), Outcome::Hit);
}

/// A pause concerns the background only. A request that has no response to serve calls the origin.
#[tokio::test]
async fn request_that_has_to_wait_calls_the_origin_in_a_pause() {
    let stand = expired(|_, call| match call {
        2 => Err(Broken("down")),
        _ => Ok(ok("new")),
    })
    .await;
    refresh(&stand).await;
    let stand = stand.with(|layer| layer.stale_while_revalidate(StaleLimit::None));
    assert_eq!(stand.get("/").await.text(), "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_on_many_threads_begin_no_refresh_within_a_pause() {
    for _ in 0..20 {
        let stand = expired(|_, _| Err(Broken("down"))).await;
        let barrier = Arc::new(Barrier::new(1000));
        let asks = (0..1000).map(|_| {
            let ask = stand.service().call(get("/").body(empty()).unwrap());
            let barrier = barrier.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                ask.await.map(drop)
            })
        });
        let asks: Vec<_> = asks.collect();
        assert!(join_all(asks).await.into_iter().all(|ask| ask.unwrap().is_ok()));
        stand.layer.idle().await;
        assert_eq!((stand.calls(), stand.layer.stats().failed_refreshes), (2, 1));
    }
}
