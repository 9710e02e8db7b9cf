//! [`RefreshFailure`]: a refresh in the background that failed, since no response can say it.

use std::{error::Error, fmt};

use http::StatusCode;

use super::Refusal;
use crate::key::Key;

/// A refresh in the background that failed.
///
/// The stored response stays as it was. Requests that find it stale, or due for refresh, begin
/// another refresh after a pause: one second, twice as long after each further failure, up to a
/// minute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshFailure {
    /// The key of the stored response.
    pub key: Key,
    /// The normalised URL of the request, without user information and ignored parameters.
    pub url: String,
    /// Why it failed.
    pub reason: RefreshError,
}

/// Why a refresh in the background failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshError {
    /// The inner service returned an error. It may be of any type, and is not kept.
    Call,
    /// The response has a [status that counts as a failure](crate::CacheLayer::error_statuses).
    Status(StatusCode),
    /// The response to a [gRPC](crate::CacheLayer::grpc) call has a `grpc-status` that counts as a
    /// failure: 2 (`UNKNOWN`), 4 (`DEADLINE_EXCEEDED`), 13 (`INTERNAL`) or 14 (`UNAVAILABLE`).
    GrpcStatus(u8),
    /// The body of the response failed.
    Body,
    /// The refresh took longer than its [time limit](crate::CacheLayer::refresh_timeout).
    TimedOut,
    /// The inner service, or the body of the response, panicked.
    Panicked,
    /// The response arrived, and was not stored.
    NotStored(Refusal),
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call => f.write_str("the inner service failed"),
            Self::Status(status) => write!(f, "the response has status {}", status.as_u16()),
            Self::GrpcStatus(code) => write!(f, "the response has grpc-status {code}"),
            Self::Body => f.write_str("the body of the response failed"),
            Self::TimedOut => f.write_str("the refresh took too long"),
            Self::Panicked => f.write_str("the inner service panicked"),
            Self::NotStored(refusal) => write!(f, "the response was not stored ({refusal})"),
        }
    }
}

impl Error for RefreshError {}

impl fmt::Display for RefreshFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refresh of {}: {}", self.url, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_of_what_and_why() {
        let of = |reason| {
            let url = "http://a/b".to_owned();
            RefreshFailure { key: Key::digest(""), url, reason }.to_string()
        };
        let status = RefreshError::Status(StatusCode::BAD_GATEWAY);
        assert_eq!(of(status), "refresh of http://a/b: the response has status 502");
        let refused = RefreshError::NotStored(Refusal::TooLarge);
        assert_eq!(of(refused), "refresh of http://a/b: the response was not stored (too-large)");
    }
}
