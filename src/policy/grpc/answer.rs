//! Whether the answer to a unary call may be kept: one message, and a status that says that the call succeeded.

use http::HeaderMap;

use super::{Message, STATUS};
use crate::status::Refusal;

/// The answer to a unary call, judged as it comes.
///
/// The status stands in the trailers. Where there is nothing else to send, it stands in the head: so do most errors.
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

    /// Judges the next piece of the body.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        self.message.take(chunk).map_err(|_| Refusal::NotUnary)
    }

    /// Judges the whole, once the body has ended.
    pub(crate) fn end(&self, trailers: Option<&HeaderMap>) -> Result<(), Refusal> {
        let is_ok = trailers.map_or(Ok(false), says_ok)?;
        if !is_ok && !self.is_ok {
            // A stream that was cut off may well look like an end.
            return Err(Refusal::GrpcStatus);
        }
        if self.message.is_whole() { Ok(()) } else { Err(Refusal::NotUnary) }
    }
}

/// Whether the fields say that the call succeeded, if they say anything.
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

    fn judge(
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
    fn a_message_and_a_good_status_are_kept_wherever_it_stands() {
        assert_eq!(judge(&[], ONE, Some(&["0"])), Ok(()));
        assert_eq!(judge(&["0"], ONE, None), Ok(()));
        assert_eq!(judge(&["0"], ONE, Some(&[])), Ok(()));
        assert_eq!(judge(&["0"], ONE, Some(&["0"])), Ok(()));
    }

    #[test]
    fn another_status_is_not_kept_nor_is_none() {
        let refused = Err(Refusal::GrpcStatus);
        assert_eq!(judge(&["5"], b"", None), refused);
        assert_eq!(judge(&[], ONE, Some(&["13"])), refused);
        assert_eq!(judge(&["0"], ONE, Some(&["13"])), refused);
        assert_eq!(judge(&["5"], ONE, Some(&["0"])), refused);
        assert_eq!(judge(&[], ONE, Some(&["0", "2"])), refused);
        assert_eq!(judge(&[], ONE, Some(&[])), refused);
        assert_eq!(judge(&[], ONE, None), refused);
        for odd in ["", "00", " 0", "ok", "-0", "0, 0"] {
            let mut answer = UnaryAnswer::new(&HeaderMap::new()).unwrap();
            answer.take(ONE).unwrap();
            let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static(odd))]);
            assert_eq!(answer.end(Some(&trailers)), refused, "{odd:?}");
        }
    }

    #[test]
    fn several_messages_are_not_kept_nor_is_none() {
        let refused = Err(Refusal::NotUnary);
        assert_eq!(judge(&[], &ONE.repeat(2), Some(&["0"])), refused);
        assert_eq!(judge(&[], b"", Some(&["0"])), refused);
        assert_eq!(judge(&["0"], b"", None), refused);
        assert_eq!(judge(&[], &ONE[..5], Some(&["0"])), refused);
    }
}
