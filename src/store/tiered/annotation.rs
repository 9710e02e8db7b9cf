//! The annotation of an entry in the near tier.

use crate::{
    entry::Head,
    key::Key,
    store::{Error, ErrorKind, Hit, Result, Version, annotation::Annotator},
    time::Timestamp,
};
use std::sync::Arc;

/// The store's name in errors.
pub(super) const NAME: &str = "tiered";

const ANNOTATOR: Annotator = Annotator { name: "larder-tier", store: NAME };

/// The bit that marks versions of entries that only the near tier has.
const OWN: u64 = 1 << 63;

/// What the near tier keeps with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Annotation {
    /// The version of the original in the far tier; `None` if the far tier did not accept the
    /// entry.
    pub(super) far: Option<Version>,
    /// Who made the copy, and the number of the copy.
    pub(super) instance: u64,
    pub(super) number: u64,
    /// When the copy was made.
    pub(super) at: Timestamp,
}

impl Annotation {
    /// Adds the annotation to the trailers of a near entry.
    pub(super) fn add_to(self, trailers: Option<http::HeaderMap>) -> Result<http::HeaderMap> {
        let Self { far, instance, number, at } = self;
        let far = far.map_or("own".to_owned(), |version| format!("{:x}", version.get()));
        ANNOTATOR.add(trailers, &format!("{far} {instance:x} {number:x} {:x}", at.as_millis()))
    }

    fn parse(annotation: &str) -> Option<Self> {
        let mut parts = annotation.split(' ');
        let far = match parts.next()? {
            "own" => None,
            far => Some(Version::new(u64::from_str_radix(far, 16).ok()?)),
        };
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (instance, number, at) = (number()?, number()?, number()?);
        Some(Self { far, instance, number, at: Timestamp::from_millis(at) })
    }
}

/// An entry of the near tier.
#[derive(Debug)]
pub(super) struct Near {
    /// The entry as it was given to the tiers. Its version is the one that
    /// [`Tiered`](super::Tiered) shows.
    pub(super) hit: Hit,
    /// The near tier's own version.
    pub(super) version: Version,
    /// `None` for an entry that was written to the near tier directly.
    pub(super) annotation: Option<Annotation>,
}

impl Near {
    pub(super) fn new(key: &Key, hit: Hit) -> Result<Self> {
        let (head, annotation) = without_annotation(key, hit.head)?;
        let version = shown(annotation, hit.version);
        Ok(Self { hit: Hit::new(head, version, hit.body), version: hit.version, annotation })
    }

    /// Whether only the near tier has the entry.
    pub(super) fn is_own(&self) -> bool {
        self.annotation.is_none_or(|annotation| annotation.far.is_none())
    }
}

/// The version that is shown for a near entry. For a copy, it is the far tier's.
pub(super) fn shown(annotation: Option<Annotation>, near: Version) -> Version {
    annotation.and_then(|annotation| annotation.far).unwrap_or(Version::new(near.get() | OWN))
}

/// Returns the original head of a near entry, and its annotation.
pub(super) fn without_annotation(
    key: &Key,
    head: Arc<Head>,
) -> Result<(Arc<Head>, Option<Annotation>)> {
    let Some((annotation, trailers)) = ANNOTATOR.split(key, &head)? else {
        return Ok((head, None));
    };
    let annotation = Annotation::parse(&annotation).ok_or_else(|| {
        let message = format!("the near entry of key {key} has a damaged annotation");
        Error::new(ErrorKind::Corrupt, NAME, message)
    })?;
    let len = head.body_len();
    Ok((Arc::new(Arc::unwrap_or_clone(head).seal(len, trailers)), Some(annotation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_come_back_and_other_text_is_refused() {
        for far in [None, Some(Version::new(0)), Some(Version::new(u64::MAX))] {
            let at = Timestamp::from_millis(1_700_000_000_000);
            let annotation = Annotation { far, instance: u64::MAX, number: 7, at };
            let trailers = annotation.add_to(None).unwrap();
            let line = trailers["larder-tier"].to_str().unwrap().strip_prefix("0 ").unwrap();
            assert_eq!(Annotation::parse(line), Some(annotation));
        }
        for other in ["", "own", "own 1 2", "x 1 2 3", "own 1 2 g"] {
            assert_eq!(Annotation::parse(other), None, "{other}");
        }
    }
}
