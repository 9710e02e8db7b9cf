//! The content of a request, as the key has it: the bytes, or what the bytes mean.
//!
//! By default, the bytes count. If bodies are normalised, two bodies of one media type count as
//! equal if they say the same: JSON with other whitespace or in another order of members, a form
//! with its fields in another order, a multipart form with another boundary. Each of the three has
//! a canonical form, whose digest takes the place of the bytes under a field type of its own. So
//! JSON never equals a form, and neither equals the bytes of a body.
//!
//! Content that does not parse counts by its bytes. So does content whose media type is another
//! one, and content with a content coding.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_ENCODING};

use self::media_type::MediaType;
use super::{Domain, Field, Hasher, Key};

mod form;
mod ignored;
mod json;
mod media_type;
mod multipart;
#[cfg(feature = "testing")]
mod readable;

pub(crate) use self::ignored::IgnoredFields;
pub(crate) use self::media_type::without_boundary;

/// A request body that has been read completely.
#[derive(Clone, Copy, Default)]
pub(crate) struct Content<'a> {
    pub(crate) chunks: &'a [Bytes],
    pub(crate) trailers: Option<&'a HeaderMap>,
    /// What counts instead of the bytes.
    pub(crate) normal: Option<NormalBody>,
}

/// The digest of a body in its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NormalBody {
    field: Field,
    digest: Key,
}

/// How bodies are normalised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Normalization {
    pub(crate) is_on: bool,
    /// The fields that are left out. If there are any, bodies are normalised.
    pub(crate) ignored: IgnoredFields,
}

impl Content<'_> {
    /// The number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The bytes in one piece.
    pub(super) fn joined(&self) -> Cow<'_, [u8]> {
        joined(self.chunks)
    }

    /// Whether the boundary in the media type does not count.
    pub(crate) fn is_without_boundary(&self) -> bool {
        self.normal.is_some_and(|normal| matches!(normal.field, Field::MultipartBody))
    }

    /// Adds the bytes, or what counts instead of them.
    pub(super) fn add_to(&self, hasher: &mut Hasher<'_>) {
        if let Some(NormalBody { field, digest }) = &self.normal {
            return hasher.field(*field, digest.as_bytes());
        }
        hasher.begin(Field::Body, self.len());
        self.chunks.iter().for_each(|chunk| hasher.bytes(chunk));
    }
}

impl Normalization {
    /// The canonical form of a body, as a digest under `secret`. `None` if its bytes count.
    pub(super) fn normal(
        &self,
        headers: &HeaderMap,
        chunks: &[Bytes],
        secret: Option<&[u8; 32]>,
    ) -> Option<NormalBody> {
        let is_on = self.is_on || !self.ignored.is_empty();
        if !is_on || chunks.is_empty() || headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let media_type = MediaType::of(headers)?;
        let body = joined(chunks);
        let mut hasher = Hasher::new(Domain::CanonicalBody, secret);
        let field = match media_type {
            MediaType::Json => {
                let document = json::parse(&body, &self.ignored)?;
                hasher.begin(Field::JsonBody, document.len());
                document.each_piece(&mut |piece| hasher.bytes(piece));
                Field::JsonBody
            }
            MediaType::Form => {
                hasher.field(Field::FormBody, &form::canonical(&body, &self.ignored)?);
                Field::FormBody
            }
            MediaType::Multipart(boundary) => {
                for part in multipart::parts(&body, boundary, &self.ignored)? {
                    hasher.field(Field::MultipartBody, part);
                }
                Field::MultipartBody
            }
        };
        Some(NormalBody { field, digest: hasher.finish() })
    }
}

fn joined(chunks: &[Bytes]) -> Cow<'_, [u8]> {
    match chunks {
        [] => Cow::Borrowed(&[]),
        [chunk] => Cow::Borrowed(chunk),
        chunks => Cow::Owned(chunks.concat()),
    }
}

#[cfg(test)]
mod tests;
