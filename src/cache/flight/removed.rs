//! What is removed while a call has no response yet.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{entry::Head, key::Key};

/// More removals than this are as good as a removal of everything.
const MOST: usize = 64;

/// Keys and tags that were removed since a call began.
#[derive(Debug, Default)]
pub(crate) struct Removed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    keys: Vec<Key>,
    tags: Vec<Box<str>>,
    everything: bool,
}

impl Removed {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_key(&self, key: Key) {
        self.lock().add(|state| state.keys.push(key));
    }

    pub(super) fn add_tag(&self, tag: &str) {
        self.lock().add(|state| state.tags.push(tag.into()));
    }

    /// Whether the response with this head, which is to lie under `key`, is among it.
    pub(crate) fn contains(&self, key: &Key, head: &Head) -> bool {
        let state = self.lock();
        state.everything
            || state.keys.contains(key)
            || head.tags().iter().any(|tag| state.tags.contains(tag))
    }
}

impl State {
    fn add(&mut self, add: impl FnOnce(&mut Self)) {
        if self.everything {
            return;
        }
        add(self);
        if self.keys.len() + self.tags.len() > MOST {
            *self = Self { everything: true, ..mem::take(self) };
            self.keys.clear();
            self.tags.clear();
        }
    }
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
    fn keys_and_tags_are_remembered_and_too_many_are_everything() {
        let removed = Removed::default();
        let (one, other) = (Key::digest("1"), Key::digest("2"));
        assert!(!removed.contains(&one, &head("a")));
        removed.add_key(one);
        removed.add_tag("a");
        assert!(removed.contains(&one, &head("b")) && removed.contains(&other, &head("a")));
        assert!(!removed.contains(&other, &head("b")));
        for n in 0..MOST {
            removed.add_tag(&n.to_string());
        }
        assert!(removed.contains(&other, &head("b")));
    }
}
