//! The canonical form of a JSON document (RFC 8259): whitespace gone, strings in one spelling, the
//! members of each object sorted by name.
//!
//! Array elements keep their order, and so do members of one name. Members whose names differ in
//! case do so too, since Go and .NET read them into one field. An object keeps the order of all its
//! members if two names have letters beyond ASCII, which servers fold in different ways. Numbers
//! stay as they were written: `1.0` and `1` are different, since some servers tell them apart. The
//! form is JSON text itself, so two documents have the same form only if they say the same.
//!
//! A document counts by its bytes if a server may read a member under another name: if a name is
//! `__proto__`, or has a NUL. The same goes for an object with two ignored members of one name.
//!
//! The parser hands on the text of numbers, and every member of one name. `serde_json` does so only
//! with a feature that changes it for the whole program.
//!
//! A document may be hostile. It is read once from its start to its end. Objects that have to be
//! sorted are written in their new order only once, at the end, and not each time that an object
//! around them is. Nesting is limited.

use std::{cmp::Ordering, ops::Range};

use json_event_parser::{JsonEvent, SliceJsonParser};
use smallvec::SmallVec;

use super::ignored::{Child, IgnoredFields, Leading};

/// A document that is nested more deeply counts by its bytes, as one that does not parse.
const MAX_DEPTH: usize = 128;

/// A document in canonical form.
pub(super) struct Document {
    /// The text with the members of each object as they were sent.
    text: Vec<u8>,
    /// The objects whose members have to be sorted, in the order of their starts.
    unsorted: Vec<Object>,
}

/// An object in the text, and its members in their canonical order.
struct Object {
    inside: Range<usize>,
    members: Vec<Range<usize>>,
}

/// Parses a document. `None` if it is no JSON text in UTF-8, is nested too deeply, or may be read
/// differently by servers. Lone surrogates and a byte order mark are no text.
pub(super) fn parse(body: &[u8], ignored: &IgnoredFields) -> Option<Document> {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    if body.starts_with(BYTE_ORDER_MARK) {
        return None;
    }
    let mut events = SliceJsonParser::new(body);
    let text = Vec::with_capacity(body.len());
    let mut writer = Writer { text, unsorted: Vec::new(), open: Vec::new(), ignored };
    loop {
        match events.parse_next().ok()? {
            JsonEvent::StartObject => writer.open(b'{')?,
            JsonEvent::StartArray => writer.open(b'[')?,
            JsonEvent::EndObject => writer.close(b'}'),
            JsonEvent::EndArray => writer.close(b']'),
            JsonEvent::ObjectKey(name) => writer.begin_member(&name)?,
            JsonEvent::String(text) => writer.scalar(|out| push_string(out, &text)),
            JsonEvent::Number(text) => writer.scalar(|out| out.extend_from_slice(text.as_bytes())),
            JsonEvent::Boolean(true) => writer.scalar(|out| out.extend_from_slice(b"true")),
            JsonEvent::Boolean(false) => writer.scalar(|out| out.extend_from_slice(b"false")),
            JsonEvent::Null => writer.scalar(|out| out.extend_from_slice(b"null")),
            JsonEvent::Eof => break,
        }
    }
    let Writer { text, mut unsorted, .. } = writer;
    unsorted.sort_unstable_by_key(|object| object.inside.start);
    Some(Document { text, unsorted })
}

impl Document {
    /// The length of the canonical form in bytes.
    pub(super) fn len(&self) -> u64 {
        self.text.len() as u64
    }

    /// Calls `see` with the canonical form, piece by piece.
    pub(super) fn each_piece(&self, see: &mut impl FnMut(&[u8])) {
        self.each_piece_of(0..self.text.len(), 0, see);
    }

    /// The same for a part of the text. `first` is the first unsorted object that may be in it.
    /// Objects within objects are at most as deep as the document.
    fn each_piece_of(&self, range: Range<usize>, first: usize, see: &mut impl FnMut(&[u8])) {
        let (mut written, mut first) = (range.start, first);
        loop {
            let is_before = |object: &Object| object.inside.start < written;
            let next = first + self.unsorted[first..].partition_point(is_before);
            let object = self.unsorted.get(next).filter(|it| it.inside.start < range.end);
            let Some(Object { inside, members }) = object else { break };
            first = next + 1;
            see(&self.text[written..inside.start]);
            for (position, member) in members.iter().enumerate() {
                if position > 0 {
                    see(b",");
                }
                self.each_piece_of(member.clone(), first, see);
            }
            written = inside.end;
        }
        see(&self.text[written..range.end]);
    }
}

/// Writes a document without whitespace, and notes which objects have to be sorted.
struct Writer<'a> {
    text: Vec<u8>,
    unsorted: Vec<Object>,
    /// The objects and arrays that have begun and not ended, from the root inwards.
    open: Vec<Open>,
    ignored: &'a IgnoredFields,
}

/// An object or array that has not ended.
struct Open {
    /// Where its first member or element begins.
    start: usize,
    /// The pointers to ignored values that lead into it.
    leading: Leading,
    /// The members so far, if it is an object.
    members: Vec<Member>,
    /// The names of ignored members so far, in lower case.
    left_out: SmallVec<[Box<str>; 1]>,
    child: Current,
}

/// A member of an object: its name and value, without a comma.
struct Member {
    range: Range<usize>,
    name_end: usize,
}

/// The member or element that is being written.
#[derive(Default)]
struct Current {
    start: usize,
    /// The end of its name, if it is a member.
    name_end: Option<usize>,
    /// Its position, if it is an element.
    index: usize,
    leading: Leading,
    is_ignored: bool,
}

impl Writer<'_> {
    /// `None` if servers may read the member differently.
    fn begin_member(&mut self, name: &str) -> Option<()> {
        if name == "__proto__" || name.contains('\0') {
            return None;
        }
        let depth = self.open.len();
        let object = self.open.last_mut()?;
        let start = self.text.len();
        push_string(&mut self.text, name);
        let name_end = Some(self.text.len());
        self.text.push(b':');
        let (leading, is_at_pointer) =
            self.ignored.follow(&object.leading, depth - 1, Child::Member(name));
        let is_ignored = is_at_pointer || (depth == 1 && self.ignored.has_name(name.as_bytes()));
        if is_ignored {
            let name = name.to_ascii_lowercase().into_boxed_str();
            if object.left_out.contains(&name) {
                return None;
            }
            object.left_out.push(name);
        }
        object.child = Current { start, name_end, leading, is_ignored, ..Current::default() };
        Some(())
    }

    /// Begins the value of a member, an element or the root.
    fn begin_value(&mut self) {
        let depth = self.open.len();
        let Some(array) = self.open.last_mut() else { return };
        if array.child.name_end.is_some() {
            return;
        }
        array.child.start = self.text.len();
        let child = Child::Element(array.child.index);
        let (leading, is_ignored) = self.ignored.follow(&array.leading, depth - 1, child);
        (array.child.leading, array.child.is_ignored) = (leading, is_ignored);
    }

    fn end_value(&mut self) {
        let Some(around) = self.open.last_mut() else { return };
        let child = &mut around.child;
        child.index += 1;
        if child.is_ignored {
            self.text.truncate(child.start);
            // What is ignored is not sorted either.
            while self.unsorted.pop_if(|object| object.inside.start > child.start).is_some() {}
        } else {
            if let Some(name_end) = child.name_end {
                around.members.push(Member { range: child.start..self.text.len(), name_end });
            }
            self.text.push(b',');
        }
        child.name_end = None;
    }

    fn scalar(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.begin_value();
        write(&mut self.text);
        self.end_value();
    }

    /// `None` if the document is nested too deeply.
    fn open(&mut self, bracket: u8) -> Option<()> {
        self.begin_value();
        let leading = match self.open.last_mut() {
            Some(around) => std::mem::take(&mut around.child.leading),
            None => self.ignored.at_root(),
        };
        self.text.push(bracket);
        let start = self.text.len();
        self.open.push(Open {
            start,
            leading,
            members: Vec::new(),
            left_out: SmallVec::new(),
            child: Current::default(),
        });
        (self.open.len() <= MAX_DEPTH).then_some(())
    }

    fn close(&mut self, bracket: u8) {
        let Some(Open { start, mut members, .. }) = self.open.pop() else { return };
        if self.text.len() > start {
            // The comma after the last member.
            self.text.pop();
        }
        let name = |member: &Member| &self.text[member.range.start..member.name_end];
        let order = |a: &Member, b: &Member| compare(name(a), name(b));
        // Servers fold letters such as `ß` and `ẞ`, or `é` in one and in two characters, by rules
        // that differ. So two names with such letters may be one.
        let mut beyond_ascii = members.iter().filter(|member| !name(member).is_ascii());
        let first = beyond_ascii.next();
        let may_be_one = first.is_some_and(|first| beyond_ascii.any(|it| order(first, it).is_ne()));
        if !may_be_one && !members.is_sorted_by(|a, b| order(a, b).is_le()) {
            // Members of one name keep their order.
            members.sort_by(order);
            let members = members.into_iter().map(|member| member.range).collect();
            self.unsorted.push(Object { inside: start..self.text.len(), members });
        }
        self.text.push(bracket);
        self.end_value();
    }
}

/// Compares names without regard to case, as Go and .NET do.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        let (one, other) = (one.iter(), other.iter());
        return one.map(u8::to_ascii_lowercase).cmp(other.map(u8::to_ascii_lowercase));
    }
    let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    folded(&one).cmp(folded(&other))
}

/// The characters without their case. Some letters, such as `ſ`, equal another one only in upper
/// case.
fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Writes a string with as few escapes as JSON allows.
fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
