//! [`CacheLayer`]: the layer, its shared state and its handles. The settings are in `settings/`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tower_layer::Layer;

use super::background::{Backoff, Tasks};
use super::{Cache, flight::Flights, request::Budget, settings::Settings};
use crate::{entries::Entries, event::Observer, policy::Scope, stats::Stats, store::Store};

/// An HTTP response cache in front of any `Service<http::Request<_>, Response = http::Response<_>>`.
///
/// A layer made by [`private`](CacheLayer::private) is for one client: it stores whatever its methods and statuses allow,
/// forever, until told otherwise. A layer made by [`shared`](CacheLayer::shared) stands in front of many users: it stores
/// nothing before an expiration has been chosen, and nothing that may be one user's alone.
///
/// Clones share the store, the switch and the counters; settings made on a clone are the clone's own.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use larder::{CacheLayer, CacheStatus, store::Memory};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// let client = service_fn(|_request: Request<_>| async {
///     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("slow to get"))))
/// });
/// let cached = ServiceBuilder::new()
///     .layer(CacheLayer::private(Memory::default()).expire_after(Duration::from_secs(3600)))
///     .service(client);
///
/// for expected in [false, true] {
///     let request = Request::new(Full::<Bytes>::default());
///     let response = cached.clone().oneshot(request).await?;
///     assert_eq!(response.extensions().get::<CacheStatus>().unwrap().is_hit(), expected);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct CacheLayer<B> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) tasks: Tasks,
}

/// What the clones of a layer share.
#[derive(Debug)]
pub(crate) struct Shared<B> {
    pub(crate) store: B,
    pub(crate) flights: Flights,
    /// How many bytes of request bodies are buffered for keys.
    request_bytes: Arc<AtomicU64>,
    pub(crate) backoff: Backoff,
    enabled: AtomicBool,
}

impl<B: Store> CacheLayer<B> {
    /// A private cache over `store`, for one client.
    ///
    /// It keeps the responses of status 200 to `GET` and `HEAD` forever, `Set-Cookie` included, whatever their cache
    /// headers say. Requests that differ in `Authorization` or `Cookie` never share a response.
    pub fn private(store: B) -> Self {
        Self::with_scope(store, Scope::Private)
    }

    /// A shared cache over `store`, in front of many users: for a server's routes or a gateway.
    ///
    /// It keeps nothing before an expiration has been chosen ([`expire_after`](CacheLayer::expire_after) and its
    /// siblings). Requests with credentials (`Authorization`, `Cookie`, user information in the URL) go past it, and
    /// responses with `Set-Cookie` are not kept, unless [`store_credentialed`](CacheLayer::store_credentialed) and
    /// [`store_set_cookie`](CacheLayer::store_set_cookie) say otherwise. Hosts, paths and queries that are spelled
    /// differently (`A:80`, `/a/../b`, `/%62`) are different, since the services behind may well tell them apart. With
    /// [`http_rules`](CacheLayer::http_rules), the cache headers say what is kept, for how long and for whom.
    pub fn shared(store: B) -> Self {
        Self::with_scope(store, Scope::Shared)
    }

    fn with_scope(store: B, scope: Scope) -> Self {
        let shared = Shared {
            store,
            flights: Flights::default(),
            request_bytes: Arc::default(),
            backoff: Backoff::default(),
            enabled: AtomicBool::new(true),
        };
        Self {
            settings: Arc::new(Settings::new(scope)),
            shared: Arc::new(shared),
            tasks: Tasks::default(),
        }
    }

    /// The store that the responses are kept in.
    #[must_use]
    pub fn store(&self) -> &B {
        &self.shared.store
    }

    /// A handle to look at, add and remove what is stored. It stays good when the layer has moved into a stack.
    #[must_use]
    pub fn entries(&self) -> Entries<B> {
        Entries::new(self.clone())
    }
}

impl<B> CacheLayer<B> {
    /// Switches the cache off or on, for this layer and every clone and service of it. Switched off, it neither reads
    /// nor writes the store, and removes nothing from it: every request goes to the inner service, save those that
    /// [forbid](crate::CacheOptions::only_if_cached) it.
    pub fn set_enabled(&self, enabled: bool) {
        self.shared.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether the cache is switched on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.shared.enabled.load(Ordering::Relaxed)
    }

    /// The budget of all request bodies that are buffered for keys.
    pub(super) fn request_budget(&self) -> Budget {
        Budget { held: self.shared.request_bytes.clone(), limit: self.settings.max_request_bodies }
    }

    /// Whom what this layer does is told to.
    pub(crate) fn observer(&self) -> &Arc<Observer> {
        &self.settings.observer
    }

    /// What this layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.observer().counters.snapshot(self.shared.flights.len())
    }
}

/// # Calls in the background
impl<B> CacheLayer<B> {
    /// Waits until no refresh is under way in the background, of this layer, its clones and their services. Nothing keeps
    /// others from beginning meanwhile: before a program ends, its services come first.
    ///
    /// A refresh that nobody waits for is stopped when the last of the layer's handles and services is dropped; nothing
    /// of it is stored then.
    pub async fn idle(&self) {
        self.tasks.idle().await;
    }

    /// The same layer as its own tasks hold it: they are not to keep themselves alive.
    pub(super) fn without_tasks(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            shared: self.shared.clone(),
            tasks: Tasks::default(),
        }
    }
}

impl<S, B: Store> Layer<S> for CacheLayer<B> {
    type Service = Cache<S, B>;

    fn layer(&self, inner: S) -> Cache<S, B> {
        self.observer().describe();
        Cache::new(inner, self.clone())
    }
}

impl<B> Clone for CacheLayer<B> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            shared: self.shared.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for CacheLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("settings", &self.settings)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
