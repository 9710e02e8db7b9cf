//! [`CacheLayer`]: the layer, and the state that its clones and services share. The setters are in
//! `config/`.

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
use crate::{error::ConfigError, event::Observer, policy::Scope, stats::Stats, store::Store};

/// An HTTP response cache in front of any
/// `Service<http::Request<_>, Response = http::Response<_>>`.
///
/// [`private`](CacheLayer::private) makes a cache for one client. It stores every response that its
/// methods and statuses allow. Responses never expire unless an expiration is set.
///
/// [`shared`](CacheLayer::shared) makes a cache in front of many users. It stores nothing until an
/// expiration is set, and no response that may be meant for one user alone.
///
/// Clones share the store, the on/off switch and the counters. A setting that is changed on a clone
/// applies to that clone only.
///
/// A setter replaces what an earlier call has set. A setter whose name begins with `add_` adds to
/// it. A setter that can refuse a value returns a [`ConfigError`](crate::ConfigError) then.
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
    /// Stops the background tasks when the last handle is dropped.
    pub(crate) tasks: Tasks,
}

/// The state of a layer, as its requests and tasks hold it.
#[derive(Debug)]
pub(crate) struct Inner<B> {
    pub(crate) settings: Settings,
    pub(crate) handle: Handle<B>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: WeakTasks,
}

/// The state that the clones of a layer share, besides the store.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) calls: Calls,
    /// How many bytes the bodies in flight hold beyond their replay buffers.
    overflow_bytes: Arc<AtomicU64>,
    /// How many bytes of request bodies are held for keys.
    request_bytes: Arc<AtomicU64>,
    pub(crate) backoff: Backoff,
    is_disabled: AtomicBool,
}

impl<B: Store> CacheLayer<B> {
    /// A private cache over `store`, for one client.
    ///
    /// It stores responses of status 200 to `GET` and `HEAD`, whatever their cache headers say.
    /// They never expire by default. Responses with `Set-Cookie` are stored too. Requests that
    /// differ in `Authorization` or `Cookie` never share a response.
    pub fn private(store: B) -> Self {
        Self::with_scope(store, Scope::Private)
    }

    /// A shared cache over `store`, in front of many users: for a server's routes or a gateway.
    ///
    /// It stores nothing until an expiration is set ([`expire_after`](CacheLayer::expire_after) and
    /// its siblings).
    ///
    /// By default, requests with credentials (`Authorization`, `Cookie`, user information in the
    /// URL) bypass it, and responses with `Set-Cookie` are not stored.
    /// [`store_credentialed`](CacheLayer::store_credentialed) and
    /// [`store_set_cookie`](CacheLayer::store_set_cookie) change that.
    ///
    /// Hosts, paths and queries that are spelled differently (`A:80`, `/a/../b`, `/%62`) are
    /// different, since the services behind the cache may tell them apart. If a request names a
    /// host in its URI and another one in `Host`, its URL has that of the URI, and its key has
    /// both.
    /// [`guide::gateway`](crate::guide::gateway) has a reverse proxy that writes hosts in one way.
    ///
    /// With [`http_rules`](CacheLayer::http_rules), the cache headers decide what is stored, for
    /// how long and for whom.
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

    /// The store that holds the responses.
    #[must_use]
    pub fn store(&self) -> &B {
        self.inner.handle.store()
    }
}

impl<B> CacheLayer<B> {
    /// Switches the cache on or off, for this layer and all its clones and services.
    ///
    /// While it is off, the cache does not read, write or remove anything in the store. Every
    /// request goes to the inner service, except requests with
    /// [`only_if_cached`](crate::CacheOptions::only_if_cached).
    pub fn set_enabled(&self, enabled: bool) {
        self.inner.shared.is_disabled.store(!enabled, Ordering::Relaxed);
    }

    /// Whether the cache is switched on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.is_enabled()
    }

    /// Returns the counters of this layer, its clones and their services.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Waits until no background refresh of this layer, its clones and their services is in flight.
    /// New refreshes may begin in the meantime, so a program that ends drops its services first.
    ///
    /// Dropping the last of the layer's handles and services stops every refresh that nobody waits
    /// for. A refresh that is stopped stores nothing.
    pub async fn idle(&self) {
        self.tasks.idle().await;
    }

    /// Waits until the store has written, and synced to the disk, everything that it has
    /// acknowledged: [`Store::flush`]. A program that exits without dropping its layers and
    /// services calls it last.
    ///
    /// # Errors
    ///
    /// If the store cannot write.
    pub async fn flush(&self) -> crate::store::Result<()>
    where
        B: Store,
    {
        self.inner.handle.store().flush().await
    }

    pub(super) fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut Arc::make_mut(&mut self.inner).settings);
        self
    }

    /// The same for a setting that may be refused.
    pub(super) fn try_set(
        mut self,
        set: impl FnOnce(&mut Settings) -> Result<(), ConfigError>,
    ) -> Result<Self, ConfigError> {
        set(&mut Arc::make_mut(&mut self.inner).settings)?;
        Ok(self)
    }

    pub(super) fn set_handle(mut self, set: impl FnOnce(&mut Handle<B>)) -> Self {
        set(&mut Arc::make_mut(&mut self.inner).handle);
        self
    }
}

impl Shared {
    pub(crate) fn is_enabled(&self) -> bool {
        !self.is_disabled.load(Ordering::Relaxed)
    }
}

impl<B> Inner<B> {
    pub(crate) fn is_enabled(&self) -> bool {
        self.shared.is_enabled()
    }

    /// The limit on the sum of all request bodies that are read for keys.
    pub(super) fn request_budget(&self) -> Budget {
        Budget { held: self.shared.request_bytes.clone(), limit: self.settings.max_request_bodies }
    }

    /// The limit on what all bodies in flight hold beyond their replay buffers.
    pub(super) fn overflow_budget(&self) -> OverflowBudget {
        let (held, limit) = (&self.shared.overflow_bytes, self.settings.max_slow_reader_memory);
        OverflowBudget { held: held.clone(), limit }
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
