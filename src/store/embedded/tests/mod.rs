//! Tests of the engine over a database in memory, and what the tests of the stores share.

use bytes::Bytes;
use http::{Method, Response};

mod fake;
mod faults;
#[path = "../../../../tests/support/occupied.rs"]
pub(in crate::store) mod occupied;
mod reads;

use crate::{
    Key,
    entry::Head,
    store::{Store, Writer},
    time::Timestamp,
};

pub(in crate::store) const KEY: Key = Key::from_bytes([7; 32]);

pub(in crate::store) fn head() -> Head {
    let parts = Response::new(()).into_parts().0;
    Head::new(Method::GET, "http://a/", parts, Timestamp::MIN)
}

/// Stores an entry under [`KEY`], in the file.
pub(in crate::store) async fn put<S: Store>(store: &S) {
    let mut writer = store.put(&KEY, head()).await.unwrap();
    writer.write(Bytes::from_static(b"body")).await.unwrap();
    writer.finish(None).await.unwrap();
    store.flush().await.unwrap();
}
