//! [`Key`]: the key of a stored response, and how it is made from a request.
//!
//! A key is a SHA-256 digest over a domain string, which includes the key version, and typed,
//! length-prefixed fields. Different requests therefore never give the same input to the digest:
//! `a=1&b=2` in one value is not two fields, and a body is not a header. With a secret the digest
//! is keyed (HMAC-SHA-256), so that a reader of the store cannot test guesses of the input. The
//! golden vectors in this module's tests pin the format: once it is released, a key never changes
//! without a new version number in the domain.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

mod content;
mod groups;
mod headers;
mod parameters;
mod percent;
mod recipe;
mod selection;
mod settings;
mod url;
mod written;

#[cfg(feature = "testing")]
pub(crate) use self::content::without_boundary;
pub(crate) use self::content::{Content, NormalBody};
#[cfg(feature = "testing")]
pub(crate) use self::parameters::{IgnoredParameters, MAX_ENCODINGS};
pub(crate) use self::percent::decode_parameter;
pub(crate) use self::recipe::{OWN_TAG_PREFIX, PLAIN_METHODS, Recipe};
pub(crate) use self::settings::header_names;
pub(crate) use self::url::{
    InvalidTarget, MAX_IGNORED, RequestUrl, comparable_url, push_without_dots, split_query,
};

/// The key of a stored response: 32 bytes, printed as hex. `{:.8}` prints the first eight digits,
/// as the logs do.
///
/// ```
/// use larder::Key;
///
/// let key = Key::digest("the front page");
/// assert_eq!(key.to_string().parse(), Ok(key));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key with these bytes, such as a digest. Stores expect that few keys begin with the same
    /// eight bytes: [`digest`](Key::digest) makes a key of a name.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's 64 digits.
    fn to_hex(self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }

    /// A custom key for [`CacheOptions::key`](crate::CacheOptions::key): the digest of `name`. It
    /// differs from every key that the cache makes from a request.
    #[must_use]
    pub fn digest(name: impl AsRef<[u8]>) -> Self {
        let mut hasher = Hasher::new(Domain::Named, None);
        hasher.field(Field::Name, name.as_ref());
        hasher.finish()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(hex: &str) -> Result<Self, ParseKeyError> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(ParseKeyError(()));
        }
        let digit = |byte: u8| (byte as char).to_digit(16).ok_or(ParseKeyError(()));
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// The text is not a key. A key is 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseKeyError(());

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key is 64 hexadecimal digits")
    }
}

impl std::error::Error for ParseKeyError {}

/// The purpose of a digest. Digests of different domains never collide.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Domain {
    /// The primary key of a request.
    Request,
    /// What a request selects below a primary key (RFC 9111 §4.1).
    Variant,
    /// A variant that is stored beside the resident of its primary key.
    Other,
    /// A part of the response under a primary key (RFC 9111 §3.3).
    Part,
    /// The annotation of the query parameters that do not matter for a path.
    SearchRule,
    /// The annotation of the URL whose response answers all queries that are equal in the
    /// parameters that matter.
    Search,
    /// A key made from a name that the user chose.
    Named,
    /// The canonical form of a request body.
    CanonicalBody,
    /// The tag of every entry for a URL.
    UrlTag,
    /// The tag of the entries for a path whose responses ignore some parameters.
    PathTag,
}

impl Domain {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Request => b"larder/key/1/request",
            Self::Variant => b"larder/key/1/variant",
            Self::Other => b"larder/key/1/other",
            Self::Part => b"larder/key/1/part",
            Self::SearchRule => b"larder/key/1/search-rule",
            Self::Search => b"larder/key/1/search",
            Self::Named => b"larder/key/1/named",
            Self::CanonicalBody => b"larder/key/1/canonical-body",
            Self::UrlTag => b"larder/key/1/url-tag",
            Self::PathTag => b"larder/key/1/path-tag",
        }
    }
}

/// The type of a field. The numbers are part of the key format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Field {
    Method = 1,
    Url = 2,
    UserInfo = 3,
    HeaderName = 4,
    HeaderValue = 5,
    HeaderAbsent = 6,
    Body = 7,
    TrailerName = 8,
    TrailerValue = 9,
    Custom = 10,
    Primary = 11,
    Name = 12,
    Host = 13,
    SentHost = 14,
    Family = 15,
    JsonBody = 16,
    FormBody = 17,
    MultipartBody = 18,
    DividedParameters = 19,
    SentQuery = 20,
}

/// Digests typed, length-prefixed fields, with a key if there is a secret.
///
/// It gathers them first, since the fields of most keys are short, and one digest is much faster
/// than many. A hit makes one key, and a second one if the response varies.
///
/// It has no `Debug`, which would show credentials.
pub(crate) struct Hasher<'a> {
    secret: Option<&'a [u8; 32]>,
    pending: [u8; PENDING],
    len: usize,
    /// What has been digested, if it was more than fits into `pending`.
    digested: Option<Box<State>>,
}

/// Four blocks of the digest.
const PENDING: usize = 256;

enum State {
    Plain(Sha256),
    Keyed(Hmac<Sha256>),
}

impl State {
    fn new(secret: Option<&[u8; 32]>) -> Self {
        match secret {
            None => Self::Plain(Sha256::new()),
            Some(secret) => {
                // HMAC pads a short key with zeros to the block size of the digest. Padding it here
                // leaves no error case.
                let mut block = [0; 64];
                block[..32].copy_from_slice(secret);
                Self::Keyed(Hmac::new(&block.into()))
            }
        }
    }

    fn digest(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(sha) => Digest::update(sha, bytes),
            Self::Keyed(hmac) => hmac.update(bytes),
        }
    }

    fn finish(self) -> [u8; 32] {
        match self {
            Self::Plain(sha) => sha.finalize().into(),
            Self::Keyed(hmac) => hmac.finalize().into_bytes().into(),
        }
    }
}

impl<'a> Hasher<'a> {
    #[inline]
    pub(crate) fn new(domain: Domain, secret: Option<&'a [u8; 32]>) -> Self {
        let mut hasher = Self { secret, pending: [0; PENDING], len: 0, digested: None };
        hasher.bytes(domain.as_bytes());
        hasher
    }

    #[inline]
    pub(crate) fn field(&mut self, field: Field, value: &[u8]) {
        self.begin(field, value.len() as u64);
        self.bytes(value);
    }

    /// Begins a field of `len` bytes. [`bytes`](Hasher::bytes) then adds them in chunks.
    #[inline]
    pub(crate) fn begin(&mut self, field: Field, len: u64) {
        let mut frame = [field as u8; 9];
        frame[1..].copy_from_slice(&len.to_le_bytes());
        self.bytes(&frame);
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.pending.get_mut(self.len..self.len + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.digest(bytes),
        }
    }

    /// Digests what is pending, and then `bytes`.
    #[cold]
    fn digest(&mut self, bytes: &[u8]) {
        let state = self.digested.get_or_insert_with(|| Box::new(State::new(self.secret)));
        state.digest(&self.pending[..self.len]);
        state.digest(bytes);
        self.len = 0;
    }

    #[inline]
    pub(crate) fn finish(self) -> Key {
        let pending = &self.pending[..self.len];
        Key(match (self.digested, self.secret) {
            (None, None) => Sha256::digest(pending).into(),
            (digested, secret) => {
                let mut state = digested.map_or_else(|| State::new(secret), |state| *state);
                state.digest(pending);
                state.finish()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_as_hex_and_parse_back() {
        let key = Key::from_bytes([0xab; 32]);
        assert_eq!(key.to_string(), "ab".repeat(32));
        assert_eq!("AB".repeat(32).parse(), Ok(key));
        assert!("ab".parse::<Key>().is_err());
        assert!("é".repeat(32).parse::<Key>().is_err());
        assert!("+a".repeat(32).parse::<Key>().is_err());
    }

    #[test]
    fn a_key_depends_on_the_bytes_and_not_on_the_pieces_that_they_come_in() {
        let bytes: Vec<u8> = (0..1_000).map(|number| number as u8).collect();
        for secret in [None, Some([1; 32])] {
            for len in [0, 1, 200, 226, 227, 228, 500, 1_000] {
                let of = |piece: usize| {
                    let mut hasher = Hasher::new(Domain::Request, secret.as_ref());
                    hasher.begin(Field::Body, len as u64);
                    bytes[..len].chunks(piece).for_each(|piece| hasher.bytes(piece));
                    hasher.finish()
                };
                let mut whole = State::new(secret.as_ref());
                whole.digest(Domain::Request.as_bytes());
                whole.digest(&[Field::Body as u8]);
                whole.digest(&(len as u64).to_le_bytes());
                whole.digest(&bytes[..len]);
                let whole = Key(whole.finish());
                assert_eq!([1, 7, 100, 1_000].map(of), [whole; 4], "{len} bytes");
            }
        }
    }

    #[test]
    fn keys_depend_on_the_secret() {
        let plain = Hasher::new(Domain::Request, None).finish();
        let keyed = Hasher::new(Domain::Request, Some(&[1; 32])).finish();
        let other = Hasher::new(Domain::Request, Some(&[2; 32])).finish();
        assert!(plain != keyed && keyed != other);
    }
}
