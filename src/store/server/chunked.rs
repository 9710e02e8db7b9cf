//! Collects a body that is written to a server: kept with the head while it is small, else cut into
//! chunks.

use bytes::Bytes;

use crate::store::pieces::Pieces;

/// A body that arrives, and how much of it was sent.
///
/// [`next_chunk`](Self::next_chunk) returns the same chunk until it is reported as
/// [sent](Self::sent), so that the sender can be cancelled anywhere and called again.
pub(in crate::store) struct Chunked {
    pieces: Pieces,
    /// A body of up to this many bytes is kept with the head.
    inline_limit: usize,
    chunk: usize,
    sending: Option<Bytes>,
    /// The bytes and chunks that were sent.
    sent: u64,
    chunks: u64,
}

impl Chunked {
    pub(in crate::store) fn new(inline_limit: usize, chunk: usize) -> Self {
        let pieces = Pieces::default();
        Self { pieces, inline_limit, chunk, sending: None, sent: 0, chunks: 0 }
    }

    /// The number of bytes that have arrived.
    pub(in crate::store) fn len(&self) -> u64 {
        self.sent + (self.sending.as_ref().map_or(0, Bytes::len) + self.pieces.len()) as u64
    }

    /// The number of chunks that were sent.
    #[cfg(any(feature = "redis", test))]
    pub(in crate::store) fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Appends `piece`. Send the [next chunks](Self::next_chunk) first, if there are any.
    pub(in crate::store) fn push(&mut self, piece: Bytes) {
        self.pieces.push(piece, self.chunk);
    }

    /// Returns the next chunk to send, and its number. Returns `None` if the body may still be kept
    /// with the head, or if less than a chunk is waiting.
    pub(in crate::store) fn next_chunk(&mut self) -> Option<(u64, Bytes)> {
        if self.pieces.len() >= self.chunk {
            self.stage();
        }
        Some((self.chunks, self.sending.clone()?))
    }

    /// Like [`next_chunk`](Self::next_chunk) at the end of the body: also returns a part of a
    /// chunk.
    pub(in crate::store) fn last_chunk(&mut self) -> Option<(u64, Bytes)> {
        self.stage();
        Some((self.chunks, self.sending.clone()?))
    }

    /// Selects the next chunk, unless one is selected already or nothing is to be sent.
    fn stage(&mut self) {
        let held = self.pieces.len();
        if self.sending.is_none() && held > 0 && !self.is_inline() {
            self.sending = Some(self.pieces.take(held.min(self.chunk)));
        }
    }

    fn is_inline(&self) -> bool {
        self.chunks == 0 && self.sending.is_none() && self.pieces.len() <= self.inline_limit
    }

    /// Reports that the selected chunk was sent.
    pub(in crate::store) fn sent(&mut self) {
        if let Some(sent) = self.sending.take() {
            self.sent += sent.len() as u64;
            self.chunks += 1;
        }
    }

    /// Returns the body so far, if it is kept with the head.
    pub(in crate::store) fn inline(&mut self) -> Option<Bytes> {
        if !self.is_inline() {
            return None;
        }
        let body = self.pieces.take_all();
        self.pieces.push(body.clone(), 0);
        Some(body)
    }

    /// Keeps the body in chunks, however small it is.
    #[cfg(feature = "mongodb")]
    pub(in crate::store) fn spill(&mut self) {
        self.inline_limit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &'static str, inline_limit: usize) -> Chunked {
        let mut body = Chunked::new(inline_limit, 4);
        for piece in bytes.as_bytes().chunks(3) {
            body.push(Bytes::from_static(piece));
        }
        body
    }

    fn chunk(number: u64, bytes: &'static str) -> Option<(u64, Bytes)> {
        Some((number, Bytes::from_static(bytes.as_bytes())))
    }

    #[test]
    fn small_bodies_are_kept_with_the_head() {
        let mut body = body("abcdef", 6);
        assert_eq!((body.next_chunk(), body.last_chunk(), body.len()), (None, None, 6));
        assert_eq!(body.inline().unwrap(), "abcdef");
        assert_eq!(body.inline().unwrap(), "abcdef");
        body.push(Bytes::from_static(b"g"));
        assert_eq!((body.inline(), body.len()), (None, 7));
        assert_eq!(body.next_chunk(), chunk(0, "abcd"));
        assert_eq!(Chunked::new(0, 4).inline().unwrap(), "");
    }

    #[test]
    fn a_chunk_is_returned_until_it_was_sent() {
        let mut body = body("abcdefghij", 1);
        assert_eq!(
            (body.next_chunk(), body.next_chunk(), body.len()),
            (chunk(0, "abcd"), chunk(0, "abcd"), 10)
        );
        body.sent();
        assert_eq!(
            (body.next_chunk(), body.last_chunk(), body.len()),
            (chunk(1, "efgh"), chunk(1, "efgh"), 10)
        );
        body.sent();
        assert_eq!((body.next_chunk(), body.inline(), body.chunks()), (None, None, 2));
        assert_eq!(body.last_chunk(), chunk(2, "ij"));
        body.sent();
        assert_eq!((body.last_chunk(), body.chunks(), body.len()), (None, 3, 10));
    }

    #[cfg(feature = "mongodb")]
    #[test]
    fn spilled_bodies_go_in_chunks() {
        let mut body = body("abcdef", 100);
        assert_eq!(body.inline().unwrap(), "abcdef");
        body.spill();
        assert_eq!((body.inline(), body.last_chunk()), (None, chunk(0, "abcd")));
        body.sent();
        assert_eq!(body.last_chunk(), chunk(1, "ef"));
    }
}
