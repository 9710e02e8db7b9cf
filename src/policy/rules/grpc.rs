//! The differences between plain HTTP and gRPC. Bodies and trailers also describe the requests,
//! responses and failures of gRPC. Only [`Rules`] knows which of the two the cache is for.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE, response};

use super::Rules;
use crate::{
    policy::{GrpcMethods, RequestCheck, ResponseCheck, grpc},
    status::Refusal,
};

impl Rules {
    /// Caches unary gRPC calls of these methods and nothing else.
    pub(crate) fn use_grpc(&mut self, methods: GrpcMethods) {
        self.grpc = Some(methods);
    }

    /// The check that the body of a request must pass to be part of a key.
    pub(crate) fn request_check(&self) -> RequestCheck {
        self.grpc.as_ref().map_or_else(RequestCheck::default, |_| RequestCheck::unary())
    }

    /// The check that the body and trailers of a response with this head must pass for it to be
    /// stored.
    pub(crate) fn response_check(&self, head: &response::Parts) -> Result<ResponseCheck, Refusal> {
        match self.grpc {
            Some(_) => ResponseCheck::unary(&head.headers),
            None => Ok(ResponseCheck::default()),
        }
    }

    /// Whether requests may carry a time limit.
    pub(crate) fn has_time_limits(&self) -> bool {
        self.grpc.is_some()
    }

    /// The time limit of a request with these fields, if it has one.
    pub(crate) fn time_limit(&self, request: &HeaderMap) -> Option<Duration> {
        self.grpc.as_ref().and_then(|_| grpc::timeout(request))
    }

    /// Replaces the time limit of a request with these fields by `limit`. A request without a time
    /// limit is not changed.
    pub(crate) fn limit_time(&self, request: &mut HeaderMap, limit: Duration) {
        if self.time_limit(request).is_some() {
            grpc::set_timeout(request, limit);
        }
    }

    /// Fields and body of a 504 whose text is `why`, a sentence of plain ASCII without `%`.
    pub(crate) fn unanswerable(&self, why: &str) -> (HeaderMap, Bytes) {
        if self.grpc.is_some() {
            return (grpc::unavailable(why), Bytes::new());
        }
        let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
        (HeaderMap::from_iter([(CONTENT_TYPE, text_plain)]), Bytes::from(format!("{why}\n")))
    }
}
