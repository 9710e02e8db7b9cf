//! [`Recorder`]: writes responses into a store as their bodies are read, and decides nothing.
//!
//! A cassette records each response that it is given, under a key that it is given. The recorder
//! uses the tee, the body and the store handle of the cache, but neither its policy, nor its
//! lookup, nor its calls.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderMap;

use super::{
    body::ResponseBody,
    context::OriginBody,
    handle::Handle,
    peeked::Peeked,
    tee::{self, Entry, Limits, OverflowBudget, Publishing, Related, Unstarted},
};
use crate::{
    entry::{Head, Others},
    event::{Event, Observer, StoreOperation},
    key::Key,
    policy::ResponseCheck,
    status::Refusal,
    store::{self, Hit, Store},
};

/// A store to record into and to read from.
#[derive(Clone, Debug)]
pub(crate) struct Recorder<B> {
    handle: Handle<B>,
    /// The first failure to write, as text.
    failure: Arc<Mutex<Option<String>>>,
    recorded: Recorded,
}

/// The keys under which a recorder and its clones have recorded a response.
type Recorded = Arc<Mutex<HashSet<Key>>>;

impl<B: Store> Recorder<B> {
    /// Records into `store`. The name of this cache in logs and metrics is `name`.
    pub(crate) fn new(store: B, name: &str) -> Self {
        let failure = Arc::<Mutex<Option<String>>>::default();
        let mut handle = Handle::new(store);
        // What is damaged may have been edited by hand.
        handle.keeps_damaged = true;
        let observer: &mut Observer = Arc::make_mut(&mut handle.observer);
        observer.set_name(name);
        let first = failure.clone();
        observer.add_hook(move |event| {
            use StoreOperation::{Finish, Put, Write};
            if let Event::StoreFailed { operation: Put | Write | Finish, error, .. } = event {
                let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| format!("{error:#}"));
            }
        });
        Self { handle, failure, recorded: Recorded::default() }
    }

    pub(crate) fn store(&self) -> &B {
        self.handle.store()
    }

    /// Why a response could not be recorded, if that has happened.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this recorder has recorded a response under this key.
    pub(crate) fn has_recorded(&self, key: &Key) -> bool {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    pub(crate) async fn get(&self, key: &Key) -> store::Result<Option<Hit>> {
        self.handle.get(key).await
    }

    pub(crate) async fn remove(&self, key: &Key) -> store::Result<bool> {
        self.handle.remove(key).await
    }

    /// Records a response when its body has been read to its end, which has `expected` bytes if
    /// that is known. Nothing is recorded of a body that fails or is dropped. Of its trailers,
    /// those are recorded that `redact` returns.
    pub(crate) async fn record<ResBody: OriginBody>(
        &self,
        key: Key,
        head: Head,
        body: ResBody,
        expected: Option<u64>,
        redact: impl Fn(HeaderMap) -> HeaderMap + Send + 'static,
    ) -> ResponseBody<ResBody> {
        let entry = Entry { key, call_key: key, head, names: None };
        let limits = Limits { expected, max: u64::MAX, check: ResponseCheck::default() };
        // The body has one reader, which is never behind another one.
        let budget = OverflowBudget { held: Arc::default(), limit: u64::MAX };
        let (handle, body) = (self.handle.clone(), Peeked::unread(body));
        let permit = Permit { key, recorded: self.recorded.clone(), redact };
        let mut body =
            Unstarted::new(handle, budget, entry, Related::default(), body, limits).start(permit);
        body.read_ahead().await;
        ResponseBody::shared(body)
    }
}

/// The permission to record. Nothing takes it back.
struct Permit<R> {
    key: Key,
    recorded: Recorded,
    redact: R,
}

impl<R: Fn(HeaderMap) -> HeaderMap + Send + 'static> tee::Permit for Permit<R> {
    fn is_invalidated(&self) -> bool {
        false
    }

    fn publishing(&self) -> impl Publishing {
        Unconditional
    }

    fn stored_trailers(&self, trailers: HeaderMap) -> HeaderMap {
        (self.redact)(trailers)
    }

    fn finish(self, stored: Result<u64, Refusal>) {
        if stored.is_ok() {
            self.recorded.lock().unwrap_or_else(PoisonError::into_inner).insert(self.key);
        }
    }
}

/// What is recorded is published, and has no variants.
struct Unconditional;

impl Publishing for Unconditional {
    async fn begin(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn others(&self) -> Option<Others> {
        None
    }
}
