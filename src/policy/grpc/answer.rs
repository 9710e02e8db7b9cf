//! Whether the answer to a unary call may be stored: it must be one message, with a status of
//! success.

use http::HeaderMap;

use super::{Message, STATUS};
use crate::status::Refusal;

/// Checks the answer to a unary call as it arrives.
///
/// The status is in the trailers. If the answer has no message, as in most errors, the status is in
/// the head.
#[derive(Clone, Debug)]
pub(crate) struct UnaryAnswer {
    message: Message,
    is_ok: bool,
}

impl UnaryAnswer {
    /// Judges the `head`.
    pub(crate) fn new(head: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self { message: Message::default(), is_ok: says_ok(head)? })
    }

    /// Judges the next chunk of the body.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.message.take(chunk).map_err(|_| Refusal::NotUnary)
    }

    /// Judges the whole body after its end.
    pub(crate) fn end(&self, trailers: Option<&HeaderMap>) -> Result<(), Refusal> {
        let is_ok = trailers.map_or(Ok(false), says_ok)?;
        if !is_ok && !self.is_ok {
            // A stream that was cut off can look like one that has ended.
            return Err(Refusal::GrpcStatus);
        }
        if self.message.is_whole() { Ok(()) } else { Err(Refusal::NotUnary) }
    }
}

/// Whether the fields have a status. An error if that status is not success.
fn says_ok(fields: &HeaderMap) -> Result<bool, Refusal> {
    if fields.get_all(STATUS).iter().any(|line| line.as_bytes() != b"0") {
        return Err(Refusal::GrpcStatus);
    }
    Ok(fields.contains_key(STATUS))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (STATUS, HeaderValue::from_static(line))).collect()
    }

    fn check(
        head: &[&'static str],
        body: &[u8],
        trailers: Option<&[&'static str]>,
    ) -> Result<(), Refusal> {
        let mut answer = UnaryAnswer::new(&fields(head))?;
        answer.take(body)?;
        answer.end(trailers.map(fields).as_ref())
    }

    const ONE: &[u8] = b"\0\0\0\0\x01a";

    #[test]
    fn one_message_and_a_status_of_success_are_storable() {
        assert_eq!(check(&[], ONE, Some(&["0"])), Ok(()));
        assert_eq!(check(&["0"], ONE, None), Ok(()));
        assert_eq!(check(&["0"], ONE, Some(&[])), Ok(()));
        assert_eq!(check(&["0"], ONE, Some(&["0"])), Ok(()));
    }

    #[test]
    fn failed_and_missing_statuses_are_refused() {
        let refused = Err(Refusal::GrpcStatus);
        assert_eq!(check(&["5"], b"", None), refused);
        assert_eq!(check(&[], ONE, Some(&["13"])), refused);
        assert_eq!(check(&["0"], ONE, Some(&["13"])), refused);
        assert_eq!(check(&["5"], ONE, Some(&["0"])), refused);
        assert_eq!(check(&[], ONE, Some(&["0", "2"])), refused);
        assert_eq!(check(&[], ONE, Some(&[])), refused);
        assert_eq!(check(&[], ONE, None), refused);
        for odd in ["", "00", " 0", "ok", "-0", "0, 0"] {
            let mut answer = UnaryAnswer::new(&HeaderMap::new()).unwrap();
            answer.take(ONE).unwrap();
            let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static(odd))]);
            assert_eq!(answer.end(Some(&trailers)), refused, "{odd:?}");
        }
    }

    #[test]
    fn several_messages_and_no_message_are_refused() {
        let refused = Err(Refusal::NotUnary);
        assert_eq!(check(&[], &ONE.repeat(2), Some(&["0"])), refused);
        assert_eq!(check(&[], b"", Some(&["0"])), refused);
        assert_eq!(check(&["0"], b"", None), refused);
        assert_eq!(check(&[], &ONE[..5], Some(&["0"])), refused);
    }
}
