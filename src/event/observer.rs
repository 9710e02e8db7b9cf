//! [`Observer`]: the receiver of a layer's events.

#[cfg(feature = "metrics")]
use std::sync::OnceLock;
use std::{
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

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
                // The payload may panic when it is dropped, which this guard does not catch.
                mem::forget(payload);
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

    /// Runs an operation of the store, and reports how long it took if anything listens.
    async fn timed<F: Future>(&self, operation: StoreOperation, asked: F) -> F::Output {
        let begun = self.is_timing().then(Instant::now);
        let answer = asked.await;
        if let Some(begun) = begun {
            self.tell(&Event::StoreDone { operation, elapsed: begun.elapsed() });
        }
        answer
    }

    fn is_timing(&self) -> bool {
        #[cfg(feature = "tracing")]
        let is_logged = log::is_on();
        #[cfg(not(feature = "tracing"))]
        let is_logged = false;
        cfg!(feature = "metrics") || is_logged || !self.hooks.is_empty()
    }

    /// Runs an operation of the store on the entry under `key`, or on several entries. Reports its
    /// time and its failure.
    pub(crate) async fn asked<'a, T>(
        &self,
        operation: StoreOperation,
        key: impl Into<Option<&'a Key>>,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let answer = self.timed(operation, asked).await;
        if let Err(error) = &answer {
            self.store_failed(operation, key.into(), error);
        }
        answer
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

/// Counts a call in the gauge of calls in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct CallGauge {
    #[cfg(feature = "metrics")]
    _metered: MeteredCall,
}
