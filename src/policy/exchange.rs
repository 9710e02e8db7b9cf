//! [`Exchange`]: a response to be judged. [`Storable`]: how it may be stored.

use http::{HeaderName, request};

use crate::{entry::ResponseHead, options::CacheOptions, time::Timestamp};

/// A response and everything that the decision to store it depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    /// The options of the request, with its directives ([`Rules::asked`](super::Rules::asked)).
    pub(crate) options: &'a CacheOptions,
    pub(crate) url: &'a str,
    pub(crate) request: &'a request::Parts,
    pub(crate) response: &'a ResponseHead,
    pub(crate) requested_at: Timestamp,
    pub(crate) now: Timestamp,
}

/// How a storable response is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storable {
    /// When the response expires. `None` is never.
    pub(crate) expires_at: Option<Timestamp>,
    /// The omitted fields (RFC 9111 §3.1).
    pub(crate) omitted: Vec<HeaderName>,
}
