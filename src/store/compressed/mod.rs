//! [`Compressed`]: a store around a store, whose bodies are kept compressed with zstd.
//!
//! What goes in comes out, byte by byte; that a body is compressed is known to this wrapper alone. It notes so behind
//! the entry's trailers, with the body's own length: what a store indexes of a head stays what it was, and entries that
//! were written without the wrapper are read as they are. The bodies that the wrapped store sees, counts and bounds are
//! the compressed ones.
//!
//! * **What is compressed** is found by trying: the first 64 KiB. A body that they do not make smaller by an eighth is kept
//!   as it is, and so is one of less than [`min_len`](Compressed::min_len). No header is asked: images, videos and what
//!   has a `Content-Encoding` do not shrink.
//! * **Memory** does not grow with a body. A writer holds the first 64 KiB and then an encoder of one to four megabytes,
//!   by its level; a reader of a body of more than 256 KiB holds a decoder of half a megabyte.
//! * **Damage** is found by zstd's own checksum, before the last bytes are handed out. A body that yields more than its
//!   noted length, less, or needs a larger window than this wrapper writes is [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt), and no more of it
//!   is unpacked than was asked for.

use futures_core::Stream;

use self::format::without_annotation;
use super::{Hit, Result, Scanned, Store, forward::forward};
use crate::{entry::Head, error::ConfigError, key::Key};

mod format;
mod scan;
mod unpack;
mod writer;

pub use self::writer::CompressedWriter;

const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// A store whose bodies are kept compressed, where that makes them smaller.
///
/// For stores where bytes count: a file that is to hold more, a server across a network. Text shrinks to a fifth or so,
/// and the time it takes is small beside that of a disk or a network; in front of `Memory`, every hit pays
/// for it.
///
/// ```
/// # #[cfg(feature = "redb")]
/// # fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use larder::{CacheLayer, store::{Compressed, Redb}};
///
/// let layer = CacheLayer::private(Compressed::new(Redb::open("http-cache.redb")?).level(6)?);
/// # Ok(())
/// # }
/// ```
///
/// # What it costs
///
/// It compresses and unpacks where the store is called, 64 KiB at a time, and lets the other tasks of the thread have a
/// turn in between: a fifth of a millisecond each at level 3, tens of milliseconds at level 19; a tenth of a millisecond
/// to unpack. A body of up to 256 KiB is unpacked before a hit is returned where the wrapped store has it in memory,
/// one of more while it is read.
///
/// # Sizes
///
/// [`size_bytes`](Store::size_bytes) and the bounds of the wrapped store count what is kept, that is, compressed bodies.
/// [`Head::body_len`] is the length of the body as it was given.
///
/// # Reading it without the wrapper
///
/// A store that was written through this wrapper has to be read through it: else the bodies come as they are kept. The
/// other way round, a store that was written without it can be wrapped at any time.
///
/// # Clone
///
/// A clone is another handle to the same data.
#[derive(Clone, Debug)]
pub struct Compressed<S> {
    inner: S,
    level: i32,
    min_len: u64,
}

impl<S> Compressed<S> {
    /// `store` with compressed bodies: level 3, those of 512 bytes and more.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self { inner: store, level: 3, min_len: 512 }
    }

    /// How hard to try, from 1 (fast) to 19 (small); 3 at first. It matters to what is written from now on; all levels
    /// are read alike, at the same speed.
    ///
    /// # Errors
    ///
    /// For a level out of range.
    pub fn level(self, level: i32) -> Result<Self, ConfigError> {
        if !LEVELS.contains(&level) {
            let (first, last) = (LEVELS.start(), LEVELS.end());
            let message =
                format!("level {level} is out of range; choose one from {first} to {last}");
            return Err(ConfigError::new("level", message));
        }
        Ok(Self { level, ..self })
    }

    /// Bodies of less than so many bytes are kept as they are; 512 at first. One of 64 KiB or more is tried in any case.
    #[must_use]
    pub fn min_len(self, bytes: u64) -> Self {
        Self { min_len: bytes, ..self }
    }

    /// The store that is wrapped. Bodies that are read from it may be compressed.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> Store for Compressed<S> {
    type Writer = CompressedWriter<S::Writer>;

    // An update leaves the trailers unchanged, and with them the annotation.
    forward!(get_ref: update, remove, remove_if, remove_expired, remove_tagged, clear, len);
    forward!(get_ref: size_bytes);

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let Some(hit) = self.inner.get(key).await? else { return Ok(None) };
        let (head, len) = without_annotation(key, hit.head)?;
        let body = match len {
            Some(len) => unpack::unpacked(key, hit.body, len)?,
            None => hit.body,
        };
        Ok(Some(Hit::new(head, hit.version, body)))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        let inner = self.inner.put(key, head).await?;
        Ok(CompressedWriter::new(inner, *key, self.level, self.min_len))
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        scan::WithoutAnnotations::new(self.inner.scan())
    }
}
