//! [`CacheLayer`]: the layer, and what its clones and services share. The setters are in `config/`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    backoff::Backoff,
    handle::Handle,
    outcome::Calls,
    request_body::Budget,
    settings::Settings,
    tasks::{Tasks, WeakTasks},
    tee::OverflowBudget,
};
use crate::{event::Observer, policy::Scope, stats::Stats, store::Store};

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
    pub(crate) inner: Arc<Inner<B>>,
    /// Stops the tasks in the background when the last handle is dropped.
    tasks: Tasks,
}

/// A layer as its requests and tasks hold it.
#[derive(Debug)]
pub(crate) struct Inner<B> {
    pub(crate) settings: Settings,
    pub(crate) handle: Handle<B>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: WeakTasks,
}

/// What the clones of a layer share in addition to the store.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) calls: Calls,
    /// The memory that the bodies in flight may use beyond their replay buffers.
    pub(crate) overflow: Arc<OverflowBudget>,
    /// How many bytes of request bodies are held for keys.
    request_bytes: Arc<AtomicU64>,
    pub(crate) backoff: Backoff,
    is_disabled: AtomicBool,
}

impl<B: Store> CacheLayer<B> {
    /// A private cache over `store`, for one client.
    ///
    /// It stores the responses of status 200 to `GET` and `HEAD` forever, `Set-Cookie` included,
    /// whatever their cache headers say. Requests that differ in `Authorization` or `Cookie` never
    /// share a response.
    pub fn private(store: B) -> Self {
        Self::with_scope(store, Scope::Private)
    }

    /// A shared cache over `store`, in front of many users: for a server's routes or a gateway.
    ///
    /// It stores nothing before an expiration has been chosen
    /// ([`expire_after`](CacheLayer::expire_after) and its siblings). Requests with credentials
    /// (`Authorization`, `Cookie`, user information in the URL) bypass it, and responses with
    /// `Set-Cookie` are not stored, unless [`store_credentialed`](CacheLayer::store_credentialed) and
    /// [`store_set_cookie`](CacheLayer::store_set_cookie) say otherwise. Hosts, paths and queries that
    /// are spelled differently (`A:80`, `/a/../b`, `/%62`) are different, since the services behind
    /// may tell them apart. With [`http_rules`](CacheLayer::http_rules), the cache headers decide what
    /// is stored, for how long and for whom.
    pub fn shared(store: B) -> Self {
        Self::with_scope(store, Scope::Shared)
    }

    fn with_scope(store: B, scope: Scope) -> Self {
        let tasks = Tasks::default();
        let inner = Inner {
            settings: Settings::new(scope),
            handle: Handle::new(store),
            shared: Arc::default(),
            tasks: tasks.downgrade(),
        };
        Self { inner: Arc::new(inner), tasks }
    }

    /// The store that the responses are kept in.
    #[must_use]
    pub fn store(&self) -> &B {
        self.inner.handle.store()
    }
}

impl<B> CacheLayer<B> {
    /// Switches the cache off or on, for this layer and all its clones and services. Switched off, it
    /// neither reads nor writes the store, and removes nothing from it: every request goes to the
    /// inner service, except those that [forbid](crate::CacheOptions::only_if_cached) it.
    pub fn set_enabled(&self, enabled: bool) {
        self.inner.shared.is_disabled.store(!enabled, Ordering::Relaxed);
    }

    /// Whether the cache is switched on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.is_enabled()
    }

    /// What this layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Waits until no refresh is in flight in the background, for this layer, its clones and their
    /// services. New ones may begin meanwhile, so a program that ends drops its services first.
    ///
    /// A refresh that nobody waits for is stopped when the last of the layer's handles and services is
    /// dropped. Nothing of it is stored then.
    pub async fn idle(&self) {
        self.tasks.idle().await;
    }

    pub(super) fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut Arc::make_mut(&mut self.inner).settings);
        self
    }

    pub(super) fn set_handle(mut self, set: impl FnOnce(&mut Handle<B>)) -> Self {
        set(&mut Arc::make_mut(&mut self.inner).handle);
        self
    }
}

impl<B> Inner<B> {
    pub(crate) fn is_enabled(&self) -> bool {
        !self.shared.is_disabled.load(Ordering::Relaxed)
    }

    /// The bound of all request bodies that are read for keys.
    pub(super) fn request_budget(&self) -> Budget {
        Budget { held: self.shared.request_bytes.clone(), limit: self.settings.max_request_bodies }
    }

    /// The observer that receives this layer's events.
    pub(crate) fn observer(&self) -> &Arc<Observer> {
        &self.handle.observer
    }

    pub(crate) fn stats(&self) -> Stats {
        self.observer().counters.snapshot(self.shared.calls.len())
    }
}

impl<B> Clone for Inner<B> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            handle: self.handle.clone(),
            shared: self.shared.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

impl<B> Clone for CacheLayer<B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), tasks: self.tasks.clone() }
    }
}

impl<B: fmt::Debug> fmt::Debug for CacheLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("settings", &self.inner.settings)
            .field("store", self.inner.handle.store())
            .finish_non_exhaustive()
    }
}
