//! The auto traits and the derived traits of the public types. The compiler checks them.

use std::{
    cell::Cell,
    fmt::Debug,
    hash::Hash,
    marker::{PhantomData, PhantomPinned},
};

use bytes::Bytes;
use http_body_util::Full;
use larder::{
    Cache, CacheLayer, CacheOptions, CacheStatus, ConfigError, Entries, EntryInfo, Event,
    Expiration, Filter, Key, Outcome, ParseKeyError, RequestBody, ResponseBody, ResponseFuture,
    StaleLimit, Stats, StoreOperation, Stored, Target,
    entry::{DecodeError, Head},
    status::{Bypass, Miss, RefreshError, RefreshFailure, Refusal, Stale},
    store::{self, ErrorKind, Evicted, Hit, Memory, Scanned, StoredBody, Version},
    time::{ManualClock, SystemClock, Timestamp},
};

use crate::support::{Double, NotSync, NotUnpin};

fn plain<T: Send + Sync + Unpin + Clone + Debug + 'static>() {}
fn value<T: Copy + Eq + Hash + Send + Sync + Unpin + Debug + 'static>() {}
fn moved<T: Send + Sync + Unpin + Debug + 'static>() {}
fn error<T: std::error::Error + Send + Sync + Unpin + 'static>() {}
fn clone<T: Clone>() {}
fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unpin<T: Unpin>() {}

/// A type that is `Send`, but not `Sync`.
type OneThread = PhantomData<Cell<()>>;

/// A service that is `Clone` and `Send` only, as tower's boxes are.
#[derive(Clone)]
struct Inner<T>(T);

#[test]
fn handles_are_cheap_to_share() {
    plain::<CacheLayer<Memory>>();
    plain::<Entries<Memory>>();
    plain::<Memory>();
    plain::<CacheOptions>();
    plain::<CacheStatus>();
    plain::<EntryInfo>();
    plain::<Filter>();
    plain::<Head>();
    plain::<Scanned>();
    plain::<ManualClock>();
    plain::<SystemClock>();
    plain::<ConfigError>();
    moved::<Target>();
    moved::<Hit>();
    moved::<StoredBody>();
}

#[test]
fn values_are_copy_eq_and_hash() {
    value::<Key>();
    value::<Timestamp>();
    value::<Version>();
    value::<ErrorKind>();
    value::<Outcome>();
    value::<Miss>();
    value::<Bypass>();
    value::<Refusal>();
    value::<Stored>();
    value::<Stale>();
    value::<StaleLimit>();
    value::<RefreshError>();
    plain::<Expiration>();
    plain::<Stats>();
    plain::<Evicted>();
    plain::<Event<'static>>();
    value::<StoreOperation>();
    plain::<RefreshFailure>();
}

#[test]
fn errors_are_send_and_sync() {
    error::<store::Error>();
    error::<ConfigError>();
    error::<ParseKeyError>();
    error::<DecodeError>();
    error::<RefreshError>();
}

#[test]
fn service_has_the_traits_of_the_inner_service() {
    plain::<Cache<(), Memory>>();
    clone::<Cache<Double, Memory>>();
    send::<Cache<Inner<OneThread>, Memory>>();
    clone::<Cache<Inner<OneThread>, Memory>>();
    unpin::<Cache<Inner<OneThread>, Memory>>();
}

#[test]
fn bodies_have_the_traits_of_the_bodies_inside() {
    moved::<RequestBody<Full<Bytes>>>();
    clone::<RequestBody<Full<Bytes>>>();
    moved::<ResponseBody<Full<Bytes>>>();
    send::<RequestBody<NotSync>>();
    send::<ResponseBody<NotSync>>();
    unpin::<ResponseBody<NotSync>>();
    send::<RequestBody<NotUnpin>>();
    send::<ResponseBody<NotUnpin>>();
    sync::<ResponseBody<Full<Bytes>>>();
}

#[test]
fn response_future_is_send_and_unpin() {
    send::<ResponseFuture<Full<Bytes>, std::io::Error>>();
    send::<ResponseFuture<NotUnpin, std::io::Error>>();
    unpin::<ResponseFuture<NotUnpin, PhantomPinned>>();
}
