//! Which answers of the origin are failures, which a stale response may replace, and which say that
//! there is no resource any more.

use http::{HeaderMap, StatusCode, response};

use super::Rules;
use crate::policy::{Failure, grpc};

impl Rules {
    /// The failure of the origin that the head of a response reports, if any.
    pub(crate) fn failure(&self, head: &response::Parts) -> Option<Failure> {
        if self.is_failure(head.status) {
            return Some(Failure::Status(head.status));
        }
        self.failure_behind(&head.headers)
    }

    /// The failure that the trailers report, if any.
    pub(crate) fn failure_behind(&self, trailers: &HeaderMap) -> Option<Failure> {
        self.grpc.as_ref().and_then(|_| grpc::failure(trailers)).map(Failure::Grpc)
    }

    /// Whether `status` counts as a failure of the origin.
    pub(super) fn is_failure(&self, status: StatusCode) -> bool {
        self.error_statuses.contains(&status)
    }

    /// Whether the response says that the resource does not exist, or no longer exists.
    pub(crate) fn is_gone(&self, response: &response::Parts) -> bool {
        matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE)
            || (self.grpc.is_some() && grpc::is_gone(&response.headers))
    }
}
