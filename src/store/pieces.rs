//! Collects a body as it arrives, and cuts it into pieces of the size that a store wants.

use std::mem;

use bytes::{Bytes, BytesMut};

/// The bytes that have arrived and were not taken yet.
#[derive(Default)]
pub(super) struct Pieces {
    /// The bytes before `rest`.
    buffer: BytesMut,
    /// The last piece, as it arrived. A body of one piece is never copied.
    rest: Bytes,
}

impl Pieces {
    pub(super) fn len(&self) -> usize {
        self.buffer.len() + self.rest.len()
    }

    /// Appends `piece`. If bytes are waiting already, reserves room for up to `chunk` bytes.
    pub(super) fn push(&mut self, piece: Bytes, chunk: usize) {
        if !self.rest.is_empty() {
            if self.buffer.is_empty() {
                self.buffer.reserve((self.rest.len() + piece.len()).min(chunk));
            }
            self.buffer.extend_from_slice(&self.rest);
        }
        self.rest = piece;
    }

    /// Takes the next `len` bytes. There must be that many.
    pub(super) fn take(&mut self, len: usize) -> Bytes {
        if self.buffer.is_empty() {
            return self.rest.split_to(len);
        }
        if self.buffer.len() >= len {
            return self.buffer.split_to(len).freeze();
        }
        let missing = self.rest.split_to(len - self.buffer.len());
        self.buffer.extend_from_slice(&missing);
        mem::take(&mut self.buffer).freeze()
    }

    /// Takes all bytes that are left.
    pub(super) fn take_all(&mut self) -> Bytes {
        self.take(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_and_cut() {
        let mut pieces = Pieces::default();
        pieces.push(Bytes::from_static(b"abc"), 4);
        pieces.push(Bytes::from_static(b"defgh"), 4);
        assert_eq!(pieces.len(), 8);
        assert_eq!(pieces.take(4), "abcd");
        assert_eq!(pieces.take(3), "efg");
        pieces.push(Bytes::new(), 4);
        assert_eq!(pieces.take_all(), "h");
        assert_eq!(pieces.take_all(), "");
        for piece in ["abc", "def", "gh"] {
            pieces.push(Bytes::from_static(piece.as_bytes()), 4);
        }
        assert_eq!(pieces.take(4), "abcd");
        assert_eq!(pieces.take(1), "e");
        assert_eq!(pieces.take_all(), "fgh");
    }
}
