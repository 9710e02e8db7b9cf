//! The framing of messages. Five bytes precede each message: a flag for compression, and the
//! length.

use std::time::Duration;

/// The longest pause in a unary request. A unary request sends its message and its end without
/// waiting. A client that waits for an answer before it sends more must not be held here.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// The length of the prefix of a message.
const PREFIX: usize = 5;

/// The single message of a body, counted as its chunks arrive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    prefix: [u8; PREFIX],
    seen: u64,
}

/// The body is not a single message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOne;

impl Message {
    /// Counts the next chunk.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), NotOne> {
        let begun = usize::try_from(self.seen).unwrap_or(PREFIX).min(PREFIX);
        let missing = self.prefix[begun..].iter_mut();
        missing.zip(bytes).for_each(|(place, byte)| *place = *byte);
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        // The flag is 0 or 1. Any other value does not start a message.
        let is_message = self.prefix[0] <= 1;
        match self.len() {
            Some(len) if self.seen > len => Err(NotOne),
            _ if is_message => Ok(()),
            _ => Err(NotOne),
        }
    }

    /// The length of the message with its prefix, once it is known.
    pub(crate) fn len(&self) -> Option<u64> {
        let [_, len @ ..] = self.prefix;
        let is_known = self.seen >= PREFIX as u64;
        is_known.then(|| PREFIX as u64 + u64::from(u32::from_be_bytes(len)))
    }

    /// Whether the body is exactly the whole message so far.
    pub(crate) fn is_whole(&self) -> bool {
        self.len() == Some(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&[u8]]) -> (Result<(), NotOne>, bool) {
        let mut message = Message::default();
        let taken = pieces.iter().try_for_each(|piece| message.take(piece));
        (taken, message.is_whole())
    }

    #[test]
    fn one_message_is_recognized_in_any_chunks() {
        let bytes = b"\0\0\0\0\x03abc";
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(of(&pieces), (Ok(()), true), "{first} {second}");
            }
            let is_whole = first == bytes.len();
            assert_eq!(of(&[&bytes[..first]]), (Ok(()), is_whole), "{first}");
        }
        assert_eq!(
            of(&[b"\x01\0\0\0\0"]),
            (Ok(()), true),
            "an empty message is a message, compressed or not"
        );
    }

    #[test]
    fn bytes_after_the_message_are_refused() {
        assert_eq!(of(&[b"\0\0\0\0\x01a", b"\0"]).0, Err(NotOne));
        assert_eq!(of(&[b"\0\0\0\0\x01ab"]).0, Err(NotOne));
        assert_eq!(of(&[b"\0\0\0\0\0", b"", b"\0\0\0\0\0"]).0, Err(NotOne));
    }

    #[test]
    fn trailers_in_the_body_are_no_message() {
        assert_eq!(of(&[b"\x80\0\0\0\x0f"]).0, Err(NotOne));
        assert_eq!(of(&[b"\x80"]).0, Err(NotOne));
    }

    #[test]
    fn the_length_is_known_after_the_prefix() {
        let mut message = Message::default();
        message.take(b"\0\xff\xff\xff").unwrap();
        assert_eq!(message.len(), None);
        message.take(b"\xff").unwrap();
        assert_eq!(message.len(), Some(5 + u64::from(u32::MAX)));
    }
}
