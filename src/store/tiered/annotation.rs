//! The annotation of an entry in the near tier.

use crate::{
    entry::{Head, Note},
    store::{Error, ErrorKind, Hit, Result, Version},
    time::Timestamp,
};

/// The store's name in errors.
pub(super) const NAME: &str = "tiered";

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
        let (is_copy, far) = far.map_or((0, 0), |version| (1, version.get()));
        Note::add([is_copy, far, instance, number, at.as_millis()], trailers).map_err(|_| {
            let message = "the trailers leave no room for the store's annotation";
            Error::new(ErrorKind::TooLarge, NAME, message)
        })
    }

    /// The annotation of a near entry, of whose notes other tiers have `read` so many.
    pub(super) fn of(head: &Head, read: usize) -> Option<Self> {
        let note = head.notes().iter().rev().nth(read)?;
        let [is_copy, far, instance, number, at] = note.numbers;
        let far = (is_copy != 0).then(|| Version::new(far));
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
    pub(super) fn new(hit: Hit) -> Self {
        let annotation = Annotation::of(&hit.head, hit.notes_read);
        let (version, near) = (shown(annotation, hit.version), hit.version);
        let notes_read = hit.head.notes().len().min(hit.notes_read + 1);
        Self { hit: Hit { version, notes_read, ..hit }, version: near, annotation }
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

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;

    #[test]
    fn annotations_come_back() {
        for far in [None, Some(Version::new(0)), Some(Version::new(u64::MAX))] {
            let at = Timestamp::from_millis(1_700_000_000_000);
            let annotation = Annotation { far, instance: u64::MAX, number: 7, at };
            let parts = Response::new(()).into_parts().0;
            let head = Head::new(Method::GET, "http://a/", parts, at);
            assert_eq!(Annotation::of(&head, 0), None);
            let head = head.seal(0, Some(annotation.add_to(None).unwrap()));
            assert_eq!((Annotation::of(&head, 0), head.trailers()), (Some(annotation), None));
            assert_eq!(Annotation::of(&head, 1), None);
            let decoded = Head::decode(head.encode().into()).unwrap();
            assert_eq!((Annotation::of(&decoded, 0), decoded.trailers()), (Some(annotation), None));
        }
    }
}
