//! [`PendingInvalidations`]: what was removed while a call has no response yet.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{entry::Head, key::Key, store::Version};

/// More removals than this count as a removal of everything. They take 8 KiB for each call.
const MOST: usize = 1024;

/// The keys and tags that were removed since a call began.
#[derive(Debug, Default)]
pub(crate) struct PendingInvalidations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A number for each key and each tag, in order.
    marks: Vec<u64>,
    everything: bool,
    freshening: Option<Freshening>,
}

/// An entry that is being given a new head.
#[derive(Debug)]
struct Freshening {
    key: Key,
    seen: Version,
    tags: Vec<Box<str>>,
}

impl PendingInvalidations {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_key(&self, key: &Key) {
        self.lock().add(mark(key));
    }

    /// Remembers the removal of what is stored for the requests that join under this key.
    pub(super) fn add_call_key(&self, key: &Key) {
        self.lock().add(call_mark(key));
    }

    /// Remembers the removal of a tag. Returns the entry that is being freshened with this tag,
    /// since it may not carry the tag yet.
    pub(super) fn add_tag(&self, tag: &str) -> Option<(Key, Version)> {
        let mut state = self.lock();
        state.add(mark(tag));
        let freshening = state.freshening.as_ref()?;
        let carries = freshening.tags.iter().any(|own| **own == *tag);
        carries.then_some((freshening.key, freshening.seen))
    }

    /// Whether the response with this head was removed. It is stored under `key`, for requests that
    /// join under `call_key`.
    pub(crate) fn contains(&self, key: &Key, call_key: &Key, head: &Head) -> bool {
        self.lock().contains(key, call_key, head)
    }

    /// Whether the entry `seen` under `key` may be given this head. `false` if a response with this
    /// head was removed. From now on, [`add_tag`](Self::add_tag) returns the entry for its tags.
    pub(crate) fn begin_freshening(
        &self,
        key: &Key,
        call_key: &Key,
        seen: Version,
        head: &Head,
    ) -> bool {
        let mut state = self.lock();
        let may = !state.contains(key, call_key, head);
        state.freshening = may.then(|| Freshening { key: *key, seen, tags: head.tags().to_vec() });
        may
    }
}

impl State {
    fn contains(&self, key: &Key, call_key: &Key, head: &Head) -> bool {
        self.everything
            || self.has(mark(key))
            || self.has(call_mark(call_key))
            || head.tags().iter().any(|tag| self.has(mark(&**tag)))
    }

    fn has(&self, mark: u64) -> bool {
        self.marks.binary_search(&mark).is_ok()
    }

    fn add(&mut self, mark: u64) {
        if self.everything {
            return;
        }
        if let Err(place) = self.marks.binary_search(&mark) {
            self.marks.insert(place, mark);
        }
        if self.marks.len() > MOST {
            self.everything = true;
            drop(mem::take(&mut self.marks));
        }
    }
}

/// A number for a key that requests join under. An entry's key has another.
fn call_mark(key: &Key) -> u64 {
    mark((key, 0_u8))
}

/// A number for a key or a tag. If two have the same number, a response may not be stored that
/// could have been.
fn mark(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};

    use super::*;
    use crate::time::Timestamp;

    fn head(tag: &str) -> Head {
        let parts = Response::new(()).into_parts().0;
        Head::new(Method::GET, "http://a/", parts, Timestamp::MIN).with_tags(vec![tag.into()])
    }

    #[test]
    fn too_many_keys_and_tags_count_as_everything() {
        let removed = PendingInvalidations::default();
        let (one, other) = (Key::digest("1"), Key::digest("2"));
        assert!(!removed.contains(&one, &one, &head("a")));
        removed.add_key(&one);
        removed.add_tag("a");
        assert!(
            removed.contains(&one, &one, &head("b"))
                && removed.contains(&other, &other, &head("a"))
        );
        assert!(!removed.contains(&other, &other, &head("b")));
        for _ in 0..=MOST {
            removed.add_tag("a");
        }
        assert!(
            !removed.contains(&other, &other, &head("b")),
            "what is removed again is nothing new"
        );
        for n in 0..MOST {
            removed.add_tag(&n.to_string());
        }
        assert!(removed.contains(&other, &other, &head("b")));
    }

    #[test]
    fn tag_removal_returns_the_entry_being_freshened_with_that_tag() {
        let removed = PendingInvalidations::default();
        let (key, seen) = (Key::digest("1"), Version::new(7));
        removed.add_tag("a");
        assert!(!removed.begin_freshening(&key, &key, seen, &head("a")));
        assert_eq!(removed.add_tag("a"), None);
        assert!(removed.begin_freshening(&key, &key, seen, &head("b")));
        assert_eq!((removed.add_tag("c"), removed.add_tag("b")), (None, Some((key, seen))));
        for n in 0..MOST {
            assert_eq!(removed.add_tag(&n.to_string()), None);
        }
        assert_eq!(removed.add_tag("b"), Some((key, seen)), "however many there were");
    }
}
