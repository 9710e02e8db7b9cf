//! A thousand requests for the same slow thing at once, without the cache and with it.
//!
//! ```sh
//! cargo run -p stampede
//! ```

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use larder::{BoxError, CacheLayer, store::Memory};
use tokio::{sync::Semaphore, task::JoinSet};
use tower::{Layer, Service, ServiceExt, service_fn};

const REQUESTS: usize = 1000;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let calls = Arc::<AtomicUsize>::default();
    let layer = CacheLayer::private(Memory::default());
    let direct = origin(calls.clone());
    let cached = layer.layer(origin(calls.clone()));

    println!("{REQUESTS} requests at once   calls   fastest    median   slowest");
    stampede("without the cache", &calls, direct).await?;
    stampede("with the cache", &calls, cached.clone()).await?;
    stampede("and once more", &calls, cached).await?;
    let stats = layer.stats();
    println!("\n{} calls, {} coalesced, {} hits", stats.calls, stats.coalesced, stats.hits);
    Ok(())
}

/// An origin that takes 50 ms over an answer, and gives no more than 100 at a time.
fn origin<B: Send + 'static>(
    calls: Arc<AtomicUsize>,
) -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let seats = Arc::new(Semaphore::new(100));
    service_fn(move |_: Request<B>| {
        let (calls, seats) = (calls.clone(), seats.clone());
        async move {
            calls.fetch_add(1, Ordering::Relaxed);
            let _seat = seats.acquire().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Response::new(Full::new(Bytes::from("slow to get"))))
        }
    })
}

/// Sends the requests, each from its own task. Prints the number of calls to the origin, and the
/// time.
async fn stampede<S, B>(name: &str, calls: &AtomicUsize, service: S) -> Result<(), BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    calls.store(0, Ordering::Relaxed);
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let service = service.clone();
        requests.spawn(async move {
            let start = Instant::now();
            let request = Request::get("http://example.com/slow").body(Empty::new())?;
            let response = service.oneshot(request).await.map_err(Into::into)?;
            let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
            assert_eq!(body, "slow to get");
            Ok::<_, BoxError>(start.elapsed())
        });
    }
    let mut times = requests.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let [fastest, median, slowest] =
        [0, times.len() / 2, times.len() - 1].map(|position| milliseconds(times[position]));
    let calls = calls.load(Ordering::Relaxed);
    println!("{name:21} {calls:7} {fastest:>9} {median:>9} {slowest:>9}");
    Ok(())
}
