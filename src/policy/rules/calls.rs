//! What is particular to the calls that are cached: plain HTTP's, or those of gRPC, whose requests, answers and failures
//! are told by their bodies and trailers as well. Which of them it is, is chosen here and known to [`Rules`] alone.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE, response};

use super::Rules;
use crate::{
    policy::{Failure, GrpcMethods, RequestCheck, ResponseCheck, grpc},
    status::Refusal,
};

impl Rules {
    /// Caches unary gRPC calls of these methods, and nothing else.
    pub(crate) fn use_grpc(&mut self, methods: GrpcMethods) {
        self.grpc = Some(methods);
    }

    /// What the body of a request has to be for it to be part of a key.
    pub(crate) fn request_check(&self) -> RequestCheck {
        self.grpc.as_ref().map_or_else(RequestCheck::default, |_| RequestCheck::unary())
    }

    /// What body and trailers of a response with this head have to be for it to be kept.
    pub(crate) fn response_check(&self, head: &response::Parts) -> Result<ResponseCheck, Refusal> {
        match self.grpc {
            Some(_) => ResponseCheck::unary(&head.headers),
            None => Ok(ResponseCheck::default()),
        }
    }

    /// How the head of a response says that the origin failed, where it does.
    pub(crate) fn failure(&self, head: &response::Parts) -> Option<Failure> {
        if self.is_failure(head.status) {
            return Some(Failure::Status(head.status));
        }
        self.failure_behind(&head.headers)
    }

    /// How the fields behind a body say so.
    pub(crate) fn failure_behind(&self, trailers: &HeaderMap) -> Option<Failure> {
        self.grpc.as_ref().and_then(|_| grpc::failure(trailers)).map(Failure::Grpc)
    }

    /// Whether a response of `status` says that the origin failed.
    pub(super) fn is_failure(&self, status: StatusCode) -> bool {
        self.error_statuses.contains(&status)
    }

    /// Whether the response says that there is no such thing any more.
    pub(crate) fn is_gone(&self, response: &response::Parts) -> bool {
        matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE)
            || (self.grpc.is_some() && grpc::is_gone(&response.headers))
    }

    /// Whether requests may say how long they may take.
    pub(crate) fn has_time_limits(&self) -> bool {
        self.grpc.is_some()
    }

    /// How long a request with these fields may take, where it says so.
    pub(crate) fn time_limit(&self, request: &HeaderMap) -> Option<Duration> {
        self.grpc.as_ref().and_then(|_| grpc::timeout(request))
    }

    /// Makes `limit` the time that a request with these fields may take, where it says that there is one.
    pub(crate) fn limit_time(&self, request: &mut HeaderMap, limit: Duration) {
        if self.time_limit(request).is_some() {
            grpc::set_timeout(request, limit);
        }
    }

    /// Fields and body of a 504 that says why nothing answers the request: in a sentence of plain ASCII without `%`.
    pub(crate) fn unanswerable(&self, why: &str) -> (HeaderMap, Bytes) {
        if self.grpc.is_some() {
            return (grpc::unavailable(why), Bytes::new());
        }
        let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
        (HeaderMap::from_iter([(CONTENT_TYPE, text_plain)]), Bytes::from(format!("{why}\n")))
    }
}
