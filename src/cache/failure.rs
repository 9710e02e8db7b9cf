//! [`RefreshFailure`]: what there is to say of a refresh in the background that failed, since no response can say it.

use std::{error::Error, fmt};

use http::StatusCode;

use crate::{key::Key, policy::Failure, status::Refusal};

/// A refresh in the background that failed.
///
/// What is stored stays as it was, unless the origin said that there is no such thing any more (404, 410). Requests that
/// find it stale, or about to be, begin another refresh after a pause: of one second, and of twice the last one with each
/// failure after that, up to a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshFailure {
    /// The key of the stored response.
    pub key: Key,
    /// The normalised URL of the request, as stored: without user information and ignored parameters.
    pub url: String,
    /// Why it failed.
    pub reason: RefreshError,
}

/// Why a refresh in the background failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshError {
    /// The inner service failed. Its error may be of any type, and is not kept.
    Call,
    /// The response has a [status](crate::CacheLayer::error_statuses) that counts as a failure.
    Status(StatusCode),
    /// The response to a [gRPC](crate::CacheLayer::grpc) call has this `grpc-status`, with which the server says that it
    /// failed: 2 (`UNKNOWN`), 4 (`DEADLINE_EXCEEDED`), 13 (`INTERNAL`) or 14 (`UNAVAILABLE`).
    GrpcStatus(u8),
    /// The response's body ended in an error.
    Body,
    /// It took longer than a refresh may (`refresh_timeout`).
    TimedOut,
    /// The inner service, or the response's body, panicked.
    Panicked,
    /// The response came, and could not be stored.
    NotStored(Refusal),
}

impl From<Failure> for RefreshError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Status(status) => Self::Status(status),
            Failure::Grpc(code) => Self::GrpcStatus(code),
        }
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call => f.write_str("the inner service failed"),
            Self::Status(status) => write!(f, "the response has status {}", status.as_u16()),
            Self::GrpcStatus(code) => write!(f, "the response has grpc-status {code}"),
            Self::Body => f.write_str("the response's body ended in an error"),
            Self::TimedOut => f.write_str("it took too long"),
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
