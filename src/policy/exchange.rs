//! [`Exchange`]: a response that may be stored. [`Admission`]: how it may be.

use http::{HeaderName, request, response};

use crate::{options::CacheOptions, time::Timestamp};

/// A response, and all that the decision to store it depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) options: &'a CacheOptions,
    pub(crate) url: &'a str,
    pub(crate) request: &'a request::Parts,
    pub(crate) response: &'a response::Parts,
    pub(crate) requested_at: Timestamp,
    pub(crate) now: Timestamp,
}

/// How a response may be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// `None` is forever.
    pub(crate) expires_at: Option<Timestamp>,
    /// The fields that must not be stored (RFC 9111 §3.1).
    pub(crate) withheld: Vec<HeaderName>,
}
