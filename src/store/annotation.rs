//! What a wrapper annotations of an entry in the store that it wraps: one line behind the trailers of the body.
//!
//! Trailers are what a store takes at the end of a body, keeps through every update of the head, and gives back with the
//! head; so a annotation there needs no room of its own in any store, and is published with the entry. An origin may send a
//! trailer of the same name: the annotation is the last one, and an entry without a annotation of its own gets one where such a
//! trailer would be taken for it.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Error, ErrorKind, Result};
use crate::{entry::Head, key::Key};

/// A wrapper's line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Annotator {
    /// In lower case.
    pub(super) name: &'static str,
    /// The wrapper, as its errors name it.
    pub(super) store: &'static str,
}

impl Annotator {
    fn name(self) -> HeaderName {
        HeaderName::from_static(self.name)
    }

    /// Whether these trailers could be taken for annotated ones.
    #[cfg(feature = "compression")]
    pub(super) fn is_in(self, trailers: Option<&HeaderMap>) -> bool {
        trailers.is_some_and(|trailers| trailers.contains_key(self.name))
    }

    /// `trailers` with `annotation` behind them.
    pub(super) fn add(self, trailers: Option<HeaderMap>, annotation: &str) -> Result<HeaderMap> {
        // Whether there were trailers is noted too: none and an empty map of them are not the same.
        let line = format!("{} {annotation}", u8::from(trailers.is_some()));
        let full = || {
            let message = "the trailers leave no room for the store's annotation";
            Error::new(ErrorKind::TooLarge, self.store, message)
        };
        let value = HeaderValue::try_from(line).map_err(|_| full())?;
        let mut trailers = trailers.unwrap_or_default();
        trailers.try_append(self.name(), value).map_err(|_| full())?;
        Ok(trailers)
    }

    /// The annotation of the head under `key`, and the trailers that it stands behind; `None` where there is no annotation.
    pub(super) fn split(
        self,
        key: &Key,
        head: &Head,
    ) -> Result<Option<(String, Option<HeaderMap>)>> {
        let name = self.name();
        let Some(annotated) = head.trailers() else { return Ok(None) };
        let Some(line) = annotated.get_all(&name).iter().next_back() else { return Ok(None) };
        let damaged = || {
            let message = format!("the entry of key {key} has a damaged annotation");
            Error::new(ErrorKind::Corrupt, self.store, message)
        };
        let line = line.to_str().map_err(|_| damaged())?;
        let (had, annotation) = line.split_once(' ').ok_or_else(damaged)?;
        let mut left = annotated.get_all(&name).iter().count() - 1;
        let mut trailers = HeaderMap::new();
        for (other, value) in annotated {
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
        Ok(Some((annotation.to_owned(), trailers)))
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;
    use crate::time::Timestamp;

    const KEY: Key = Key::from_bytes([0; 32]);
    const ANNOTATOR: Annotator = Annotator { name: "x-annotation", store: "test" };

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
            Some(lines(&[("x-annotation", "0 forged"), ("a", "1"), ("x-annotation", "1 forged")])),
        ] {
            let head = sealed(Some(ANNOTATOR.add(trailers.clone(), "annotation").unwrap()));
            let (annotation, back) = ANNOTATOR.split(&KEY, &head).unwrap().unwrap();
            assert_eq!((annotation.as_str(), &back), ("annotation", &trailers));
            let pairs = |map: &HeaderMap| {
                map.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>()
            };
            assert_eq!(back.as_ref().map(pairs), trailers.as_ref().map(pairs));
        }
        assert!(ANNOTATOR.split(&KEY, &sealed(None)).unwrap().is_none());
        assert!(ANNOTATOR.split(&KEY, &sealed(Some(lines(&[("a", "1")])))).unwrap().is_none());
    }

    #[test]
    fn damaged_notes_are_told() {
        for (name, line) in
            [("x-annotation", "annotation"), ("x-annotation", "2 annotation"), ("x-annotation", "")]
        {
            let error = ANNOTATOR.split(&KEY, &sealed(Some(lines(&[(name, line)])))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        let both = lines(&[("a", "1"), ("x-annotation", "0 annotation")]);
        assert!(
            ANNOTATOR.split(&KEY, &sealed(Some(both))).is_err(),
            "trailers that the annotation says are not there"
        );
    }
}
