//! The flags, and the store that one of them names.

use std::{future::Future, net::SocketAddr, num::NonZeroUsize, pin::Pin, time::Duration};

use clap::{Parser, ValueEnum};
use http::{HeaderName, Uri, uri::Authority};
use larder::{
    BoxError,
    store::{self, AnyStore},
};

/// A caching reverse proxy.
#[derive(Parser)]
pub(crate) struct Args {
    /// The address to listen at: HTTP/1.1, and HTTP/2 in clear with prior knowledge
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Where requests go, such as http://127.0.0.1:8000
    #[arg(long, value_name = "URL", value_parser = upstream)]
    pub(crate) upstream: Authority,
    /// memory, redb:PATH, sqlite:PATH, redis://..., rediss://... or mongodb://...
    #[arg(long, default_value = "memory")]
    pub(crate) store: String,
    /// What decides how long responses are kept: their HTTP headers, or --expire-after alone
    #[arg(long, value_enum)]
    pub(crate) policy: Policy,
    /// How long responses are kept, such as 90s, 5m or 1h; by HTTP: those whose headers do not say
    /// it
    #[arg(long, value_name = "DURATION", value_parser = duration, required_if_eq("policy", "fixed"))]
    pub(crate) expire_after: Option<Duration>,
    /// How long after its expiry a response may stand in where the upstream fails
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) stale_if_error: Option<Duration>,
    /// How long the upstream may keep silent; the gateway waits for a client twice as long
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// Store responses that set cookies, and replay the cookies to everybody
    #[arg(long)]
    pub(crate) store_set_cookie: bool,
    /// Answer a GET from the response to a POST whose Content-Location names the same URL
    #[arg(long)]
    pub(crate) reuse_post: bool,
    /// Let Forwarded of clients pass, and those X-Forwarded-* that say where a request comes from;
    /// needs a gateway in front that writes or removes them
    #[arg(long)]
    pub(crate) trust_forwarded: bool,
    /// The most connections of one client address, or one IPv6 network of 64 bits; no limit with
    /// --trust-forwarded
    #[arg(long, value_name = "N", default_value = "512")]
    pub(crate) connections_per_client: NonZeroUsize,
    /// The name of this gateway in Via and Cache-Status; a request with this name in Via is a loop
    #[arg(long, default_value = "larder")]
    pub(crate) name: HeaderName,
    /// The address for purges and figures; whoever reaches it may purge
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Policy {
    Http,
    Fixed,
}

fn upstream(url: &str) -> Result<Authority, String> {
    let parts = url.parse::<Uri>().map_err(|error| error.to_string())?.into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
    match (parts.scheme.as_ref().map(|scheme| scheme.as_str()), parts.authority) {
        (Some("http"), Some(to)) if path == "/" && !to.as_str().contains('@') => Ok(to),
        _ => Err("write http://HOST or http://HOST:PORT, and nothing behind it".into()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text)) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write a duration above zero, such as 90s, 5m or 1h".into()),
    }
}

pub(crate) type Closing = Pin<Box<dyn Future<Output = store::Result<()>>>>;

/// The store that `--store` names, and what closes it.
pub(crate) async fn open(store: &str) -> Result<(AnyStore, Closing), BoxError> {
    choose(store).await.map_err(|error| format!("--store: {error:#}").into())
}

async fn choose(store: &str) -> Result<(AnyStore, Closing), BoxError> {
    let (kind, place) = store.split_once(':').unwrap_or((store, ""));
    if ["redb", "sqlite"].contains(&kind) && place.is_empty() {
        return Err(format!("{kind} keeps a file; write {kind}:PATH").into());
    }
    Ok(match kind {
        "memory" => (AnyStore::new(store::Memory::default()), Box::pin(async { Ok(()) })),
        "redb" => {
            let store = store::Redb::open(place)?;
            (AnyStore::new(store.clone()), Box::pin(async move { store.close().await }))
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let store = store::Sqlite::open(place)?;
            (AnyStore::new(store.clone()), Box::pin(async move { store.close().await }))
        }
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis+unix" => {
            (AnyStore::new(store::Redis::connect(store).await?), Box::pin(async { Ok(()) }))
        }
        #[cfg(feature = "mongodb")]
        "mongodb" | "mongodb+srv" => {
            (AnyStore::new(store::MongoDb::connect(store).await?), Box::pin(async { Ok(()) }))
        }
        _ => {
            // Of a URL's scheme, without what it says of TLS, sockets or DNS.
            let feature = ["redis", "mongodb"].into_iter().find(|name| kind.starts_with(name));
            let feature = feature.unwrap_or(kind);
            return Err(match feature {
                "sqlite" | "redis" | "mongodb" => {
                    format!("built without `{feature}`; add --features {feature}").into()
                }
                _ => "write memory, redb:PATH, sqlite:PATH, redis://... or mongodb://...".into(),
            });
        }
    })
}
