//! The framing of messages: five bytes before each, whether it is compressed and how long it is.

use std::time::Duration;

/// The longest that a unary request may pause. It comes at once, message and end; one that goes on only when it has been
/// answered must not wait here for that.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// The length of what stands before a message.
const PREFIX: usize = 5;

/// The one message of a body, counted as it comes, in whatever pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    prefix: [u8; PREFIX],
    seen: u64,
}

/// More has come than one message, or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOne;

impl Message {
    /// Counts what comes next.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), NotOne> {
        let begun = usize::try_from(self.seen).unwrap_or(PREFIX).min(PREFIX);
        let missing = self.prefix[begun..].iter_mut();
        missing.zip(bytes).for_each(|(place, byte)| *place = *byte);
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        // Compressed or not: nothing else is a message.
        let is_message = self.prefix[0] <= 1;
        match self.len() {
            Some(len) if self.seen > len => Err(NotOne),
            _ if is_message => Ok(()),
            _ => Err(NotOne),
        }
    }

    /// How long it is, with what stands before it, once that is known.
    pub(crate) fn len(&self) -> Option<u64> {
        let [_, len @ ..] = self.prefix;
        let is_known = self.seen >= PREFIX as u64;
        is_known.then(|| PREFIX as u64 + u64::from(u32::from_be_bytes(len)))
    }

    /// Whether all of it has come, and nothing else.
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
    fn one_message_is_known_in_any_pieces() {
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
            "an empty one is one, compressed or not"
        );
    }

    #[test]
    fn what_goes_on_behind_it_is_another() {
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
    fn it_says_how_long_it_will_be() {
        let mut message = Message::default();
        message.take(b"\0\xff\xff\xff").unwrap();
        assert_eq!(message.len(), None);
        message.take(b"\xff").unwrap();
        assert_eq!(message.len(), Some(5 + u64::from(u32::MAX)));
    }
}
