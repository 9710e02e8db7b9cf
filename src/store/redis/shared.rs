//! What all handles of a store share: the connection and the settings.

use redis::{Cmd, FromRedisValue, Value};

use super::{link::Link, names::Names};
use crate::{
    Key,
    store::{ErrorKind, Result, server::Settings},
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
    pub(super) async fn read<T: FromRedisValue>(&self, key: &Key, cmd: &Cmd) -> Result<T> {
        let answer = self.link.read(cmd).await.map_err(|error| match error.kind() {
            ErrorKind::Corrupt => error.with_key(key),
            _ => error,
        })?;
        self.parse(answer)
    }

    /// Converts an answer of the server.
    pub(super) fn parse<T: FromRedisValue>(&self, answer: Value) -> Result<T> {
        redis::from_redis_value(answer).map_err(|_| self.link.circuit().strange())
    }
}
