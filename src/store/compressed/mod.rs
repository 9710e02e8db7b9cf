//! [`Compressed`]: a store around a store, which compresses bodies with zstd.
//!
//! A body comes out byte by byte as it went in. Only this wrapper knows that it is compressed: it
//! annotates the entry with that and with the body's own length. What a store indexes of a head
//! stays the same, and entries that were written without the wrapper can be read. The wrapped store
//! sees, counts and bounds compressed bodies.
//!
//! * **Which bodies** are compressed is decided by trying the first 64 KiB. A body that does not
//!   become smaller by an eighth is kept as it is, and so is a body of less than
//!   [`min_len`](Compressed::min_len). Headers are not considered: images, videos and bodies with a
//!   `Content-Encoding` do not shrink anyway.
//! * **Memory** does not grow with a body. A writer holds the first 64 KiB and then an encoder of
//!   one to four megabytes, depending on its level. A reader of a body of more than 256 KiB holds a
//!   decoder of half a megabyte.
//! * **Damage** is found by zstd's checksum, before the last bytes are returned. A body that is
//!   longer or shorter than its annotation says, or that needs a larger window than this wrapper
//!   writes, is an error of kind [`ErrorKind::Corrupt`](super::ErrorKind::Corrupt). No more of it
//!   is decompressed than was requested.

use futures_core::Stream;

use self::format::without_annotation;
use super::{Hit, Result, Scanned, Store, forward::forward};
use crate::{entry::Head, error::ConfigError, key::Key};

mod annotation;
mod format;
mod scan;
mod unpack;
mod writer;

pub use self::writer::CompressedWriter;

/// The compression levels that can be chosen.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// A store that compresses bodies if that makes them smaller.
///
/// Use it if bytes matter: for a file that must hold more, or a server across a network. Text
/// shrinks to about a fifth, and the time that this takes is small beside that of a disk or a
/// network. In front of `Memory`, every hit pays for it.
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
/// It compresses and decompresses in the task that calls the store, 64 KiB at a time, and yields to
/// other tasks in between. Compressing 64 KiB takes a fifth of a millisecond at level 3, and tens
/// of milliseconds at level 19; decompressing takes a tenth of a millisecond. A body of up to 256
/// KiB that the wrapped store has in memory is decompressed before a hit is returned. A larger body
/// is decompressed while it is read.
///
/// # Sizes
///
/// [`size_bytes`](Store::size_bytes) and the limits of the wrapped store count compressed bodies.
/// [`Head::body_len`] is the length of the original body.
///
/// # Reading without the wrapper
///
/// Read a store that was written through this wrapper through it as well. Otherwise, its bodies are
/// returned compressed. A store that was written without the wrapper can be wrapped at any time.
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
    /// Wraps `store`. Compresses bodies of 512 bytes and more at level 3.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self { inner: store, level: 3, min_len: 512 }
    }

    /// Sets the compression level, from 1 (fast) to 19 (small); 3 by default. It applies to new
    /// bodies. All levels are decompressed at the same speed.
    ///
    /// # Errors
    ///
    /// If the level is out of range.
    pub fn level(self, level: i32) -> Result<Self, ConfigError> {
        if !LEVELS.contains(&level) {
            let (first, last) = (LEVELS.start(), LEVELS.end());
            let message =
                format!("level {level} is out of range; choose one from {first} to {last}");
            return Err(ConfigError::new("level", message));
        }
        Ok(Self { level, ..self })
    }

    /// Keeps bodies of less than `bytes` bytes as they are; 512 by default. A body of 64 KiB or
    /// more is always tried.
    #[must_use]
    pub fn min_len(self, bytes: u64) -> Self {
        Self { min_len: bytes, ..self }
    }

    /// The wrapped store. Bodies that are read from it may be compressed.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> Store for Compressed<S> {
    type Writer = CompressedWriter<S::Writer>;

    // An update leaves the trailers unchanged, and with them the annotation.
    forward!(get_ref: update, remove, remove_if, remove_expired, remove_tagged, clear, flush, len);
    forward!(get_ref: size_bytes);

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let Some(hit) = self.inner.get(key).await? else { return Ok(None) };
        let Hit { head, body, version, notes_read } = hit;
        let (head, len) = without_annotation(key, head)?;
        let body = match len {
            Some(len) => unpack::unpacked(key, body, len)?,
            None => body,
        };
        Ok(Some(Hit { head, body, version, notes_read }))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        let inner = self.inner.put(key, head).await?;
        Ok(CompressedWriter::new(inner, *key, self.level, self.min_len))
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        scan::WithoutAnnotations::new(self.inner.scan())
    }

    fn read_off_thread(self) -> Self {
        Self { inner: self.inner.read_off_thread(), ..self }
    }
}
