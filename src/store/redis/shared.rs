//! What all handles of a store share: the connection and the settings.

use redis::{Cmd, Value};

use super::{link::Link, names::Names};
use crate::{
    Key,
    store::{Error, ErrorKind, Result, server::Settings},
};

/// What all handles share.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) names: Names,
    pub(super) settings: Settings,
}

impl Shared {
    pub(super) fn linger_millis(&self) -> String {
        self.settings.linger.as_millis().to_string()
    }

    /// Reads what the server has of the entry under `key`.
    pub(super) async fn read(&self, key: &Key, cmd: &Cmd) -> Result<Value> {
        self.link.read(cmd).await.map_err(|error| match error.kind() {
            ErrorKind::Corrupt => error.with_key(key),
            _ => error,
        })
    }

    pub(super) fn strange(&self) -> Error {
        self.link.circuit().strange()
    }
}
