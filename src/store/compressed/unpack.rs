//! Reading: decompresses a body, and never more of it than was requested.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::format::{NAME, PIECE, WINDOW_LOG};
use crate::{
    key::Key,
    store::{Error, ErrorKind, Result, StoredBody},
};

/// A body of up to this many bytes that is in memory is decompressed at once, so that damage is a
/// miss and not a body that ends in an error.
const AT_ONCE: u64 = 256 << 10;

/// Returns the decompressed body of `len` bytes.
pub(super) fn unpacked(key: &Key, packed: StoredBody, len: u64) -> Result<StoredBody> {
    let unpacking = Unpacking::new(*key, len)?;
    let is_here = !packed.is_streamed() && len <= AT_ONCE;
    let mut body = Unpacked { packed, unpacking };
    if !is_here {
        return Ok(StoredBody::from_stream(len, body));
    }
    let mut whole = Vec::with_capacity(len as usize);
    // A body in memory never waits.
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(piece)) = Pin::new(&mut body).poll_next(&mut cx) {
        whole.extend_from_slice(&piece?);
    }
    if whole.len() as u64 != len {
        return Err(body.unpacking.damaged("ends before the length that its head says"));
    }
    Ok(Bytes::from(whole).into())
}

struct Unpacked {
    packed: StoredBody,
    unpacking: Unpacking,
}

impl Stream for Unpacked {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { packed, unpacking } = &mut *self;
        loop {
            if let Some(piece) = unpacking.next()? {
                return Poll::Ready(Some(Ok(piece)));
            }
            if unpacking.is_all {
                return Poll::Ready(None);
            }
            match ready!(packed.poll_chunk(cx)) {
                Some(chunk) => unpacking.feed(chunk?)?,
                None => unpacking.is_all = true,
            }
        }
    }
}

/// A decoder with its pending input and output.
struct Unpacking {
    key: Key,
    decoder: Decoder<'static>,
    input: Bytes,
    /// Whether nothing comes after `input`.
    is_all: bool,
    output: Box<[u8]>,
    filled: usize,
    /// Whether the decoder has more output than there was space for.
    is_full: bool,
    /// How many bytes are still to come, beside those in `output`.
    left: u64,
    /// Whether the end was reached and the checksum matched.
    is_complete: bool,
}

impl Unpacking {
    fn new(key: Key, len: u64) -> Result<Self> {
        let decoder = Decoder::new().and_then(|mut decoder| {
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
            Ok(decoder)
        });
        let decoder = decoder.map_err(|error| {
            Error::new(ErrorKind::Other, NAME, "cannot create a zstd decoder").with_source(error)
        })?;
        // One byte more than expected, so that a body that is too long is noticed.
        let room = usize::try_from(len).map_or(PIECE, |len| len.min(PIECE)) + 1;
        Ok(Self {
            key,
            decoder,
            input: Bytes::new(),
            is_all: false,
            output: vec![0; room].into(),
            filled: 0,
            is_full: false,
            left: len,
            is_complete: false,
        })
    }

    fn damaged(&self, what: &str) -> Error {
        let message = format!("the compressed body of key {} {what}", self.key);
        Error::new(ErrorKind::Corrupt, NAME, message)
    }

    /// Takes more input. The input before it must have been used up.
    fn feed(&mut self, input: Bytes) -> Result<()> {
        if self.is_complete {
            return Err(self.damaged("continues after its end"));
        }
        self.input = input;
        Ok(())
    }

    /// Returns the next piece. Returns `None` if it needs more input, and after the last piece. The
    /// last piece is returned only when nothing comes after it.
    fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let is_last = self.is_complete && self.is_all;
            if self.filled > 0 && (is_last || (self.left > 0 && self.filled >= PIECE)) {
                let piece = Bytes::copy_from_slice(&self.output[..self.filled]);
                self.filled = 0;
                return Ok(Some(piece));
            }
            if self.is_complete || (self.input.is_empty() && !self.is_full && !self.is_all) {
                return Ok(None);
            }
            self.step()?;
        }
    }

    fn step(&mut self) -> Result<()> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let end = match left {
            0 => self.filled + 1,
            // Expected bytes fill the buffer before bytes that may be too many.
            left => self.filled.saturating_add(left).saturating_add(1).min(PIECE),
        };
        let end = end.min(self.output.len());
        let mut input = InBuffer::around(&self.input);
        let mut output = OutBuffer::around(&mut self.output[self.filled..end]);
        let hint = self.decoder.run(&mut input, &mut output);
        let (read, written) = (input.pos(), output.pos());
        let hint = hint.map_err(|error| self.damaged("does not decompress").with_source(error))?;
        self.input = self.input.slice(read..);
        self.filled += written;
        self.is_full = self.filled == end;
        let Some(left) = self.left.checked_sub(written as u64) else {
            return Err(self.damaged("is longer than its head says"));
        };
        self.left = left;
        self.is_complete = hint == 0;
        if self.is_complete && (left > 0 || !self.input.is_empty()) {
            return Err(self.damaged("has a different length than its head says"));
        }
        if !self.is_complete && read == 0 && written == 0 && self.is_all {
            return Err(self.damaged("ends before the length that its head says"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;

    /// The end of a frame may come in a chunk of its own, after all its bytes.
    #[test]
    fn the_last_bytes_wait_for_the_checksum() {
        let text = b"again and again, ".repeat(20_000);
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.window_log(WINDOW_LOG).unwrap();
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        let (start, checksum) = packed.split_at(packed.len() - 4);
        for (checksum, is_whole) in [(checksum, true), (&b"false"[..4], false), (&b""[..], false)] {
            let chunks = [start, checksum].map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
            let len = (start.len() + checksum.len()) as u64;
            let body = StoredBody::from_stream(len, stream::iter(chunks));
            let mut body = unpacked(&Key::from_bytes([0; 32]), body, text.len() as u64).unwrap();
            let pieces = stream::poll_fn(|cx| body.poll_chunk(cx)).collect::<Vec<_>>();
            let pieces = pieces.now_or_never().unwrap();
            assert_eq!(pieces.iter().all(Result::is_ok), is_whole);
            let read: usize = pieces.iter().flatten().map(Bytes::len).sum();
            assert_eq!(read == text.len(), is_whole);
        }
    }
}
