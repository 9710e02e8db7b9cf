//! What a store gives out: [`Hit`] and [`Scanned`], with the [`Version`] of the entry.

use std::sync::Arc;

use http::Response;

use super::{
    body::StoredBody,
    error::{Error, ErrorKind, Result},
};
use crate::{entry::Head, key::Key};

/// The version of an entry. Every finished write and every update gives the entry a new one: one
/// that this key never had, also after a removal, [`clear`](super::Store::clear) and reopening. If
/// versions began again, a caller that saw an old entry would change or remove the new one.
///
/// A store can count in one place that no removal resets, or draw numbers at random.
///
/// Versions can only be compared for equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// Creates a version from the number that a store keeps for it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number that a store keeps.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A stored entry: a shared head, and a body to read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Hit {
    /// Status, header fields and attributes.
    pub head: Arc<Head>,
    /// The version of the entry, for [`Store::update`](super::Store::update) and
    /// [`Store::remove_if`](super::Store::remove_if).
    pub version: Version,
    /// The body, which can be read once.
    pub body: StoredBody,
    /// How many of the head's notes wrapping stores have read.
    pub(crate) notes_read: usize,
}

impl Hit {
    /// Creates the result of [`Store::get`](super::Store::get).
    #[must_use]
    pub fn new(head: Arc<Head>, version: Version, body: StoredBody) -> Self {
        Self { head, version, body, notes_read: 0 }
    }

    /// Checks that the body is as long as its head says. A short body would be served as a whole
    /// one.
    pub(crate) fn whole(self) -> Result<Self> {
        let (len, said) = (self.body.len(), self.head.body_len());
        if len == said {
            return Ok(self);
        }
        let why = format!("the body has {len} bytes, but its head says {said}");
        Err(Error::new(ErrorKind::Corrupt, "store", why))
    }

    /// Returns the response as it was stored, with its trailers.
    #[must_use]
    pub fn into_response(self) -> Response<StoredBody> {
        let (status, version) = (self.head.status(), self.head.version());
        // A head that no other handle shares is taken apart without a copy.
        let (headers, trailers) = match Arc::try_unwrap(self.head) {
            Ok(head) => head.into_fields(),
            Err(head) => (head.headers().clone(), head.trailers().cloned()),
        };
        let mut response = Response::new(self.body.with_trailers(trailers));
        *response.status_mut() = status;
        *response.version_mut() = version;
        *response.headers_mut() = headers;
        response
    }
}

/// One item of [`Store::scan`](super::Store::scan).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scanned {
    /// The key of the entry.
    pub key: Key,
    /// The version of the entry, for [`Store::update`](super::Store::update) and
    /// [`Store::remove_if`](super::Store::remove_if).
    pub version: Version,
    /// Status, header fields and attributes.
    pub head: Arc<Head>,
    /// How many of the head's notes wrapping stores have read.
    pub(crate) notes_read: usize,
}

impl Scanned {
    /// Creates an item of [`Store::scan`](super::Store::scan).
    #[must_use]
    pub fn new(key: Key, version: Version, head: Arc<Head>) -> Self {
        Self { key, version, head, notes_read: 0 }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Method;

    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn bodies_with_a_wrong_length_are_corrupt() {
        let hit = |body: &'static [u8]| {
            let parts = Response::new(()).into_parts().0;
            let head = Head::new(Method::GET, "http://a/", parts, Timestamp::MIN).seal(3, None);
            Hit::new(head.into(), Version::new(1), StoredBody::from(Bytes::from_static(body)))
        };
        assert!(hit(b"abc").whole().is_ok());
        for body in [&b"ab"[..], b"abcd", b""] {
            assert_eq!(hit(body).whole().unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
