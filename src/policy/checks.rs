//! What is judged piece by piece, while bodies come: [`RequestCheck`] and [`ResponseCheck`]. And [`Failure`]: how a
//! response says that the server failed.
//!
//! HTTP itself asks nothing of bodies; gRPC does ([`grpc`]). Whoever reads a body asks the check that [`Rules`](super::Rules)
//! gives for it, and need not know which of the two it is.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::grpc;
use crate::status::{Bypass, RefreshError, Refusal};

/// Whether the body of a request can be part of a key, judged as it is read. By default, anything can.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestCheck(Option<grpc::Message>);

impl RequestCheck {
    /// That the body is one message.
    pub(super) fn unary() -> Self {
        Self(Some(grpc::Message::default()))
    }

    /// Whether there has to be a body.
    pub(crate) fn needs_body(&self) -> bool {
        self.0.is_some()
    }

    /// The longest that the body may pause before it is let go with [`paused`](Self::paused); `None` is for ever.
    pub(crate) fn longest_pause(&self) -> Option<Duration> {
        self.0.as_ref().map(|_| grpc::PAUSE)
    }

    /// What a body is that pauses for longer.
    pub(crate) fn paused(&self) -> Bypass {
        Bypass::NotUnary
    }

    /// Judges the next piece.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), Bypass> {
        let Some(message) = &mut self.0 else { return Ok(()) };
        message.take(chunk).map_err(|_| Bypass::NotUnary)
    }

    /// How many bytes the body says that it will have at least; 0 where it has not said so.
    pub(crate) fn announced(&self) -> u64 {
        self.0.as_ref().and_then(grpc::Message::len).unwrap_or(0)
    }

    /// Judges the whole, once the body has ended.
    pub(crate) fn end(&self) -> Result<(), Bypass> {
        match &self.0 {
            Some(message) if !message.is_whole() => Err(Bypass::NotUnary),
            _ => Ok(()),
        }
    }
}

/// Whether a response may be kept, as far as its body and its trailers tell. By default, all may.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseCheck(Option<grpc::UnaryAnswer>);

impl ResponseCheck {
    /// That it is the answer to a unary call, and the call succeeded; so far as the `head` tells.
    pub(super) fn unary(head: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self(Some(grpc::UnaryAnswer::new(head)?)))
    }

    /// Judges the next piece of the body.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.0.as_mut().map_or(Ok(()), |answer| answer.take(chunk))
    }

    /// Judges the whole, once the body has ended.
    pub(crate) fn end(&self, trailers: Option<&HeaderMap>) -> Result<(), Refusal> {
        self.0.as_ref().map_or(Ok(()), |answer| answer.end(trailers))
    }
}

/// How a response says that the server failed.
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
    fn without_a_protocol_of_their_own_bodies_may_be_anything() {
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
    fn a_unary_request_is_one_message_that_is_soon_there() {
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
    fn a_unary_answer_is_one_message_and_a_good_status() {
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
