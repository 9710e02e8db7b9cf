//! Encodes heads as bytes: `version byte | postcard | CRC-32 of all before it, little-endian`.
//!
//! The version comes first, so that a reader recognizes another layout before it reads anything
//! else. A change of the layout raises the version, and golden bytes in the tests pin the layout.
//! Bytes that cannot be decoded give a [`DecodeError`] and never a panic. The cache treats them as
//! a miss.

use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use super::{
    Head, Kind, Others, Selection, Variance,
    note::{Note, Notes},
};
use crate::time::Timestamp;

const VERSION: u8 = 3;
const CHECKSUM: usize = size_of::<u32>();

/// What marks the notes among the trailers. No trailer has this name.
const NOTE: &str = "@";

/// The reason why bytes cannot be decoded as a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError(Reason);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Short,
    UnknownVersion(u8),
    Checksum,
    Malformed(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::Short => f.write_str("the stored head is cut short"),
            Reason::UnknownVersion(version) => {
                write!(f, "the stored head has the unknown format version {version}")
            }
            Reason::Checksum => f.write_str("the stored head does not match its checksum"),
            Reason::Malformed(what) => write!(f, "the stored head has a malformed {what}"),
        }
    }
}

impl Error for DecodeError {}

fn malformed<E>(what: &'static str) -> impl FnOnce(E) -> DecodeError {
    move |_| DecodeError(Reason::Malformed(what))
}

/// The layout of [`VERSION`].
#[derive(Serialize, Deserialize)]
struct WireHead<'a> {
    kind: WireKind,
    method: &'a str,
    url: &'a str,
    status: u16,
    version: u8,
    headers: Vec<WireLine<'a>>,
    requested_at: u64,
    stored_at: u64,
    expires_at: Option<u64>,
    keep_until: Option<u64>,
    tags: Vec<&'a str>,
    body_len: u64,
    trailers: Option<Vec<WireLine<'a>>>,
    variance: Option<WireVariance<'a>>,
}

#[derive(Serialize, Deserialize)]
enum WireKind {
    Response,
    Annotation,
}

#[derive(Serialize, Deserialize)]
struct WireVariance<'a> {
    #[serde(borrow)]
    names: Vec<&'a str>,
    selector: [u8; Variance::SELECTOR],
    family: u64,
    /// Whether there are other variants, and until when they are kept.
    others: Option<Option<u64>>,
}

#[derive(Serialize, Deserialize)]
struct WireLine<'a>(&'a str, #[serde(borrow)] Raw<'a>);

/// Bytes that serde writes as one byte string. It would write `&[u8]` element by element.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Borrowed).map(Raw)
    }
}

impl Head {
    /// Encodes the head as versioned, checksummed bytes, for stores that hold bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let notes: Vec<String> = self.notes().iter().map(Note::text).collect();
        let mut trailers = self.trailers.as_deref().map(lines);
        for note in &notes {
            trailers.get_or_insert_default().push(WireLine(NOTE, Raw(note.as_bytes())));
        }
        let wire = WireHead {
            kind: match self.kind {
                Kind::Response => WireKind::Response,
                Kind::Annotation => WireKind::Annotation,
            },
            method: self.method.as_str(),
            url: &self.url,
            status: self.status.as_u16(),
            version: version_number(self.version),
            headers: lines(self.headers()),
            requested_at: self.requested_at.as_millis(),
            stored_at: self.stored_at.as_millis(),
            expires_at: self.expires_at.map(Timestamp::as_millis),
            keep_until: self.keep_until.map(Timestamp::as_millis),
            tags: self.tags.iter().map(AsRef::as_ref).collect(),
            body_len: self.body_len,
            trailers,
            variance: self.variance().map(WireVariance::of),
        };
        let mut bytes = Vec::with_capacity(256 + self.size() / 2);
        bytes.push(VERSION);
        // Writing numbers, strings and sequences of known length into a `Vec` cannot fail.
        let mut bytes = postcard::to_extend(&wire, bytes).unwrap_or_default();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Decodes the result of [`encode`](Head::encode). Header values share the memory of `bytes`.
    ///
    /// # Errors
    ///
    /// Returns an error if `bytes` have an unknown version, are damaged, or are not a head.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else {
            return Err(DecodeError(Reason::Short));
        };
        let Some((&version, body)) = body.split_first() else {
            return Err(DecodeError(Reason::Short));
        };
        if version != VERSION {
            return Err(DecodeError(Reason::UnknownVersion(version)));
        }
        if crc32fast::hash(&bytes[..bytes.len() - CHECKSUM]) != u32::from_le_bytes(*checksum) {
            return Err(DecodeError(Reason::Checksum));
        }
        let (wire, rest) =
            postcard::take_from_bytes::<WireHead<'_>>(body).map_err(malformed("layout"))?;
        if !rest.is_empty() {
            return Err(DecodeError(Reason::Malformed("end")));
        }
        wire.into_head(&bytes)
    }
}

impl WireHead<'_> {
    fn into_head(mut self, bytes: &Bytes) -> Result<Head, DecodeError> {
        let kind = match self.kind {
            WireKind::Response => Kind::Response,
            WireKind::Annotation => Kind::Annotation,
        };
        let notes = self.take_notes()?;
        Ok(Head {
            kind,
            method: Method::try_from(self.method).map_err(malformed("method"))?,
            url: self.url.into(),
            status: StatusCode::from_u16(self.status).map_err(malformed("status"))?,
            version: number_version(self.version)?,
            headers: header_map(&self.headers, bytes)?.into(),
            requested_at: Timestamp::from_millis(self.requested_at),
            stored_at: Timestamp::from_millis(self.stored_at),
            expires_at: self.expires_at.map(Timestamp::from_millis),
            keep_until: self.keep_until.map(Timestamp::from_millis),
            tags: self.tags.into_iter().map(Into::into).collect(),
            body_len: self.body_len,
            trailers: Note::visible(
                &notes,
                self.trailers.map(|lines| header_map(&lines, bytes)).transpose()?,
            )
            .map(Box::new),
            notes: Notes(notes.into()),
            variance: self.variance.map(WireVariance::into_variance).transpose()?.map(Arc::new),
            selection: Selection::default(),
            #[cfg(feature = "files")]
            recorded: None,
        })
    }
}

impl WireHead<'_> {
    /// Takes the notes out of the trailers.
    fn take_notes(&mut self) -> Result<Vec<Note>, DecodeError> {
        let Some(lines) = &mut self.trailers else { return Ok(Vec::new()) };
        let notes = lines.iter().filter(|line| line.0 == NOTE).map(|WireLine(_, Raw(text))| {
            let note = str::from_utf8(text).ok().and_then(Note::parse);
            note.ok_or(DecodeError(Reason::Malformed("note")))
        });
        let notes = notes.collect::<Result<_, _>>()?;
        lines.retain(|line| line.0 != NOTE);
        Ok(notes)
    }
}

impl<'a> WireVariance<'a> {
    fn of(variance: &'a Variance) -> Self {
        Self {
            names: variance.names.iter().map(HeaderName::as_str).collect(),
            selector: variance.selector,
            family: variance.family,
            others: variance.others.map(|others| others.until.map(Timestamp::as_millis)),
        }
    }

    fn into_variance(self) -> Result<Variance, DecodeError> {
        let name = |name| HeaderName::try_from(name).map_err(malformed("header name"));
        let until = |until: Option<u64>| Others { until: until.map(Timestamp::from_millis) };
        Ok(Variance {
            names: self.names.into_iter().map(name).collect::<Result<_, _>>()?,
            selector: self.selector,
            family: self.family,
            others: self.others.map(until),
        })
    }
}

fn lines(map: &HeaderMap) -> Vec<WireLine<'_>> {
    map.iter().map(|(name, value)| WireLine(name.as_str(), Raw(value.as_bytes()))).collect()
}

fn header_map(lines: &[WireLine<'_>], bytes: &Bytes) -> Result<HeaderMap, DecodeError> {
    // The limit of a map is the number of names, not of lines.
    let mut map = HeaderMap::with_capacity(lines.len().min(64));
    for WireLine(name, Raw(value)) in lines {
        let name = HeaderName::try_from(*name).map_err(malformed("header name"))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value))
            .map_err(malformed("header value"))?;
        map.try_append(name, value).map_err(malformed("number of headers"))?;
    }
    Ok(map)
}

fn version_number(version: Version) -> u8 {
    match version {
        Version::HTTP_09 => 9,
        Version::HTTP_10 => 10,
        Version::HTTP_2 => 20,
        Version::HTTP_3 => 30,
        // `http::Version` has no other versions today. An unknown one can be replayed as 1.1.
        _ => 11,
    }
}

fn number_version(number: u8) -> Result<Version, DecodeError> {
    Ok(match number {
        9 => Version::HTTP_09,
        10 => Version::HTTP_10,
        11 => Version::HTTP_11,
        20 => Version::HTTP_2,
        30 => Version::HTTP_3,
        _ => return Err(DecodeError(Reason::Malformed("version"))),
    })
}

#[cfg(test)]
mod tests {
    use http::Response;
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        let response = Response::builder()
            .status(404)
            .version(Version::HTTP_10)
            .header("content-type", "text/plain")
            .header("x-odd", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let mut trailers = HeaderMap::new();
        trailers.append("grpc-status", HeaderValue::from_static("0"));
        Head::new(
            Method::GET,
            "http://example.com/a?b=c",
            response,
            Timestamp::from_millis(1_700_000_000_123),
        )
        .with_requested_at(Timestamp::from_millis(1_700_000_000_100))
        .with_expires_at(Some(Timestamp::from_millis(1_700_000_060_123)))
        .with_keep_until(Some(Timestamp::from_millis(1_700_000_120_123)))
        .with_tags(vec!["page".into(), "u:1".into()])
        .seal(5, Some(trailers))
    }

    #[test]
    fn notes_come_back_and_damaged_ones_are_refused() {
        let trailers = Note::add([1, 2, 3, 4, 5], head().trailers().cloned()).unwrap();
        let noted = head().seal(5, Some(Note::add([6; 5], Some(trailers)).unwrap()));
        assert_eq!((&noted, noted.trailers()), (&head(), head().trailers()));
        let bytes = noted.encode();
        let decoded = Head::decode(bytes.clone().into()).unwrap();
        assert_eq!((&decoded, decoded.notes()), (&noted, noted.notes()));
        assert_eq!(decoded.notes().len(), 2);

        let note = b"1 1 2 3 4 5";
        let at = bytes.windows(note.len()).position(|window| window == note).unwrap();
        let mut damaged = bytes[..bytes.len() - CHECKSUM].to_vec();
        damaged[at] = b'x';
        damaged.extend_from_slice(&crc32fast::hash(&damaged).to_le_bytes());
        let error = DecodeError(Reason::Malformed("note"));
        assert_eq!(Head::decode(damaged.into()), Err(error));
    }

    #[test]
    fn decoding_restores_everything() {
        let head = head();
        assert_eq!(Head::decode(head.encode().into()), Ok(head));
        for resident in [resident(), resident().with_others(None)] {
            assert_eq!(Head::decode(resident.encode().into()), Ok(resident));
        }
    }

    /// A response that varies, with other variants.
    fn resident() -> Head {
        head().with_variance(Some(Variance {
            names: vec![http::header::ACCEPT_ENCODING, http::header::ACCEPT].into(),
            selector: [7; Variance::SELECTOR],
            family: u64::MAX / 3,
            others: Some(Others { until: Some(Timestamp::from_millis(1_700_000_180_123)) }),
        }))
    }

    fn annotation() -> Head {
        let fields = HeaderMap::from_iter([(
            HeaderName::from_static("no-vary-search"),
            HeaderValue::from_static("key-order"),
        )]);
        Head::annotation("http://example.com/a", fields, Timestamp::MAX)
    }

    #[test]
    fn golden_bytes_of_the_layout_decode() {
        for (head, golden) in [
            (head(), &include_bytes!("../../tests/data/head-v3.bin")[..]),
            (resident(), include_bytes!("../../tests/data/resident-v3.bin")),
            (annotation(), include_bytes!("../../tests/data/annotation-v3.bin")),
        ] {
            assert_eq!(head.encode(), golden, "a change of the layout needs a new version");
            assert_eq!(Head::decode(Bytes::from_static(golden)), Ok(head));
        }
    }

    #[test]
    fn flipped_bits_and_truncation_are_errors() {
        for bytes in [head().encode(), resident().encode(), annotation().encode()] {
            damage(&bytes);
        }
    }

    fn damage(bytes: &[u8]) {
        for position in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[position] ^= 0x10;
            assert!(Head::decode(damaged.into()).is_err(), "bit flipped at {position}");
            assert!(Head::decode(bytes[..position].to_vec().into()).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn many_lines_of_one_name_are_restored() {
        let (mut response, ()) = Response::new(()).into_parts();
        for _ in 0..40_000 {
            response.headers.append("set-cookie", HeaderValue::from_static("a=1"));
        }
        let head = Head::new(Method::GET, "http://a/", response, Timestamp::MIN);
        assert_eq!(Head::decode(head.encode().into()), Ok(head));
    }

    #[test]
    fn unknown_versions_are_named_in_the_error() {
        let mut bytes = head().encode();
        bytes[0] = 7;
        let error = Head::decode(bytes.into()).unwrap_err();
        assert_eq!(error.to_string(), "the stored head has the unknown format version 7");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Head::decode(bytes.clone().into()).is_err());
            // With a valid checksum, so that the bytes also reach the decoder of the layout.
            bytes.insert(0, VERSION);
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            let _either = Head::decode(bytes.into());
        }
    }
}
