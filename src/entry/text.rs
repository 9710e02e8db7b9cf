//! Heads as text that people can read and edit: structures that serde writes as JSON.
//!
//! A header line is `"name: value"`. A value that is not UTF-8 is written as hexadecimal digits, in
//! an object that says so. A time is RFC 3339, exact to the millisecond. Everything that
//! [`encode`](Head::encode) keeps comes back, except the family of a response that leads to no
//! other variant: it is a random number, and would make two recordings of one exchange differ.

use std::{error::Error, fmt, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use serde::{Deserialize, Serialize};

use super::{
    Head, Kind, Others, RecordedRequest, Selection, Variance,
    note::{Note, Notes},
};
use crate::time::Timestamp;

/// The last millisecond of the year 9999, which is the last that RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;

/// The member of a head that cannot be read, and its text.
#[derive(Debug)]
pub(crate) struct TextError {
    member: &'static str,
    text: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is wrong: {}", self.member, self.text)
    }
}

impl Error for TextError {}

fn invalid(member: &'static str, text: &(impl ToString + ?Sized)) -> TextError {
    TextError { member, text: format!("{:?}", text.to_string()) }
}

/// A head as text, in the three parts of its file.
pub(crate) struct HeadText {
    pub(crate) request: RequestText,
    pub(crate) response: ResponseText,
    pub(crate) cache: CacheText,
}

/// What was requested.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestText {
    method: String,
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recorded: Option<RecordedText>,
}

/// What a recording keeps of the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedText {
    /// Left out for the first request of its kind.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    number: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Line>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    body: Vec<String>,
}

/// The response as received.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponseText {
    status: u16,
    version: String,
    headers: Vec<Line>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trailers: Option<Vec<Line>>,
}

/// The attributes of the cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CacheText {
    /// The head is an annotation and no response.
    #[serde(default, skip_serializing_if = "is_false")]
    annotation: bool,
    requested_at: String,
    stored_at: String,
    expires_at: Option<String>,
    keep_until: Option<String>,
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variance: Option<VarianceText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VarianceText {
    names: Vec<String>,
    selector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    others: Option<OthersText>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OthersText {
    family: String,
    until: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Text(String),
    Bytes { name: String, hex: String },
}

fn is_false(value: &bool) -> bool {
    !value
}

fn first() -> u32 {
    1
}

fn is_first(number: &u32) -> bool {
    *number == first()
}

impl Head {
    /// The head as text.
    pub(crate) fn to_text(&self) -> HeadText {
        let variance = self.variance().map(|variance| VarianceText {
            names: variance.names.iter().map(|name| name.as_str().to_owned()).collect(),
            selector: hex(&variance.selector),
            others: variance.others.map(|others| OthersText {
                family: hex(&variance.family.to_be_bytes()),
                until: others.until.map(time_text),
            }),
        });
        HeadText {
            request: RequestText {
                method: self.method.as_str().to_owned(),
                url: self.url.to_string(),
                recorded: self.recorded.as_deref().map(|recorded| RecordedText {
                    number: recorded.number,
                    headers: lines(&recorded.headers),
                    body: recorded.body.clone(),
                }),
            },
            response: ResponseText {
                status: self.status.as_u16(),
                version: format!("{:?}", self.version),
                headers: lines(self.headers()),
                trailers: self.trailers().map(lines),
            },
            cache: CacheText {
                annotation: self.is_annotation(),
                requested_at: time_text(self.requested_at),
                stored_at: time_text(self.stored_at),
                expires_at: self.expires_at.map(time_text),
                keep_until: self.keep_until.map(time_text),
                tags: self.tags.iter().map(|tag| tag.clone().into()).collect(),
                variance,
                notes: self.notes().iter().map(Note::text).collect(),
            },
        }
    }

    /// The head from its text. `family` is the family of a response that leads to no other variant.
    ///
    /// # Errors
    ///
    /// Says which member is none that [`to_text`](Head::to_text) writes.
    pub(crate) fn from_text(text: HeadText, body_len: u64, family: u64) -> Result<Self, TextError> {
        let HeadText { request, response, cache } = text;
        let note = |text: &String| Note::parse(text).ok_or_else(|| invalid("notes", text));
        let notes: Vec<Note> = cache.notes.iter().map(note).collect::<Result<_, _>>()?;
        let trailers = response.trailers.map(|lines| map(&lines, "trailers")).transpose()?;
        let until = |member, text: Option<&String>| text.map(|text| time(member, text)).transpose();
        let recorded = request.recorded.map(|RecordedText { number, headers, body }| {
            let headers = map(&headers, "headers")?;
            Ok(Box::new(RecordedRequest { number, headers, body }))
        });
        Ok(Self {
            kind: if cache.annotation { Kind::Annotation } else { Kind::Response },
            method: Method::try_from(&*request.method)
                .map_err(|_| invalid("method", &request.method))?,
            url: request.url.into(),
            status: StatusCode::from_u16(response.status)
                .map_err(|_| invalid("status", &response.status))?,
            version: version(&response.version)?,
            headers: map(&response.headers, "headers")?.into(),
            requested_at: time("requested_at", &cache.requested_at)?,
            stored_at: time("stored_at", &cache.stored_at)?,
            expires_at: until("expires_at", cache.expires_at.as_ref())?,
            keep_until: until("keep_until", cache.keep_until.as_ref())?,
            tags: cache.tags.into_iter().map(Into::into).collect(),
            body_len,
            trailers: Note::visible(&notes, trailers).map(Box::new),
            notes: Notes(notes.into()),
            variance: cache
                .variance
                .map(|variance| variance.into_variance(family))
                .transpose()?
                .map(Arc::new),
            selection: Selection::default(),
            recorded: recorded.transpose()?,
        })
    }
}

impl VarianceText {
    fn into_variance(self, family: u64) -> Result<Variance, TextError> {
        let name =
            |name: &String| HeaderName::try_from(name.as_str()).map_err(|_| invalid("names", name));
        let (family, others) = match self.others {
            None => (family, None),
            Some(others) => {
                let until = others.until.map(|text| time("until", &text)).transpose()?;
                let family = unhex(&others.family).map(u64::from_be_bytes);
                (family.ok_or_else(|| invalid("family", &others.family))?, Some(Others { until }))
            }
        };
        Ok(Variance {
            names: self.names.iter().map(name).collect::<Result<_, _>>()?,
            selector: unhex(&self.selector).ok_or_else(|| invalid("selector", &self.selector))?,
            family,
            others,
        })
    }
}

fn lines(map: &HeaderMap) -> Vec<Line> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| match str::from_utf8(value.as_bytes()) {
        Ok(value) => Line::Text(format!("{name}: {value}")),
        Err(_) => Line::Bytes { name: name.as_str().to_owned(), hex: hex(value.as_bytes()) },
    };
    map.iter().map(line).collect()
}

fn map(lines: &[Line], member: &'static str) -> Result<HeaderMap, TextError> {
    let mut map = HeaderMap::with_capacity(lines.len().min(64));
    for (number, line) in lines.iter().enumerate() {
        let (name, value) = match line {
            Line::Text(text) => match text.split_once(": ") {
                Some((name, value)) => (name, Some(value.as_bytes().to_vec())),
                // An editor may have removed the space after the name of an empty value.
                None => (text.strip_suffix(':').unwrap_or(text), Some(Vec::new())),
            },
            Line::Bytes { name, hex } => (name.as_str(), bytes(hex)),
        };
        let pair = value.and_then(|value| {
            let name = HeaderName::try_from(name).ok()?;
            Some((name, HeaderValue::try_from(value).ok()?))
        });
        let is_added = pair.is_some_and(|(name, value)| map.try_append(name, value).is_ok());
        if !is_added {
            // Its text may be a secret.
            let text = format!("line {}", number + 1);
            return Err(TextError { member, text });
        }
    }
    Ok(map)
}

fn version(text: &str) -> Result<Version, TextError> {
    let versions =
        [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3];
    let version = versions.into_iter().find(|version| format!("{version:?}") == text);
    version.ok_or_else(|| invalid("version", text))
}

/// A time as RFC 3339, or `@` and its milliseconds if it is after the year 9999.
fn time_text(time: Timestamp) -> String {
    if time.as_millis() > LAST {
        return format!("@{}", time.as_millis());
    }
    humantime::format_rfc3339_millis(SystemTime::from(time)).to_string()
}

fn time(member: &'static str, text: &str) -> Result<Timestamp, TextError> {
    let time = match text.strip_prefix('@') {
        Some(millis) => millis.parse().ok().map(Timestamp::from_millis),
        None => humantime::parse_rfc3339(text).ok().map(Timestamp::from),
    };
    time.ok_or_else(|| invalid(member, text))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| (digit as char).to_digit(16).map(|digit| digit as u8);
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn unhex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    bytes(hex)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use http::Response;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn through_text(head: &Head, family: u64) -> Head {
        let HeadText { request, response, cache } = head.to_text();
        let json = serde_json::to_string(&(request, response, cache)).unwrap();
        let (request, response, cache) = serde_json::from_str(&json).unwrap();
        let text = HeadText { request, response, cache };
        Head::from_text(text, head.body_len(), family).unwrap()
    }

    fn any_map() -> impl Strategy<Value = HeaderMap> {
        let value = vec(any::<u8>(), 0..12)
            .prop_filter_map("a header value", |bytes| HeaderValue::from_bytes(&bytes).ok());
        let name = "[a-z][a-z0-9-]{0,8}".prop_map(|name| HeaderName::try_from(name).unwrap());
        vec((name, value), 0..6).prop_map(|lines| {
            let mut map = HeaderMap::new();
            for (name, value) in lines {
                map.append(name, value);
            }
            map
        })
    }

    fn any_time() -> impl Strategy<Value = Timestamp> {
        prop_oneof![0..4_000_000_000_000_u64, LAST - 2..LAST + 2, any::<u64>()]
            .prop_map(Timestamp::from_millis)
    }

    prop_compose! {
        fn any_variance()(
            names in vec("[a-z]{1,8}", 0..3),
            selector in any::<[u8; Variance::SELECTOR]>(),
            family in any::<u64>(),
            others in option::of(option::of(any_time())),
        ) -> Variance {
            Variance {
                names: names.iter().map(|name| HeaderName::try_from(name).unwrap()).collect(),
                selector,
                family,
                others: others.map(|until| Others { until }),
            }
        }
    }

    prop_compose! {
        fn any_head()(
            is_annotation in any::<bool>(),
            method in "[A-Z]{1,9}",
            url in any::<String>(),
            status in 100..1_000_u16,
            version in 0..5_usize,
            headers in any_map(),
            times in (any_time(), any_time()),
            ends in (option::of(any_time()), option::of(any_time())),
            tags in vec(any::<String>(), 0..3),
            end in (any::<u64>(), option::of(any_map()), option::of(any::<[u64; 5]>())),
            variance in option::of(any_variance()),
            recorded in option::of((any::<u32>(), any_map(), vec(any::<String>(), 0..3))),
        ) -> Head {
            let versions = [
                Version::HTTP_09,
                Version::HTTP_10,
                Version::HTTP_11,
                Version::HTTP_2,
                Version::HTTP_3,
            ];
            let response = Response::builder().status(status).version(versions[version]);
            let mut parts = response.body(()).unwrap().into_parts().0;
            parts.headers = headers;
            let (body_len, trailers, note) = end;
            let trailers = match note {
                Some(note) => Some(Note::add(note, trailers).unwrap()),
                None => trailers,
            };
            let method = Method::try_from(method.as_str()).unwrap();
            let head = Head::new(method, url, parts, times.0)
                .with_requested_at(times.1)
                .with_expires_at(ends.0)
                .with_keep_until(ends.1)
                .with_tags(tags.into_iter().map(Into::into).collect())
                .with_variance(variance)
                .seal(body_len, trailers);
            let kind = if is_annotation { Kind::Annotation } else { Kind::Response };
            let recorded = recorded.map(|(number, headers, body)| {
                Box::new(RecordedRequest { number, headers, body })
            });
            Head { kind, recorded, ..head }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back_from_text(head in any_head()) {
            let family = head.variance().map_or(0, |variance| variance.family);
            let back = through_text(&head, family);
            prop_assert_eq!(back.encode(), head.encode());
            prop_assert_eq!(back.recorded, head.recorded);
        }
    }

    #[test]
    fn the_family_is_written_only_if_there_are_other_variants() {
        let variance = |family, others| Variance {
            names: Vec::new().into(),
            selector: [1; Variance::SELECTOR],
            family,
            others,
        };
        let (parts, ()) = Response::new(()).into_parts();
        let head = Head::new(Method::GET, "http://a/", parts, Timestamp::MIN);
        let alone = head.clone().with_variance(Some(variance(7, None)));
        assert_eq!(through_text(&alone, 8).variance(), Some(&variance(8, None)));
        let others = Some(Others { until: None });
        let first = head.with_variance(Some(variance(7, others)));
        assert_eq!(through_text(&first, 8).variance(), Some(&variance(7, others)));
    }

    #[test]
    fn lines_are_as_a_message_has_them() {
        let mut fields = HeaderMap::new();
        fields.append("etag", HeaderValue::from_static("\"a: b\""));
        fields.append("x-odd", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        fields.append("x-empty", HeaderValue::from_static(""));
        let json = serde_json::to_string(&lines(&fields)).unwrap();
        let expected = r#"["etag: \"a: b\"",{"name":"x-odd","hex":"636166e9"},"x-empty: "]"#;
        assert_eq!(json, expected);
        assert_eq!(map(&[Line::Text("x-empty:".into())], "headers").unwrap()["x-empty"], "");
        for line in ["", "a b: c", "a: b\nc", "set-cookie:sid=c"] {
            let error = map(&[Line::Text(line.into())], "headers").unwrap_err();
            assert_eq!(error.to_string(), "`headers` is wrong: line 1");
        }
        let line = Line::Bytes { name: "a".into(), hex: "0".into() };
        assert!(map(&[line], "headers").is_err());
    }

    #[test]
    fn times_are_exact() {
        for millis in [0, 1, 1_700_000_000_123, LAST, LAST + 1, u64::MAX] {
            let time_ = Timestamp::from_millis(millis);
            assert_eq!(time("a", &time_text(time_)).unwrap(), time_);
        }
        assert_eq!(
            time_text(Timestamp::from_millis(1_700_000_000_123)),
            "2023-11-14T22:13:20.123Z"
        );
        assert!(time("a", "yesterday").is_err() && time("a", "@").is_err());
    }
}
