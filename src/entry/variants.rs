//! What lies under the primary key of a URL whose responses vary: the names that select a variant, and of the latest
//! variants, what a 304 can name them by.
//!
//! A variant is found by its own key, so none has to be known here: one that was forgotten is not asked for by its tag,
//! and enters again when it is next stored or renewed.

use http::HeaderName;

use crate::key::Key;

/// How many variants are known at most. The oldest is forgotten first.
const MOST: usize = 32;

/// A longer tag is none to send along with others.
const LONGEST_TAG: usize = 256;

/// A list of variants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variants {
    /// The request headers that select one; in order, each once.
    pub(crate) names: Vec<HeaderName>,
    /// The one stored or renewed last comes last.
    known: Vec<Variant>,
}

/// One variant with a strong entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// What requests for it have as their key.
    pub(crate) key: Key,
    /// Where the response lies that answers them: there, or where another variant has been stored, which the origin has
    /// said to be theirs as well.
    pub(crate) entry: Key,
    /// The response's `ETag`, byte for byte.
    pub(crate) tag: Box<[u8]>,
}

impl Variant {
    /// The variant of that `key`, whose response lies under `entry`; `None` where the tag is too long to keep.
    pub(crate) fn new(key: Key, entry: Key, tag: &[u8]) -> Option<Self> {
        (tag.len() <= LONGEST_TAG).then(|| Self { key, entry, tag: tag.into() })
    }

    /// Whether another variant's response answers for it.
    pub(crate) fn is_lent(&self) -> bool {
        self.entry != self.key
    }
}

impl Variants {
    pub(crate) fn new(names: Vec<HeaderName>) -> Self {
        Self { names, known: Vec::new() }
    }

    /// Those with `known`, of which the last come last.
    pub(crate) fn with_known(mut self, known: impl IntoIterator<Item = Variant>) -> Self {
        for variant in known {
            let key = variant.key;
            self.tell(&key, Some(variant));
        }
        self
    }

    /// The known variants, the latest first.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &Variant> {
        self.known.iter().rev()
    }

    /// The known variants in the order in which they are kept.
    pub(crate) fn known(&self) -> &[Variant] {
        &self.known
    }

    /// What is known of the variant of that key.
    pub(crate) fn of(&self, key: &Key) -> Option<&Variant> {
        self.known.iter().find(|variant| variant.key == *key)
    }

    /// Puts what is known of the variant of that key, nothing included, in place of what was.
    pub(crate) fn tell(&mut self, key: &Key, variant: Option<Variant>) {
        if self.of(key) == variant.as_ref() {
            return;
        }
        self.known.retain(|known| known.key != *key);
        self.known.extend(variant);
        let over = self.known.len().saturating_sub(MOST);
        self.known.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::digest(n.to_string())
    }

    fn variant(n: usize, tag: &str) -> Variant {
        Variant::new(key(n), key(n), tag.as_bytes()).unwrap()
    }

    #[test]
    fn the_oldest_is_forgotten_and_each_is_known_once() {
        let mut list = Variants::default().with_known((0..MOST + 2).map(|n| variant(n, "\"a\"")));
        assert_eq!(list.known().len(), MOST);
        assert_eq!(list.of(&key(1)), None);
        assert_eq!(list.latest().next(), Some(&variant(MOST + 1, "\"a\"")));
        list.tell(&key(2), Some(variant(2, "\"b\"")));
        assert_eq!(list.known().len(), MOST);
        assert_eq!(list.latest().next(), Some(&variant(2, "\"b\"")), "what is new of it is news");
        list.tell(&key(3), Some(variant(3, "\"a\"")));
        assert_eq!(list.latest().next(), Some(&variant(2, "\"b\"")), "what is known is none");
        list.tell(&key(2), None);
        assert_eq!(list.of(&key(2)), None);
    }

    #[test]
    fn a_long_tag_is_not_kept() {
        assert!(Variant::new(key(1), key(1), &[b'a'; LONGEST_TAG]).is_some());
        assert!(Variant::new(key(1), key(1), &[b'a'; LONGEST_TAG + 1]).is_none());
    }

    #[test]
    fn a_lent_response_lies_elsewhere() {
        assert!(Variant::new(key(1), key(2), b"\"a\"").unwrap().is_lent());
        assert!(!variant(1, "\"a\"").is_lent());
    }
}
