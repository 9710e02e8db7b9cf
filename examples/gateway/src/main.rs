//! A caching reverse proxy in front of one upstream, to be copied and changed.
//!
//! ```sh
//! cargo run --release -p gateway -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:8000 \
//!     --store redb:gateway.redb --policy http --expire-after 5m --admin 127.0.0.1:8081
//! ```
//!
//! To follow a request from top to bottom: `serve` accepts its connection, `gateway` answers it,
//! and `upstream` sends it on if the cache has no answer. Each file below has one idea: what a hop
//! does to heads (`hop`, `forwarded`), bodies, interim responses, failures, the time that a client
//! may take (`allowance`) and that an upstream may keep silent (`patience`), answers that come
//! early (`last_word`), the places for connections, the log. The flags, with the store that one of
//! them names, and the admin address stand beside this path.
//!
//! # What happens to the fields of a message
//!
//! - `Host` passes unchanged, and is part of every key.
//! - Fields of one connection go no further: `Connection` and the fields it names, `Keep-Alive`,
//!   `Upgrade`, `Transfer-Encoding` and the like. Each message gets the framing that the next hop
//!   needs. All other lines keep their order.
//! - Fields that say where a request comes from, or that replace its URL or method, do not pass,
//!   since no key has them: `Forwarded`, all of `X-Forwarded-*`, other words on TLS such as
//!   `Front-End-Https`, `X-SSL` and `CF-Visitor`, client addresses such as `X-Real-IP` and
//!   `True-Client-IP`, other URLs and hosts such as `X-Original-URL` and `X-Host`, and other
//!   methods such as `X-HTTP-Method-Override`. A name with an underscore
//!   does not pass either: many servers take it for a dash, so it would be a field that neither a
//!   key nor `Vary` knows. The same holds for trailers. The gateway writes `Forwarded`,
//!   `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto` itself.
//! - With `--trust-forwarded`, these pass: `Forwarded`, `X-Forwarded-For`, `-By` and `-Server`,
//!   and, as part of every key, `X-Forwarded-Host`, `-Path`, `-Port`, `-Prefix`, `-Proto`,
//!   `-Protocol`, `-Scheme`, `-SSL` and `-Uri`. The gateway adds its own hop. Others do not pass,
//!   such as `X-Forwarded-User`: one user's page would be stored for everybody. An upstream that
//!   redirects plain HTTP to HTTPS needs this flag: without it, every request looks like plain
//!   HTTP, and the redirects never end. The gateway in front should write or remove both families,
//!   and nobody else should reach this one.
//! - `Via` and `Cache-Status` get a member for this gateway.
//! - Lines of `Cookie` are joined to one. A 204 or an interim response has no `Content-Length`.
//!
//! # What a client can hold
//!
//! The gateway waits for a client for twice `--timeout`: for the next request, for a body, and for
//! the client to read. A client gets time back for the bytes that it sends or reads. One address
//! may have `--connections-per-client` connections; with `--trust-forwarded` there is no such
//! limit, since all clients come from the address of the gateway in front.
//!
//! The gateway speaks no TLS; the one in front does.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::{future::Future, io, net::SocketAddr, process::ExitCode, sync::Arc};

use clap::Parser;
use larder::{BoxError, CacheLayer};
use tokio::{net::TcpListener, time::timeout};
use tower::Layer;

mod access;
mod admin;
mod allowance;
mod awake;
mod body;
mod failure;
mod flags;
mod forwarded;
mod gateway;
mod hop;
mod interim;
mod last_word;
mod log;
mod patience;
mod places;
mod serve;
mod upstream;

use failure::told;
use flags::{Args, Policy};
use gateway::Gateway;
use hop::{Hops, Via};
use serve::{LAST_WORDS, Limits, serve};
use upstream::upstream;

/// The largest head of a message, in bytes.
const MAX_HEAD: u32 = 64 * 1024;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = run(Args::parse()).await;
    if let Err(error) = &ended {
        log::say(&told(&**error));
    }
    log::flush();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn run(args: Args) -> Result<(), BoxError> {
    // First of all, so that what is made below can describe its metrics.
    let metrics = args.admin.is_some().then(admin::record).transpose()?;
    awake::start();
    let (store, closing) = flags::open(&args.store).await?;
    let mut layer = CacheLayer::shared(store)
        .add_tag_headers(["surrogate-key", "cache-tag"])?
        .cache_status_header(args.name.as_str())?
        .named(args.name.as_str())?
        .reuse_post_for_get(args.reuse_post);
    if let Some(time) = args.expire_after {
        layer = layer.expire_after(time);
    }
    if let Some(limit) = args.stale_if_error {
        layer = layer.stale_if_error(limit);
    }
    if args.store_set_cookie {
        layer = layer.store_set_cookie(true);
    }
    if args.trust_forwarded {
        layer = layer.add_key_headers(forwarded::KEYED)?;
    }
    let layer = match args.policy {
        Policy::Fixed => layer,
        Policy::Http => layer.http_rules(),
    };

    let upstream = upstream(args.upstream.clone(), args.timeout, MAX_HEAD as usize);
    // The cache clones the service for each request, hits included. So the service is small.
    let upstream = Arc::new(upstream);
    let cache = layer.layer(tower::service_fn(move |request| upstream.clone().forward(request)));
    let gateway = Gateway {
        cache: Box::new(move |request| cache.request(request)),
        hops: Hops {
            via: Via::new(&args.name),
            name: args.name,
            upstream: args.upstream,
            trust_forwarded: args.trust_forwarded,
        },
    };
    let limits = Limits {
        max_head: MAX_HEAD,
        patience: args.timeout * 2,
        // All clients of a front come from its address.
        share: if args.trust_forwarded { usize::MAX } else { args.connections_per_client.get() },
    };

    let end = signalled()?;
    let listener = bind("--listen", args.listen).await?;
    if let Some((address, metrics)) = args.admin.zip(metrics) {
        let listener = bind("--admin", address).await?;
        tokio::spawn(axum::serve(listener, admin::routes(layer.clone(), metrics)).into_future());
    }
    serve(listener, Arc::new(gateway), limits, end).await;
    if timeout(LAST_WORDS, layer.idle()).await.is_err() {
        log::say(&"refreshes in the background are cut off");
    }
    Ok(closing.await?)
}

async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("{flag} {address}: {error}"))?;
    log::say(&format_args!("{flag} {}", listener.local_addr()?));
    Ok(listener)
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
    let told = |error| log::say(&error);
    Ok(async move { tokio::signal::ctrl_c().await.unwrap_or_else(told) })
}
