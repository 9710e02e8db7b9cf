//! A body on its way to a server: kept with the head while it is small, cut into chunks once it is not.

use bytes::Bytes;

use super::pieces::Pieces;

/// What of a body came in, and what of it was sent.
///
/// It says which chunk is to be sent, and says the same one again until it hears that it [was](Self::sent): whoever
/// sends can be cancelled anywhere, and called again.
pub(super) struct Chunked {
    pieces: Pieces,
    /// A body of up to so many bytes goes with the head.
    inline_limit: usize,
    chunk: usize,
    sending: Option<Bytes>,
    /// Bytes and chunks that were sent.
    sent: u64,
    chunks: u64,
}

impl Chunked {
    pub(super) fn new(inline_limit: usize, chunk: usize) -> Self {
        let pieces = Pieces::default();
        Self { pieces, inline_limit, chunk, sending: None, sent: 0, chunks: 0 }
    }

    /// How many bytes came in.
    pub(super) fn len(&self) -> u64 {
        self.sent + (self.sending.as_ref().map_or(0, Bytes::len) + self.pieces.len()) as u64
    }

    /// How many chunks were sent.
    #[cfg(any(feature = "redis", test))]
    pub(super) fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Appends `piece`. What is not sent yet should be [sent](Self::next_chunk) before.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.pieces.push(piece, self.chunk);
    }

    /// The next chunk to be sent, and its number; `None` where what is there may go with the head, or is less than a
    /// chunk.
    pub(super) fn next_chunk(&mut self) -> Option<(u64, Bytes)> {
        if self.pieces.len() >= self.chunk {
            self.stage();
        }
        Some((self.chunks, self.sending.clone()?))
    }

    /// As [`next_chunk`](Self::next_chunk), where nothing more comes in: also what is less than a chunk.
    pub(super) fn last_chunk(&mut self) -> Option<(u64, Bytes)> {
        self.stage();
        Some((self.chunks, self.sending.clone()?))
    }

    /// Sets a chunk apart, unless one is, or there is nothing to be sent.
    fn stage(&mut self) {
        let held = self.pieces.len();
        if self.sending.is_none() && held > 0 && !self.is_inline() {
            self.sending = Some(self.pieces.take(held.min(self.chunk)));
        }
    }

    fn is_inline(&self) -> bool {
        self.chunks == 0 && self.sending.is_none() && self.pieces.len() <= self.inline_limit
    }

    /// The chunk that was to be sent was.
    pub(super) fn sent(&mut self) {
        if let Some(sent) = self.sending.take() {
            self.sent += sent.len() as u64;
            self.chunks += 1;
        }
    }

    /// The body as it is until now, where it goes with the head.
    pub(super) fn inline(&mut self) -> Option<Bytes> {
        if !self.is_inline() {
            return None;
        }
        let body = self.pieces.take_all();
        self.pieces.push(body.clone(), 0);
        Some(body)
    }

    /// It does not go with the head, however small it is.
    #[cfg(feature = "mongodb")]
    pub(super) fn spill(&mut self) {
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
    fn what_is_small_goes_with_the_head() {
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
    fn a_chunk_is_the_next_until_it_was_sent() {
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
    fn what_has_no_room_with_the_head_goes_in_chunks() {
        let mut body = body("abcdef", 100);
        assert_eq!(body.inline().unwrap(), "abcdef");
        body.spill();
        assert_eq!((body.inline(), body.last_chunk()), (None, chunk(0, "abcd")));
        body.sent();
        assert_eq!(body.last_chunk(), chunk(1, "ef"));
    }
}
