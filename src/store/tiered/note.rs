//! What is noted with an entry in the near tier.

use crate::{
    entry::Head,
    key::Key,
    store::{Error, ErrorKind, Hit, Result, Version, mark::Mark},
    time::Timestamp,
};
use std::sync::Arc;

/// The store, as its errors name it.
pub(super) const NAME: &str = "tiered";

const MARK: Mark = Mark { name: "larder-tier", store: NAME };

/// What sets the versions of entries that are in the near tier alone apart from the far tier's.
const OWN: u64 = 1 << 63;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The version in the far tier that this is a copy of; `None` where the far tier has not taken the entry.
    pub(super) far: Option<Version>,
    /// Whose copy it is, and which one of them.
    pub(super) instance: u64,
    pub(super) number: u64,
    /// When it was made.
    pub(super) at: Timestamp,
}

impl Note {
    /// The trailers of a near entry.
    pub(super) fn put(self, trailers: Option<http::HeaderMap>) -> Result<http::HeaderMap> {
        let Self { far, instance, number, at } = self;
        let far = far.map_or("own".to_owned(), |version| format!("{:x}", version.get()));
        MARK.put(trailers, &format!("{far} {instance:x} {number:x} {:x}", at.as_millis()))
    }

    fn parse(note: &str) -> Option<Self> {
        let mut parts = note.split(' ');
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
    /// As it was given to the tiers; its version is the one that [`Tiered`](super::Tiered) shows.
    pub(super) hit: Hit,
    /// The near tier's own version.
    pub(super) version: Version,
    /// `None` for what was put into the near tier by another.
    pub(super) note: Option<Note>,
}

impl Near {
    pub(super) fn new(key: &Key, hit: Hit) -> Result<Self> {
        let (head, note) = unmarked(key, hit.head)?;
        let version = shown(note, hit.version);
        Ok(Self { hit: Hit::new(head, version, hit.body), version: hit.version, note })
    }

    /// Whether it is in the near tier alone.
    pub(super) fn is_own(&self) -> bool {
        self.note.is_none_or(|note| note.far.is_none())
    }
}

/// The version that is shown for a near entry: a copy's is the far tier's.
pub(super) fn shown(note: Option<Note>, near: Version) -> Version {
    note.and_then(|note| note.far).unwrap_or(Version::new(near.get() | OWN))
}

/// The head of a near entry as it was given, and the note behind it.
pub(super) fn unmarked(key: &Key, head: Arc<Head>) -> Result<(Arc<Head>, Option<Note>)> {
    let Some((note, trailers)) = MARK.take(key, &head)? else { return Ok((head, None)) };
    let note = Note::parse(&note).ok_or_else(|| {
        let message = format!("the near entry of key {key} has a damaged note");
        Error::new(ErrorKind::Corrupt, NAME, message)
    })?;
    let len = head.body_len();
    Ok((Arc::new(Arc::unwrap_or_clone(head).seal(len, trailers)), Some(note)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_others_are_none() {
        for far in [None, Some(Version::new(0)), Some(Version::new(u64::MAX))] {
            let at = Timestamp::from_millis(1_700_000_000_000);
            let note = Note { far, instance: u64::MAX, number: 7, at };
            let trailers = note.put(None).unwrap();
            let line = trailers["larder-tier"].to_str().unwrap().strip_prefix("0 ").unwrap();
            assert_eq!(Note::parse(line), Some(note));
        }
        for other in ["", "own", "own 1 2", "x 1 2 3", "own 1 2 g"] {
            assert_eq!(Note::parse(other), None, "{other}");
        }
    }
}
