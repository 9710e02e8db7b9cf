//! What a wrapper notes of an entry in the store that it wraps: one line behind the trailers of the body.
//!
//! Trailers are what a store takes at the end of a body, keeps through every update of the head, and gives back with the
//! head; so a note there needs no room of its own in any store, and is published with the entry. An origin may send a
//! trailer of the same name: the note is the last one, and an entry without a note of its own gets one where such a
//! trailer would be taken for it.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Error, ErrorKind, Result};
use crate::{entry::Head, key::Key};

/// A wrapper's line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// In lower case.
    pub(super) name: &'static str,
    /// The wrapper, as its errors name it.
    pub(super) store: &'static str,
}

impl Mark {
    fn name(self) -> HeaderName {
        HeaderName::from_static(self.name)
    }

    /// Whether these trailers could be taken for marked ones.
    #[cfg(feature = "compression")]
    pub(super) fn is_in(self, trailers: Option<&HeaderMap>) -> bool {
        trailers.is_some_and(|trailers| trailers.contains_key(self.name))
    }

    /// `trailers` with `note` behind them.
    pub(super) fn put(self, trailers: Option<HeaderMap>, note: &str) -> Result<HeaderMap> {
        // Whether there were trailers is noted too: none and an empty map of them are not the same.
        let line = format!("{} {note}", u8::from(trailers.is_some()));
        let full = || {
            let message = "the trailers leave no room for a line of the store's own";
            Error::new(ErrorKind::TooLarge, self.store, message)
        };
        let value = HeaderValue::try_from(line).map_err(|_| full())?;
        let mut trailers = trailers.unwrap_or_default();
        trailers.try_append(self.name(), value).map_err(|_| full())?;
        Ok(trailers)
    }

    /// The note of the head under `key`, and the trailers that it stands behind; `None` where there is no note.
    pub(super) fn take(
        self,
        key: &Key,
        head: &Head,
    ) -> Result<Option<(String, Option<HeaderMap>)>> {
        let name = self.name();
        let Some(marked) = head.trailers() else { return Ok(None) };
        let Some(line) = marked.get_all(&name).iter().next_back() else { return Ok(None) };
        let damaged = || {
            let message = format!("the entry of key {key} has a damaged note");
            Error::new(ErrorKind::Corrupt, self.store, message)
        };
        let line = line.to_str().map_err(|_| damaged())?;
        let (had, note) = line.split_once(' ').ok_or_else(damaged)?;
        let mut left = marked.get_all(&name).iter().count() - 1;
        let mut trailers = HeaderMap::new();
        for (other, value) in marked {
            if *other == name {
                if left == 0 {
                    continue;
                }
                left -= 1;
            }
            trailers.try_append(other, value.clone()).map_err(|_| damaged())?;
        }
        let trailers = match had {
            "1" => Some(trailers),
            "0" if trailers.is_empty() => None,
            _ => return Err(damaged()),
        };
        Ok(Some((note.to_owned(), trailers)))
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;
    use crate::time::Timestamp;

    const KEY: Key = Key::from_bytes([0; 32]);
    const MARK: Mark = Mark { name: "x-mark", store: "test" };

    fn sealed(trailers: Option<HeaderMap>) -> Head {
        let (parts, ()) = Response::new(()).into_parts();
        Head::new(Method::GET, "http://a/", parts, Timestamp::MIN).seal(0, trailers)
    }

    fn lines(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn what_was_marked_comes_back_with_its_note() {
        for trailers in [
            None,
            Some(HeaderMap::new()),
            Some(lines(&[("a", "1"), ("b", "2"), ("a", "3")])),
            Some(lines(&[("x-mark", "0 forged"), ("a", "1"), ("x-mark", "1 forged")])),
        ] {
            let head = sealed(Some(MARK.put(trailers.clone(), "note").unwrap()));
            let (note, back) = MARK.take(&KEY, &head).unwrap().unwrap();
            assert_eq!((note.as_str(), &back), ("note", &trailers));
            let pairs = |map: &HeaderMap| {
                map.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
            };
            assert_eq!(back.as_ref().map(pairs), trailers.as_ref().map(pairs));
        }
        assert!(MARK.take(&KEY, &sealed(None)).unwrap().is_none());
        assert!(MARK.take(&KEY, &sealed(Some(lines(&[("a", "1")])))).unwrap().is_none());
    }

    #[test]
    fn damaged_notes_are_told() {
        for (name, line) in [("x-mark", "note"), ("x-mark", "2 note"), ("x-mark", "")] {
            let error = MARK.take(&KEY, &sealed(Some(lines(&[(name, line)])))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        let both = lines(&[("a", "1"), ("x-mark", "0 note")]);
        assert!(
            MARK.take(&KEY, &sealed(Some(both))).is_err(),
            "trailers that the note says are not there"
        );
    }
}
