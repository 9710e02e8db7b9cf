//! Responses that are served after they have expired.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use larder::{
    BoxError,
    time::{ManualClock, Timestamp},
};
use tower::{Layer, service_fn};

use crate::ask;

pub(crate) async fn served() -> Result<(), BoxError> {
    use std::time::Duration;

    use larder::{CacheLayer, StaleLimit, store::Memory};

    let layer = CacheLayer::private(Memory::default())
        .expire_after(Duration::from_secs(60))
        // Serves the stale response at once and fetches a new one in the background.
        .stale_while_revalidate(Duration::from_secs(600))
        .refresh_timeout(Duration::from_secs(10))?
        // Serves the stale response if the origin fails.
        .stale_if_error(StaleLimit::Unlimited)
        .error_statuses([502, 503])?
        // Fetches a new response before the old one expires: here in the last tenth of its time.
        .refresh_ahead(0.1)?;

    // The tour moves this clock by hand.
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let layer = layer.clock(clock.clone());
    let is_down = Arc::<AtomicBool>::default();
    let is_down_now = is_down.clone();
    let client = layer.clone().layer(service_fn(move |_| {
        let mut response = Response::new(Full::new(Bytes::from("slow to make")));
        if is_down_now.load(Ordering::Relaxed) {
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        }
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    for (seconds, is_down_then) in [(0, false), (30, false), (61, false), (1000, true)] {
        clock.advance(Duration::from_secs(seconds));
        is_down.store(is_down_then, Ordering::Relaxed);
        let status = ask(&client, Request::get("http://example.com/")).await?;
        // Waits for the refreshes in the background, as a program should before it ends.
        layer.idle().await;
        println!("  {seconds:4} s later: {}", status.outcome());
    }
    Ok(())
}
