//! [`Observer`]: the receiver of a layer's events.

#[cfg(feature = "metrics")]
use std::sync::OnceLock;
use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;

#[cfg(feature = "tracing")]
use super::log;
#[cfg(feature = "metrics")]
use super::meter::{Meter, MeteredCall};
use super::{Event, StoreOperation};
use crate::{
    key::Key,
    stats::Counters,
    store::{Error, ErrorKind, Result},
};

/// The name of a cache that was given none.
const NAME: &str = "larder";

type Hook = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// The counters, which all clones of a layer share, and the hooks, which each clone has for itself.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) counters: Arc<Counters>,
    name: Arc<str>,
    hooks: Vec<Hook>,
    #[cfg(feature = "metrics")]
    meter: Meter,
    /// Whether the metrics have been described. The clones of a layer share it.
    #[cfg(feature = "metrics")]
    described: Arc<OnceLock<()>>,
}

impl Default for Observer {
    fn default() -> Self {
        let name = Arc::<str>::from(NAME);
        Self {
            counters: Arc::default(),
            #[cfg(feature = "metrics")]
            meter: Meter::new(name.clone()),
            #[cfg(feature = "metrics")]
            described: Arc::default(),
            name,
            hooks: Vec::new(),
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("counters", &self.counters)
            .field("name", &self.name)
            .field("hooks", &self.hooks.len())
            .finish_non_exhaustive()
    }
}

impl Observer {
    pub(crate) fn set_name(&mut self, name: &str) {
        self.name = name.into();
        #[cfg(feature = "metrics")]
        {
            self.meter = Meter::new(self.name.clone());
        }
    }

    #[cfg(feature = "tracing")]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn add_hook(&mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.hooks.push(Arc::new(hook));
    }

    /// Gives the recorder the descriptions and units of the metrics. It does so once, since some
    /// frameworks apply a layer anew for each request.
    pub(crate) fn describe(&self) {
        #[cfg(feature = "metrics")]
        self.described.get_or_init(super::meter::describe);
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.counters.count(event);
        #[cfg(feature = "metrics")]
        self.meter.count(event);
        #[cfg(feature = "tracing")]
        log::event(&self.name, event);
        for hook in &self.hooks {
            // Hooks run in the middle of other work, in destructors too, where a panic would break
            // invariants. The panic hook has reported the panic already.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(event))) {
                // The payload may panic when it is dropped, and so may the payload of that panic.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                    mem::forget(payload);
                }
                #[cfg(feature = "tracing")]
                log::hook_panicked(&self.name);
            }
        }
    }

    /// Counts a call to the inner service for a response that may be stored.
    pub(crate) fn call_begins(&self) -> CallGauge {
        CallGauge {
            #[cfg(feature = "metrics")]
            _metered: self.meter.call(),
        }
    }

    pub(crate) fn has_hooks(&self) -> bool {
        !self.hooks.is_empty()
    }

    fn is_timing(&self) -> bool {
        #[cfg(feature = "tracing")]
        let is_logged = log::is_on();
        #[cfg(not(feature = "tracing"))]
        let is_logged = false;
        cfg!(feature = "metrics") || is_logged || !self.hooks.is_empty()
    }

    /// Runs an operation of the store on the entry under `key`, or on several entries. Reports its
    /// time, if anything listens, and its failure.
    pub(crate) fn asked<'a, F>(
        &'a self,
        operation: StoreOperation,
        key: impl Into<Option<&'a Key>>,
        asked: F,
    ) -> Asked<'a, F> {
        let begun = self.is_timing().then(Instant::now);
        Asked { asked, begun, observer: self, operation, key: key.into() }
    }

    /// Reports a failed operation of the store, or a damaged entry. An entry that is too large for
    /// the store is not a failure.
    pub(crate) fn store_failed(&self, operation: StoreOperation, key: Option<&Key>, error: &Error) {
        match (error.kind(), operation, key) {
            (ErrorKind::TooLarge, ..) => {}
            (ErrorKind::Corrupt, StoreOperation::Get | StoreOperation::Read, Some(key)) => {
                self.tell(&Event::Corrupt { key, error });
            }
            _ => self.tell(&Event::StoreFailed { operation, key, error }),
        }
    }
}

pin_project! {
    /// An operation of the store, which reports its time and failure. What a store does before it
    /// returns its future is not timed.
    ///
    /// A struct and not an `async fn`: that future would hold the operation twice.
    pub(crate) struct Asked<'a, F> {
        #[pin]
        asked: F,
        begun: Option<Instant>,
        observer: &'a Observer,
        operation: StoreOperation,
        key: Option<&'a Key>,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Asked<'_, F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        let answer = ready!(this.asked.poll(cx));
        let operation = *this.operation;
        if let Some(begun) = this.begun {
            this.observer.tell(&Event::StoreDone { operation, elapsed: begun.elapsed() });
        }
        if let Err(error) = &answer {
            this.observer.store_failed(operation, *this.key, error);
        }
        Poll::Ready(answer)
    }
}

/// Counts a call in the gauge of calls in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct CallGauge {
    #[cfg(feature = "metrics")]
    _metered: MeteredCall,
}
