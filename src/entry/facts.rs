//! [`Facts`]: what the fields of a response tell a cache, parsed once and kept beside the fields.
//!
//! A stored response is judged several times for one request, by rules that depend on the settings
//! of a layer. What the rules read does not: directives, dates and age follow from the header lines
//! alone. So they are parsed once, and each verdict starts from them.
//!
//! - They are facts and no verdicts. Whether a response is fresh, or may be stored, depends on
//!   settings, on the request and on the time. Lifetimes depend on who shares the cache. Targeted
//!   fields (RFC 9213) and `No-Vary-Search` are no facts, since a setting chooses whether they
//!   apply.
//! - They are parsed when they are first asked for. The default policy never asks, and its entries
//!   hold only an empty slot. A store that shares a head between its hits, such as `Memory`, keeps
//!   them with the entry. A store that decodes a head for each hit parses once for each.
//! - They cannot be wrong. [`Lines`] and [`ResponseHead`] do not change the header lines that the
//!   facts follow from. New lines have new facts.
//! - They do not take part in equality, debug output or the stored bytes.
//!
//! Entity tags are compared byte by byte, so there is nothing to parse in them.

use std::{
    fmt, mem,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{DATE, EXPIRES, LAST_MODIFIED},
    response,
};

#[cfg(feature = "memory")]
use crate::fields::compact;
use crate::{
    fields::{Directives, age_value, date, date_since_1970, only, response_directives},
    time::Timestamp,
};

/// What the fields of a response tell a cache.
#[derive(Debug)]
pub(crate) struct Facts {
    /// `Cache-Control`. Of the fields that `no-cache` and `private` name, it has only those that
    /// the response has.
    pub(crate) directives: Directives,
    /// `Date`, if it is valid.
    pub(crate) date: Option<Timestamp>,
    /// `Expires`. An invalid one, and several lines, are a date in the past (RFC 9111 §4.2.1,
    /// §5.3).
    pub(crate) expires: Option<Timestamp>,
    /// `Last-Modified`, if it is valid and not before 1970.
    pub(crate) last_modified: Option<Timestamp>,
    /// `Age` in seconds, if it is valid.
    pub(crate) age: Option<u64>,
}

impl Facts {
    /// The most memory that the facts of one response take, for stores with a size limit: their
    /// allocation, and its two counters.
    pub(super) const SIZE: usize = mem::size_of::<Self>() + 2 * mem::size_of::<usize>();

    /// Parses header lines that arrived at `received_at`.
    fn of(lines: &HeaderMap, received_at: Timestamp) -> Self {
        let mut directives = response_directives(lines);
        directives.retain_fields_of(lines);
        let expires = lines
            .contains_key(EXPIRES)
            .then(|| date(lines, &EXPIRES, received_at).unwrap_or(Timestamp::MIN));
        let modified = only(lines, LAST_MODIFIED);
        Self {
            directives,
            date: date(lines, &DATE, received_at),
            expires,
            last_modified: modified.and_then(|line| date_since_1970(line, received_at)),
            age: age_value(lines),
        }
    }
}

/// Facts that are parsed when they are first asked for. Clones share what is parsed.
type Slot = OnceLock<Arc<Facts>>;

/// The header lines of a response with their facts, wherever both are kept.
#[derive(Clone, Copy)]
pub(crate) struct ResponseFields<'a> {
    lines: &'a HeaderMap,
    received_at: Timestamp,
    slot: &'a Slot,
}

impl<'a> ResponseFields<'a> {
    /// The header lines.
    pub(crate) fn lines(self) -> &'a HeaderMap {
        self.lines
    }

    /// What the lines tell a cache.
    pub(crate) fn facts(self) -> &'a Facts {
        self.slot.get_or_init(|| Arc::new(Facts::of(self.lines, self.received_at)))
    }
}

impl fmt::Debug for ResponseFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.fmt(f)
    }
}

/// The header lines of a stored head. They do not change, so that their facts stay true. Clones
/// share them.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<(HeaderMap, Slot)>,
    /// Whether the values are known to be in memory of their own.
    #[cfg_attr(not(feature = "memory"), allow(dead_code, reason = "only `Memory` asks"))]
    pub(super) is_compact: bool,
}

impl Lines {
    fn new(lines: HeaderMap, slot: Slot) -> Self {
        Self { shared: Arc::new((lines, slot)), is_compact: false }
    }

    /// The same lines in memory of their own.
    #[cfg(feature = "memory")]
    pub(super) fn compact(self) -> Self {
        if self.is_compact {
            return self;
        }
        Self { is_compact: true, ..compact(self.get(), |_| true).into() }
    }

    pub(super) fn get(&self) -> &HeaderMap {
        &self.shared.0
    }

    pub(super) fn into_map(self) -> HeaderMap {
        Arc::try_unwrap(self.shared).map_or_else(|shared| shared.0.clone(), |(lines, _)| lines)
    }

    /// The approximate size in memory: the map, its slot for facts, and two counters.
    pub(super) fn size(&self) -> usize {
        let shared = mem::size_of::<(HeaderMap, Slot)>() + 2 * mem::size_of::<usize>();
        shared + map_size(self.get())
    }

    /// The lines, which arrived at `received_at`, with their facts.
    pub(super) fn with_facts(&self, received_at: Timestamp) -> ResponseFields<'_> {
        let (lines, slot) = &*self.shared;
        ResponseFields { lines, received_at, slot }
    }
}

impl From<HeaderMap> for Lines {
    fn from(lines: HeaderMap) -> Self {
        Self::new(lines, Slot::new())
    }
}

impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) || self.get() == other.get()
    }
}

impl Eq for Lines {}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A header map without room for more lines holds one slot per line (name, value, hash, links), and
/// an index with at most eight bytes per line.
pub(super) fn map_size(map: &HeaderMap) -> usize {
    const SLOT: usize = mem::size_of::<HeaderName>() + mem::size_of::<HeaderValue>() + 40;
    let text: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    text + map.len() * SLOT
}

/// The head of a response that has arrived and is judged. It does not change, so that its facts
/// stay true.
pub(crate) struct ResponseHead {
    parts: response::Parts,
    received_at: Timestamp,
    slot: Slot,
}

impl ResponseHead {
    pub(crate) fn new(parts: response::Parts, received_at: Timestamp) -> Self {
        Self { parts, received_at, slot: Slot::new() }
    }

    /// When the response arrived.
    pub(crate) fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// Its header lines with their facts.
    pub(crate) fn fields(&self) -> ResponseFields<'_> {
        let Self { parts, received_at, slot } = self;
        ResponseFields { lines: &parts.headers, received_at: *received_at, slot }
    }

    /// Adds a line, unless there is no room for it. The facts are parsed anew.
    pub(crate) fn add_field(&mut self, name: HeaderName, value: HeaderValue) {
        let _no_room = self.parts.headers.try_append(name, value);
        self.slot = Slot::new();
    }

    pub(crate) fn into_parts(self) -> response::Parts {
        self.parts
    }

    /// A copy of the header lines. It has the facts, too, if they are parsed.
    pub(super) fn to_lines(&self) -> Lines {
        Lines::new(self.parts.headers.clone(), self.slot.clone())
    }
}

impl Deref for ResponseHead {
    type Target = response::Parts;

    fn deref(&self) -> &response::Parts {
        &self.parts
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method, Response};

    use super::*;
    use crate::{
        entry::Head,
        fields::{Fields, Parsed},
    };

    fn parts(lines: &[(&'static str, &'static str)]) -> response::Parts {
        let mut parts = Response::new(()).into_parts().0;
        for (name, value) in lines {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        parts
    }

    fn head(lines: &[(&'static str, &'static str)]) -> Head {
        Head::new(Method::GET, "http://a/", parts(lines), Timestamp::MIN)
    }

    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    const ONCE: Parsed = Parsed { directives: 1, request_directives: 0, structured: 0, dates: 0 };

    #[test]
    fn facts_are_parsed_once_when_they_are_asked_for() {
        Parsed::take();
        let head = head(&[FRESH]);
        let head = Head::decode(head.encode().into()).unwrap().seal(5, None);
        assert_eq!((head.size() > 0, Parsed::take()), (true, Parsed::default()));
        for expected in [ONCE, Parsed::default()] {
            assert_eq!(head.fields().facts().directives.max_age, Some(60));
            assert_eq!(Parsed::take(), expected);
        }
        let changed = head.clone().with_tags(vec!["a".into()]).with_expires_at(None);
        assert_eq!(changed.fields().facts().directives.max_age, Some(60));
        assert_eq!(Parsed::take(), Parsed::default(), "a clone shares the facts");
    }

    #[test]
    fn a_head_shares_the_facts_of_its_response() {
        Parsed::take();
        let response = ResponseHead::new(parts(&[FRESH]), Timestamp::MIN);
        let before = Head::of(Method::GET, "http://a/", &response);
        let by_response: *const Facts = response.fields().facts();
        let head = Head::of(Method::GET, "http://a/", &response);
        assert_eq!(Parsed::take(), ONCE);
        assert!(std::ptr::eq(by_response, head.fields().facts()));
        assert_eq!((head, Parsed::take()), (before, Parsed::default()));
    }

    #[test]
    fn new_lines_have_new_facts() {
        let head = head(&[FRESH]);
        assert_eq!(head.fields().facts().directives.max_age, Some(60));
        let name = HeaderName::from_static("cache-control");
        let head = head.with_field(name, HeaderValue::from_static("no-store"));
        assert!(head.fields().facts().directives.no_store);
    }

    #[test]
    fn facts_are_no_part_of_equality_and_debug_output() {
        let (asked, other) = (head(&[FRESH]), head(&[FRESH]));
        assert_eq!(asked.fields().facts().age, None);
        assert_eq!(asked, other);
        assert_eq!(format!("{asked:?}"), format!("{other:?}"));
        assert_eq!(asked.encode(), other.encode());
        assert_eq!(asked.size(), other.size());
    }

    #[test]
    fn facts_are_the_fields_of_the_response() {
        let at = |seconds: u64| Some(Timestamp::from_millis(seconds * 1000));
        let head = head(&[
            ("cache-control", "private=\"x-here, x-gone, x-here\", no-cache=x-gone"),
            ("date", "Sunday, 06-Nov-94 08:49:37 GMT"),
            ("expires", "0"),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("age", "7, 8"),
            ("x-here", "1"),
        ]);
        let Facts { directives, date, expires, last_modified, age } = head.fields().facts();
        let here = HeaderName::from_static("x-here");
        assert_eq!(directives.private, Some(Fields::Named(vec![here])));
        assert_eq!(directives.no_cache, Some(Fields::Named(Vec::new())));
        assert_eq!((*date, *last_modified), (at(784_111_777), at(784_111_777)));
        assert_eq!((*expires, *age), (Some(Timestamp::MIN), Some(7)));
        let empty = self::head(&[("last-modified", "Wed, 31 Dec 1969 23:59:59 GMT")]);
        let facts = empty.fields().facts();
        assert_eq!((facts.last_modified, facts.expires, facts.age), (None, None, None));
    }
}
