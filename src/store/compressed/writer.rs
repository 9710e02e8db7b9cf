//! Writing: the first piece decides whether a body is compressed.

use std::{fmt, io, mem};

use bytes::Bytes;
use http::HeaderMap;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use super::format::{ANNOTATOR, NAME, PIECE, WINDOW_LOG};
use crate::{
    key::Key,
    store::{Error, ErrorKind, Result, Writer, yield_now::yield_now},
};

/// The size of the annotation.
const ANNOTATION: usize = 48;

/// Compresses the body of one entry for the writer of the wrapped store.
pub struct CompressedWriter<W> {
    inner: W,
    key: Key,
    level: i32,
    min_len: u64,
    len: u64,
    stage: Stage,
}

enum Stage {
    /// The bytes so far, less than a piece.
    First(Vec<u8>),
    AsItIs,
    Packed(Packing),
}

impl<W: Writer> CompressedWriter<W> {
    pub(super) fn new(inner: W, key: Key, level: i32, min_len: u64) -> Self {
        Self { inner, key, level, min_len, len: 0, stage: Stage::First(Vec::new()) }
    }

    fn failed(&self, error: io::Error) -> Error {
        let message = format!("cannot compress the body of key {}", self.key);
        Error::new(ErrorKind::Other, NAME, message).with_source(error)
    }

    async fn write_piece(&mut self, piece: Bytes) -> Result<()> {
        match &mut self.stage {
            Stage::AsItIs => self.inner.write(piece).await,
            Stage::Packed(packing) => {
                let packed = packing.push(&piece).map_err(|error| self.failed(error))?;
                self.write_packed(packed).await
            }
            Stage::First(first) => {
                first.extend_from_slice(&piece);
                if first.len() < PIECE {
                    return Ok(());
                }
                let first = mem::take(first);
                self.decide(first).await
            }
        }
    }

    /// Writes the first piece of a longer body, compressed if that makes it smaller.
    async fn decide(&mut self, first: Vec<u8>) -> Result<()> {
        self.stage = Stage::AsItIs;
        let packed = Packing::new(self.level, None).and_then(|mut packing| {
            let mut packed = packing.push(&first)?;
            packing.flush(&mut packed)?;
            Ok((packing, packed))
        });
        let (packing, packed) = packed.map_err(|error| self.failed(error))?;
        if is_worth_it(first.len(), packed.len()) {
            self.stage = Stage::Packed(packing);
            self.write_packed(packed).await
        } else {
            self.inner.write(first.into()).await
        }
    }

    /// Compresses a whole body of less than a piece, if that makes it smaller.
    fn pack(&self, whole: &[u8]) -> Result<Option<Vec<u8>>> {
        if whole.is_empty() || self.min_len > self.len {
            return Ok(None);
        }
        let packed = Packing::new(self.level, Some(self.len)).and_then(|mut packing| {
            let mut packed = packing.push(whole)?;
            packing.finish(&mut packed)?;
            Ok(packed)
        });
        let packed = packed.map_err(|error| self.failed(error))?;
        Ok(is_worth_it(whole.len(), packed.len() + ANNOTATION).then_some(packed))
    }

    async fn write_packed(&mut self, packed: Vec<u8>) -> Result<()> {
        if packed.is_empty() {
            return Ok(());
        }
        self.inner.write(packed.into()).await
    }
}

/// Whether to compress a body of `len` bytes to `packed`: an eighth is worth the time to decompress
/// it.
fn is_worth_it(len: usize, packed: usize) -> bool {
    packed <= len - len / 8
}

impl<W: Writer> Writer for CompressedWriter<W> {
    /// Compresses `chunk`, piece by piece.
    ///
    /// # Errors
    ///
    /// If the wrapped store fails or accepts no more.
    async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        self.len = self.len.saturating_add(chunk.len() as u64);
        if matches!(self.stage, Stage::AsItIs) {
            return self.inner.write(chunk).await;
        }
        while !chunk.is_empty() {
            let room = match &self.stage {
                Stage::First(first) => PIECE - first.len(),
                Stage::Packed(_) => PIECE,
                Stage::AsItIs => chunk.len(),
            };
            let piece = chunk.split_to(chunk.len().min(room));
            self.write_piece(piece).await?;
            if !chunk.is_empty() {
                yield_now().await;
            }
        }
        Ok(())
    }

    async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<()> {
        let is_packed = match mem::replace(&mut self.stage, Stage::AsItIs) {
            Stage::AsItIs => false,
            Stage::First(whole) => match self.pack(&whole)? {
                Some(packed) => {
                    self.write_packed(packed).await?;
                    true
                }
                None => {
                    self.write_packed(whole).await?;
                    false
                }
            },
            Stage::Packed(mut packing) => {
                let mut packed = Vec::new();
                packing.finish(&mut packed).map_err(|error| self.failed(error))?;
                self.write_packed(packed).await?;
                true
            }
        };
        let trailers = if is_packed {
            Some(ANNOTATOR.add(trailers, &format!("zstd {}", self.len))?)
        } else if ANNOTATOR.is_in(trailers.as_ref()) {
            Some(ANNOTATOR.add(trailers, "as-it-is")?)
        } else {
            trailers
        };
        self.inner.finish(trailers).await
    }

    async fn abort(self) {
        self.inner.abort().await;
    }
}

impl<W> fmt::Debug for CompressedWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressedWriter")
            .field("key", &self.key)
            .field("written", &self.len)
            .finish_non_exhaustive()
    }
}

/// An encoder of one frame with a checksum at its end.
struct Packing(Encoder<'static>);

impl Packing {
    fn new(level: i32, len: Option<u64>) -> io::Result<Self> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        encoder.set_pledged_src_size(len)?;
        Ok(Self(encoder))
    }

    /// Takes `input`. Returns the compressed bytes so far, which may be none.
    fn push(&mut self, input: &[u8]) -> io::Result<Vec<u8>> {
        let mut packed = Vec::new();
        let mut input = InBuffer::around(input);
        while input.pos() < input.src.len() {
            self.0.run(&mut input, &mut room(&mut packed))?;
        }
        Ok(packed)
    }

    /// Appends to `packed` all that was taken.
    fn flush(&mut self, packed: &mut Vec<u8>) -> io::Result<()> {
        while self.0.flush(&mut room(packed))? > 0 {}
        Ok(())
    }

    /// Ends the frame.
    fn finish(&mut self, packed: &mut Vec<u8>) -> io::Result<()> {
        while self.0.finish(&mut room(packed), true)? > 0 {}
        Ok(())
    }
}

/// Reserves space at the end.
fn room(packed: &mut Vec<u8>) -> OutBuffer<'_, Vec<u8>> {
    packed.reserve(PIECE / 8);
    let end = packed.len();
    OutBuffer::around_pos(packed, end)
}
