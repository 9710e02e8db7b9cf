//! A caching reverse proxy in front of one upstream, to be copied and changed.
//!
//! ```sh
//! cargo run --release -p gateway -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:8000 \
//!     --store redb:gateway.redb --policy http --expire-after 5m --admin 127.0.0.1:8081
//! ```
//!
//! From top to bottom: the parts put together, the way of a request out and of its response back, the connections and
//! their end. Beside it, one idea a file: the flags and the store that they name, what a hop does
//! to the heads that pass it, interim responses, limits to silence, failures, the access log, the
//! admin address.
//!
//! `Host` is passed on as it came, and is part of every key. TLS is for what stands in front, which may well add to
//! `Forwarded`, as this does; other fields about the client, such as `X-Forwarded-For`, pass as they came.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use http::{
    HeaderName, HeaderValue, Request, Response,
    header::{CONNECTION, TE},
    uri::Authority,
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use larder::{BoxError, CacheLayer, RequestBody, ResponseBody};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

mod access;
mod admin;
mod failure;
mod flags;
mod hop;
mod interim;
mod patience;

use access::Line;
use failure::{failure, told};
use flags::{Args, Policy};
use interim::Interim;
use patience::Patience;

/// The largest head of a message, and the most connections from clients at a time.
const MAX_HEAD: u32 = 64 * 1024;
const MAX_CONNECTIONS: usize = 4096;
/// Shorter than what common servers keep an idle connection for: one that they are about to close fails a request.
const UPSTREAM_IDLE: Duration = Duration::from_secs(4);
/// How long what is under way may go on after a signal to end.
const LAST_WORDS: Duration = Duration::from_secs(20);

// ===== the parts put together =====

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {}", told(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), BoxError> {
    // First of all, so that what is made below can describe its metrics.
    let metrics = args.admin.is_some().then(admin::record).transpose()?;
    let (store, closing) = flags::open(&args.store).await?;
    let mut layer = CacheLayer::shared(store)
        .tags_from(["surrogate-key", "cache-tag"])?
        .cache_status_header(args.name.as_str())?
        .named(args.name.as_str())?;
    if let Some(time) = args.expire_after {
        layer = layer.expire_after(time);
    }
    if let Some(limit) = args.stale_if_error {
        layer = layer.stale_if_error(limit);
    }
    let layer = match args.policy {
        Policy::Fixed => layer,
        Policy::Http => layer.http_rules(),
    };

    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(args.timeout));
    let patient = move |io: TokioIo<_>| TokioIo::new(Patience::new(io.into_inner(), args.timeout));
    // Should a pooled connection close before anything of a request was written to it, that takes another. No request is
    // written twice.
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(UPSTREAM_IDLE)
        .http1_max_buf_size(MAX_HEAD as usize)
        .build(tcp.map_response(patient));
    let to = args.upstream.clone();
    let upstream = tower::service_fn(move |request| forward(client.clone(), to.clone(), request));
    let gateway = Gateway {
        cache: BoxCloneSyncService::new(layer.layer(upstream)),
        upstream: args.upstream,
        name: args.name,
    };

    let end = signalled()?;
    let listener = bind("--listen", args.listen).await?;
    if let Some((address, metrics)) = args.admin.zip(metrics) {
        let listener = bind("--admin", address).await?;
        tokio::spawn(axum::serve(listener, admin::routes(layer.clone(), metrics)).into_future());
    }
    serve(listener, gateway, args.timeout * 2, end).await;
    if timeout(LAST_WORDS, layer.idle()).await.is_err() {
        eprintln!("gateway: refreshes in the background are cut off");
    }
    Ok(closing.await?)
}

async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("{flag} {address}: {error}"))?;
    eprintln!("gateway: {flag} {}", listener.local_addr()?);
    Ok(listener)
}

// ===== the way of a request, and of its response =====

type Body = UnsyncBoxBody<Bytes, BoxError>;

#[derive(Clone)]
struct Gateway {
    cache: BoxCloneSyncService<Request<Incoming>, Response<ResponseBody<Incoming>>, BoxError>,
    upstream: Authority,
    name: HeaderName,
}

impl Gateway {
    /// Answers a request: from the cache, from the upstream through the cache, or with the reason why not.
    async fn answer(
        self,
        client: IpAddr,
        interim: interim::Shared,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let mut line = Line::new(client, &request);
        let (turn, version) = (interim.begin(&mut request), request.version());
        let (mut parts, body) = request.into_parts();
        let answer = match hop::prepare(&mut parts, client, &self.upstream, &self.name) {
            Ok(()) => {
                let answer = self.cache.oneshot(Request::from_parts(parts, body)).await;
                // Mapped out here: the cache is to see an error, in whose place a stale response may stand.
                answer.map_err(|error| failure(&*error))
            }
            Err(refusal) => Err(refusal),
        };
        let mut response = match answer {
            Ok(response) => response.map(|body| body.map_err(BoxError::from).boxed_unsync()),
            Err((status, text)) => {
                let text = Full::from(format!("{status}: {text}\n"));
                let mut response = Response::new(text.map_err(BoxError::from).boxed_unsync());
                *response.status_mut() = status;
                response
            }
        };
        turn.end().await;
        hop::finish(&mut response, version, &self.name);
        line.status = Some(response.status());
        line.cache = response.extensions_mut().remove();
        Ok(response.map(|body| body.inspect_frame(move |frame| line.count(frame)).boxed_unsync()))
    }
}

/// What the cache calls on a miss: sends the request to the upstream.
async fn forward<C: Connect + Clone + Send + Sync + 'static>(
    client: Client<C, RequestBody<Incoming>>,
    upstream: Authority,
    mut request: Request<RequestBody<Incoming>>,
) -> Result<Response<Incoming>, BoxError> {
    let mut uri = request.uri().clone().into_parts();
    uri.authority = Some(upstream);
    *request.uri_mut() = uri.try_into()?;
    if request.headers().contains_key(TE) {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let mut response = client.request(request).await?;
    if response.status().is_informational() {
        return Err("the upstream switches protocols, and was not asked to".into());
    }
    if hop::is_compressed(response.headers()) {
        return Err("the upstream compresses what it transfers, and was not asked to".into());
    }
    hop::end_to_end(response.headers_mut());
    Ok(response)
}

// ===== the connections, and their end =====

/// Serves until `end`, and then what is under way.
async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    silence: Duration,
    end: impl Future<Output = ()>,
) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).max_buf_size(MAX_HEAD as usize);
    server.http1().header_read_timeout(silence);
    server.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEAD);
    let (graceful, seats) = (GracefulShutdown::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let mut end = pin!(end);
    loop {
        let next = async { (seats.clone().acquire_owned().await, listener.accept().await) };
        let (seat, (stream, client)) = tokio::select! {
            () = &mut end => break,
            (seat, accepted) = next => match accepted {
                Ok(accepted) => (seat, accepted),
                // Such as too many open files: it is over when others close.
                Err(error) => {
                    eprintln!("gateway: no connection: {error}");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("gateway: the connection of {client}: {error}");
        }
        let (io, interim) = Interim::new(Patience::new(stream, silence));
        let (gateway, ip) = (gateway.clone(), client.ip().to_canonical());
        let answer =
            service_fn(move |request| gateway.clone().answer(ip, interim.clone(), request));
        let connection = server.serve_connection(TokioIo::new(io), answer).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _seat = seat;
            if let Err(error) = connection.await {
                eprintln!("gateway: the connection of {client}: {}", told(&*error));
            }
        });
    }
    drop(listener);
    if timeout(LAST_WORDS, graceful.shutdown()).await.is_err() {
        eprintln!("gateway: what is still under way is cut off");
    }
}

/// Ends with the first signal to end.
#[cfg(unix)]
fn signalled() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let [end, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
    let (mut end, mut interrupt) = (end?, interrupt?);
    Ok(async move {
        tokio::select! { _ = end.recv() => {} _ = interrupt.recv() => {} }
    })
}

#[cfg(not(unix))]
fn signalled() -> io::Result<impl Future<Output = ()>> {
    let told = |error| eprintln!("gateway: {error}");
    Ok(async move { tokio::signal::ctrl_c().await.unwrap_or_else(told) })
}
