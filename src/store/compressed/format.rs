//! How a compressed body is stored, and its annotation.

use std::sync::Arc;

use super::annotation::Annotator;
use crate::{
    entry::{COMPRESSED, Head},
    key::Key,
    store::{Error, ErrorKind, Result},
};

pub(super) const NAME: &str = "compressed";

pub(super) const ANNOTATOR: Annotator = Annotator { name: COMPRESSED, store: NAME };

/// The window of a match, as a power of two: what an encoder and a decoder hold of a body. Many
/// bodies are read and written at a time, and the cache holds 256 KiB of each as well.
pub(super) const WINDOW_LOG: u32 = 18;

/// How many bytes are compressed or decompressed at a time.
pub(super) const PIECE: usize = 64 << 10;

/// Returns the head without the annotation, and the original length if the body is compressed.
pub(super) fn without_annotation(key: &Key, head: Arc<Head>) -> Result<(Arc<Head>, Option<u64>)> {
    let Some((annotation, trailers)) = ANNOTATOR.split(key, &head)? else {
        return Ok((head, None));
    };
    let kept = head.body_len();
    let len = match annotation.split_once(' ') {
        Some(("zstd", len)) => Some(len.parse().map_err(|_| {
            Error::new(
                ErrorKind::Corrupt,
                NAME,
                format!("the entry of key {key} has a damaged annotation"),
            )
            .with_key(key)
        })?),
        None if annotation == "as-it-is" => None,
        _ => {
            let message = format!("the entry of key {key} has an unknown compression");
            return Err(Error::new(ErrorKind::Corrupt, NAME, message).with_key(key));
        }
    };
    let head = Arc::unwrap_or_clone(head).seal(len.unwrap_or(kept), trailers);
    Ok((Arc::new(head), len))
}
