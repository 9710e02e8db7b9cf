//! [`Note`]: what a store that wraps another keeps with an entry.
//!
//! A store takes trailers at the end of a body, keeps them through every update of the head, and
//! returns them with the head. So a note travels as a line among the trailers. It needs no field in
//! any store, and is published with the entry.
//!
//! The line is taken out when a head is completed. Then the head has the trailers of the origin,
//! and nobody searches them for the note. The line has a secret of this process, so that no line of
//! an origin is taken for a note.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use http::{HeaderMap, HeaderName, HeaderValue, header::MaxSizeReached};

/// The name of the trailer in which `Compressed` says that it has stored a body in another form.
#[cfg(any(feature = "compression", feature = "files"))]
pub(crate) const COMPRESSED: &str = "larder-compressed";

const NAME: HeaderName = HeaderName::from_static("larder-note");

static SECRET: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("note"));

/// Some numbers that a wrapping store keeps with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) numbers: [u64; 5],
    /// Whether there were trailers when it was added: `None` and an empty map differ.
    has_trailers: bool,
}

impl Note {
    /// The trailers that carry a note to a store.
    pub(crate) fn add(
        numbers: [u64; 5],
        trailers: Option<HeaderMap>,
    ) -> Result<HeaderMap, MaxSizeReached> {
        let note = Self { numbers, has_trailers: trailers.is_some() };
        let mut trailers = trailers.unwrap_or_default();
        // Digits and spaces are a valid value.
        if let Ok(line) = HeaderValue::try_from(format!("{:x} {}", *SECRET, note.text())) {
            trailers.try_append(NAME, line)?;
        }
        Ok(trailers)
    }

    /// The notes among trailers, in order, and the trailers without them.
    pub(super) fn take(trailers: Option<HeaderMap>) -> (Vec<Self>, Option<HeaderMap>) {
        let Some(mut trailers) = trailers else { return (Vec::new(), None) };
        let parse = |line: &HeaderValue| {
            let (secret, text) = line.to_str().ok()?.split_once(' ')?;
            let is_ours = u64::from_str_radix(secret, 16) == Ok(*SECRET);
            is_ours.then(|| Self::parse(text)).flatten()
        };
        let mut notes = Vec::new();
        if trailers.contains_key(NAME) {
            let lines: Vec<HeaderValue> = trailers.get_all(NAME).iter().cloned().collect();
            trailers.remove(NAME);
            for line in lines {
                match parse(&line) {
                    Some(note) => notes.push(note),
                    // There was room for it.
                    None => drop(trailers.try_append(NAME, line)),
                }
            }
        }
        let trailers = Self::visible(&notes, Some(trailers));
        (notes, trailers)
    }

    /// The trailers beside these notes: `None` if there were none before the first note was added.
    pub(super) fn visible(notes: &[Self], trailers: Option<HeaderMap>) -> Option<HeaderMap> {
        let had_trailers = notes.first().is_none_or(|note| note.has_trailers);
        trailers.filter(|trailers| had_trailers || !trailers.is_empty())
    }

    /// The note as text, for the encoded head.
    pub(super) fn text(&self) -> String {
        let [a, b, c, d, e] = self.numbers;
        format!("{} {a:x} {b:x} {c:x} {d:x} {e:x}", u8::from(self.has_trailers))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let has_trailers = match words.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let mut numbers = [0; 5];
        for number in &mut numbers {
            *number = u64::from_str_radix(words.next()?, 16).ok()?;
        }
        words.next().is_none().then_some(Self { numbers, has_trailers })
    }
}

/// The notes of a head, which are no part of the response: one for each wrapping store that has
/// one. The store that is wrapped by all others has the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(pub(super) Box<[Note]>);

impl PartialEq for Notes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Notes {}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: [u64; 5] = [0, 1, u64::MAX, 255, 7];

    fn lines(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn values(map: Option<&HeaderMap>) -> Option<Vec<(&str, &[u8])>> {
        map.map(|map| map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect())
    }

    #[test]
    fn notes_and_trailers_come_back() {
        for trailers in [
            None,
            Some(HeaderMap::new()),
            Some(lines(&[("a", "1"), ("b", "2"), ("a", "3")])),
            Some(lines(&[("larder-note", "0 0 0 0 0 0 0"), ("a", "1"), ("larder-note", "x")])),
        ] {
            let carried = Note::add(NUMBERS, trailers.clone()).unwrap();
            let carried = Note::add([7; 5], Some(carried)).unwrap();
            let (notes, back) = Note::take(Some(carried));
            assert_eq!(
                notes.iter().map(|note| note.numbers).collect::<Vec<_>>(),
                [NUMBERS, [7; 5]]
            );
            let (mut back_lines, mut lines) = (values(back.as_ref()), values(trailers.as_ref()));
            // A line of the same name may change its place among the others.
            back_lines.iter_mut().chain(&mut lines).for_each(|lines| lines.sort_unstable());
            assert_eq!(back_lines, lines);
            assert_eq!(Note::parse(&notes[0].text()).as_ref(), notes.first());
        }
    }

    #[test]
    fn a_trailer_that_another_store_adds_stays() {
        let mut carried = Note::add(NUMBERS, None).unwrap();
        carried.append("a", HeaderValue::from_static("1"));
        let (notes, back) = Note::take(Some(carried));
        assert_eq!((notes.len(), &back), (1, &Some(lines(&[("a", "1")]))));
        assert_eq!(Note::visible(&notes, Some(HeaderMap::new())), None, "once it is taken off");
    }

    #[test]
    fn other_lines_are_no_notes() {
        for line in ["", "0", "0 1 2 3 4 5", "0 0 1 2 3 4 5", "1 0 1 2 3 4 5"] {
            let trailers = lines(&[("a", "1"), ("larder-note", line)]);
            assert_eq!(Note::take(Some(trailers.clone())), (Vec::new(), Some(trailers)), "{line}");
        }
        assert_eq!(Note::take(None), (Vec::new(), None));
        for text in ["", "0", "0 1 2 3 4", "0 1 2 3 4 5 6", "2 1 2 3 4 5", "0 1 2 3 4 g"] {
            assert_eq!(Note::parse(text), None, "{text}");
        }
    }
}
