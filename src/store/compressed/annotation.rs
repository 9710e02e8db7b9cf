//! Annotations: what this store keeps with an entry in the store that it wraps, as one line at the
//! end of the trailers.
//!
//! A store takes trailers at the end of a body, keeps them through every update of the head, and
//! returns them with the head. An annotation among them therefore needs no extra field in any
//! store, and is published with the entry. An origin may send a trailer of the same name: the
//! annotation is the last line of that name, and an entry whose trailers could be taken for
//! annotated ones always gets an annotation.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    entry::Head,
    key::Key,
    store::{Error, ErrorKind, Result},
};

/// Adds a wrapper's annotation to the trailers of an entry, and takes it off again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Annotator {
    /// The name of the line, in lower case.
    pub(super) name: &'static str,
    /// The wrapper's name in errors.
    pub(super) store: &'static str,
}

impl Annotator {
    fn name(self) -> HeaderName {
        HeaderName::from_static(self.name)
    }

    /// Whether these trailers could be taken for annotated ones.
    pub(super) fn is_in(self, trailers: Option<&HeaderMap>) -> bool {
        trailers.is_some_and(|trailers| trailers.contains_key(self.name))
    }

    /// Returns `trailers` with `annotation` at the end.
    pub(super) fn add(self, trailers: Option<HeaderMap>, annotation: &str) -> Result<HeaderMap> {
        // The line also says whether there were trailers: `None` and an empty map differ.
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

    /// Returns the annotation of the head under `key`, and the trailers without it. Returns `None`
    /// if the head has no annotation.
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
    fn annotations_and_trailers_come_back() {
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
    fn damaged_annotations_are_corrupt() {
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
