//! Checks of bodies, applied to each chunk as it arrives: [`RequestCheck`] and [`ResponseCheck`].
//! [`Failure`] is how a response reports a failure of the server.
//!
//! Plain HTTP puts no conditions on bodies; gRPC does ([`grpc`]). A reader of a body calls the
//! check that [`Rules`](super::Rules) returns. It need not know which protocol applies.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::grpc;
use crate::status::{Bypass, RefreshError, Refusal};

/// Checks, while a request body is read, whether it can be part of a key. The default check accepts
/// any body.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestCheck(Option<grpc::Message>);

impl RequestCheck {
    /// Requires the body to be one gRPC message.
    pub(super) fn unary() -> Self {
        Self(Some(grpc::Message::default()))
    }

    /// Whether the request must have a body.
    pub(crate) fn needs_body(&self) -> bool {
        self.0.is_some()
    }

    /// The longest pause in the body. After a longer one, the request bypasses the cache for the
    /// reason [`paused`](Self::paused). `None` is no limit.
    pub(crate) fn longest_pause(&self) -> Option<Duration> {
        self.0.as_ref().map(|_| grpc::PAUSE)
    }

    /// The reason to bypass the cache after a pause that is too long.
    pub(crate) fn paused(&self) -> Bypass {
        Bypass::NotUnary
    }

    /// Judges the next chunk.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), Bypass> {
        let Some(message) = &mut self.0 else { return Ok(()) };
        message.take(chunk).map_err(|_| Bypass::NotUnary)
    }

    /// The least length of the body in bytes, as announced by the body itself; 0 if it announces
    /// none.
    pub(crate) fn announced(&self) -> u64 {
        self.0.as_ref().and_then(grpc::Message::len).unwrap_or(0)
    }

    /// Judges the whole body after its end.
    pub(crate) fn end(&self) -> Result<(), Bypass> {
        match &self.0 {
            Some(message) if !message.is_whole() => Err(Bypass::NotUnary),
            _ => Ok(()),
        }
    }
}

/// Checks, while a response is read, whether its body and trailers allow storing it. The default
/// check accepts any response.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseCheck(Option<grpc::UnaryAnswer>);

impl ResponseCheck {
    /// Requires the response to answer a unary call successfully. Returns an error if its `head`
    /// already shows that it does not.
    pub(super) fn unary(head: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self(Some(grpc::UnaryAnswer::new(head)?)))
    }

    /// Judges the next chunk of the body.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.0.as_mut().map_or(Ok(()), |answer| answer.take(chunk))
    }

    /// Judges the whole body after its end.
    pub(crate) fn end(&self, trailers: Option<&HeaderMap>) -> Result<(), Refusal> {
        self.0.as_ref().map_or(Ok(()), |answer| answer.end(trailers))
    }
}

/// How a response reports a failure of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// By its status.
    Status(StatusCode),
    /// By its `grpc-status`.
    Grpc(u8),
}

impl From<Failure> for RefreshError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Status(status) => Self::Status(status),
            Failure::Grpc(code) => Self::GrpcStatus(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"\0\0\0\0\x01a";

    #[test]
    fn default_checks_accept_any_body() {
        let mut request = RequestCheck::default();
        assert!(!request.needs_body() && request.longest_pause().is_none());
        for chunk in [&b"x"[..], &ONE.repeat(2)] {
            assert_eq!((request.take(chunk), request.announced()), (Ok(()), 0));
        }
        assert_eq!((request.end(), RequestCheck::default().end()), (Ok(()), Ok(())));
        let mut response = ResponseCheck::default();
        assert_eq!((response.take(b"x"), response.end(None)), (Ok(()), Ok(())));
    }

    #[test]
    fn unary_requests_are_one_message_without_long_pauses() {
        let mut check = RequestCheck::unary();
        assert!(check.needs_body() && check.longest_pause().is_some());
        assert_eq!((check.end(), check.announced()), (Err(Bypass::NotUnary), 0));
        assert_eq!((check.take(&ONE[..5]), check.announced()), (Ok(()), 6));
        assert_eq!(check.end(), Err(Bypass::NotUnary));
        assert_eq!((check.take(&ONE[5..]), check.end()), (Ok(()), Ok(())));
        assert_eq!((check.take(b"b"), check.announced()), (Err(Bypass::NotUnary), 6));
        assert_eq!(check.end(), Err(Bypass::NotUnary));
    }

    #[test]
    fn unary_answers_are_one_message_and_a_status_of_success() {
        let status = |value: &str| {
            let mut fields = HeaderMap::new();
            fields.insert("grpc-status", value.parse().unwrap());
            fields
        };
        let refused = ResponseCheck::unary(&status("5"));
        assert_eq!(refused.unwrap_err(), Refusal::GrpcStatus);
        let mut check = ResponseCheck::unary(&HeaderMap::new()).unwrap();
        assert_eq!(check.end(Some(&status("0"))), Err(Refusal::NotUnary));
        assert_eq!((check.take(ONE), check.end(None)), (Ok(()), Err(Refusal::GrpcStatus)));
        assert_eq!(check.end(Some(&status("0"))), Ok(()));
        assert_eq!(check.take(ONE), Err(Refusal::NotUnary));
    }
}
