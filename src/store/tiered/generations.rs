//! Which copies in the near tier count.
//!
//! A copy takes its time: it is read from the far tier, written to the near one, and published there at last. What is
//! removed or replaced meanwhile must not come back with it, and who removes must not have to wait for it either, for it
//! moves only as its reader does. So every copy has a number, noted with it, and every change of an entry a number as
//! well, remembered here: a copy with a number below that of the last change does not count, published or not, and goes
//! when it is met. A change is forgotten once nothing is under way for its key and the near tier is rid of old copies.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::annotation::Annotation;
use crate::key::Key;

const SHARDS: usize = 16;

/// How many changes a shard remembers for keys that nothing is under way for. They are those whose old copy could not
/// be removed, or whose new one may yet appear; beyond it, all copies made until then are given up.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
pub(super) struct Generations {
    /// Tells the copies of these handles from those of an earlier run, and of other processes.
    instance: u64,
    next: AtomicU64,
    /// Copies up to this number do not count, whatever their key.
    wide: AtomicU64,
    shards: [Mutex<HashMap<Key, Row>>; SHARDS],
}

#[derive(Debug, Default)]
struct Row {
    /// Copies up to this number do not count.
    changed: u64,
    /// How many copies and changes are under way.
    under_way: u32,
    /// Whether a copy that does not count may be in the near tier.
    is_dirty: bool,
    /// Whether the publication of a copy was given up midway: it may appear at any time.
    is_lost: bool,
    /// Whether a write was given up midway: the far tier may take it at any time, so that nothing is copied from there until
    /// the next change.
    is_doubtful: bool,
}

impl Row {
    fn is_of_use(&self) -> bool {
        self.under_way > 0 || self.is_dirty || self.is_lost || self.is_doubtful
    }
}

impl Generations {
    pub(super) fn new() -> Self {
        // Random, by the one source of randomness that the standard library has.
        let instance = RandomState::new().build_hasher().finish();
        let (next, wide) = (AtomicU64::new(1), AtomicU64::new(0));
        Self { instance, next, wide, shards: Default::default() }
    }

    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, Row>> {
        // A digest: its first byte is as good as any.
        let shard = &self.shards[usize::from(key.as_bytes()[0]) % SHARDS];
        // The table is whole between any two statements under the lock.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to which number copies of `key` do not count.
    pub(super) fn changed(&self, key: &Key) -> u64 {
        let changed = self.shard(key).get(key).map_or(0, |row| row.changed);
        changed.max(self.wide.load(Ordering::SeqCst))
    }

    /// Whether the copy with this annotation counts. Those of an earlier run do until something is changed: none of them is
    /// under way any more.
    pub(super) fn counts(&self, key: &Key, annotation: &Annotation) -> bool {
        let changed = self.changed(key);
        if annotation.instance == self.instance {
            annotation.number > changed
        } else {
            changed == 0
        }
    }

    /// From now on no copy of `key` counts that was begun before.
    pub(super) fn change(&self, key: &Key) {
        let mut shard = self.shard(key);
        let row = shard.entry(*key).or_default();
        row.changed = self.number();
        row.is_dirty = true;
        row.is_doubtful = false;
    }

    /// From now on no copy counts that is under way.
    pub(super) fn change_under_way(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for row in shard.values_mut().filter(|row| row.under_way > 0 || row.is_lost) {
                row.changed = self.number();
                row.is_dirty = true;
            }
        }
    }

    /// From now on no copy counts that was begun before.
    pub(super) fn change_all(&self) {
        let number = self.number();
        self.wide.fetch_max(number, Ordering::SeqCst);
    }

    /// The near tier has no copy of `key` any more that does not count by the change that was the last one `then`.
    pub(super) fn cleaned(&self, key: &Key, then: u64) {
        let mut shard = self.shard(key);
        if let Some(row) = shard.get_mut(key)
            && row.changed <= then
        {
            row.is_dirty = false;
            if !row.is_of_use() {
                shard.remove(key);
            }
        }
    }

    /// A copy of `key` that begins; `None` where something is under way for it, or may be.
    pub(super) fn copy(self: &Arc<Self>, key: &Key) -> Option<Ticket> {
        let mut shard = self.shard(key);
        let row = shard.entry(*key).or_default();
        if row.under_way > 0 || row.is_doubtful {
            return None;
        }
        row.under_way = 1;
        Some(Ticket {
            generations: self.clone(),
            key: *key,
            number: self.number(),
            state: State::Idle,
        })
    }

    /// A write that is about to be published in the far tier: no copy counts any more, nor does any begin. It is
    /// [settled](Ticket::settled) when the far tier has answered.
    pub(super) fn write(self: &Arc<Self>, key: &Key) -> (Ticket, Before) {
        let mut shard = self.shard(key);
        let row = shard.entry(*key).or_default();
        let before = Before { changed: row.changed, is_dirty: row.is_dirty };
        row.under_way += 1;
        row.changed = self.number();
        row.is_dirty = true;
        let ticket = Ticket {
            generations: self.clone(),
            key: *key,
            number: row.changed,
            state: State::Writing,
        };
        (ticket, before)
    }
}

/// What was known of a key before a write that came to nothing.
pub(super) struct Before {
    changed: u64,
    is_dirty: bool,
}

/// A copy or a write that is under way.
#[derive(Debug)]
pub(super) struct Ticket {
    generations: Arc<Generations>,
    key: Key,
    number: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// The far tier may or may not have taken it.
    Writing,
    /// It may or may not have been published.
    Publishing,
}

impl Ticket {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn counts(&self) -> bool {
        self.number > self.generations.changed(&self.key)
    }

    /// The write is in the far tier: what was copied until now does not count, and what this one copies does.
    pub(super) fn renew(&mut self) {
        self.generations.change(&self.key);
        self.number = self.generations.number();
    }

    /// The write has come to nothing: what counted before counts again.
    pub(super) fn undo(self, before: &Before) {
        let mut shard = self.generations.shard(&self.key);
        if let Some(row) = shard.get_mut(&self.key)
            && row.changed <= self.number
        {
            row.changed = before.changed;
            row.is_dirty = before.is_dirty;
        }
    }

    pub(super) fn publishes(&mut self) {
        self.state = State::Publishing;
    }

    /// Whether it was taken or not, published or not, there is no doubt of it.
    pub(super) fn settled(&mut self) {
        self.state = State::Idle;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut shard = self.generations.shard(&self.key);
        let Some(row) = shard.get_mut(&self.key) else { return };
        row.under_way = row.under_way.saturating_sub(1);
        match self.state {
            State::Idle => {}
            State::Writing => row.is_doubtful = true,
            State::Publishing => row.is_lost = true,
        }
        if !row.is_of_use() {
            shard.remove(&self.key);
        } else if shard.len() > REMEMBERED
            && shard.values().filter(|row| row.under_way == 0).count() > REMEMBERED
        {
            self.generations.change_all();
            shard.retain(|_, row| row.under_way > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::from_bytes([7; 32]);

    fn annotation(generations: &Generations, number: u64) -> Annotation {
        Annotation { far: None, instance: generations.instance(), number, at: Default::default() }
    }

    fn rows(generations: &Generations) -> usize {
        generations.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn a_change_outdates_what_was_begun_before_it_and_nothing_else() {
        let generations = Arc::new(Generations::new());
        let copy = generations.copy(&KEY).unwrap();
        assert!(copy.counts() && generations.copy(&KEY).is_none(), "one at a time");
        generations.change(&KEY);
        assert!(
            !copy.counts() && !generations.counts(&KEY, &annotation(&generations, copy.number()))
        );
        drop(copy);
        let next = generations.copy(&KEY).unwrap();
        assert!(next.counts());
        generations.change_under_way();
        assert!(!next.counts());
        drop(next);
        generations.cleaned(&KEY, generations.changed(&KEY));
        assert_eq!(rows(&generations), 0, "nothing is remembered for longer than it matters");
        let foreign =
            Annotation { instance: !generations.instance(), ..annotation(&generations, 0) };
        assert!(generations.counts(&KEY, &foreign));
    }

    #[test]
    fn a_write_outdates_what_came_between_and_can_be_undone() {
        let generations = Arc::new(Generations::new());
        let kept = generations.copy(&KEY).unwrap().number();
        let (mut first, before) = generations.write(&KEY);
        first.settled();
        assert!(!generations.counts(&KEY, &annotation(&generations, kept)));
        first.undo(&before);
        assert!(generations.counts(&KEY, &annotation(&generations, kept)));
        assert_eq!(rows(&generations), 0);

        let (mut one, _) = generations.write(&KEY);
        let (mut two, before) = generations.write(&KEY);
        one.settled();
        one.renew();
        assert!(one.counts());
        two.settled();
        two.renew();
        assert!(two.counts() && !one.counts());
        one.renew();
        two.undo(&before);
        assert!(one.counts(), "another write since then stays");
    }

    #[test]
    fn nothing_is_copied_while_a_write_may_yet_be_taken() {
        let generations = Arc::new(Generations::new());
        drop(generations.write(&KEY));
        generations.cleaned(&KEY, generations.changed(&KEY));
        assert!(generations.copy(&KEY).is_none());
        generations.change(&KEY);
        generations.cleaned(&KEY, generations.changed(&KEY));
        assert!(generations.copy(&KEY).is_some());
        assert_eq!(rows(&generations), 0);
    }

    #[test]
    fn what_may_have_been_published_is_remembered_until_all_is_given_up() {
        let generations = Arc::new(Generations::new());
        let mut lost = generations.copy(&KEY).unwrap();
        let number = lost.number();
        lost.publishes();
        drop(lost);
        generations.change(&KEY);
        generations.cleaned(&KEY, generations.changed(&KEY));
        assert!(!generations.counts(&KEY, &annotation(&generations, number)));
        for n in 0..=2 * REMEMBERED as u64 {
            let mut key = [7; 32];
            key[8..16].copy_from_slice(&n.to_le_bytes());
            let mut lost = generations.copy(&Key::from_bytes(key)).unwrap();
            lost.publishes();
        }
        assert!(rows(&generations) <= REMEMBERED);
        assert!(!generations.counts(&KEY, &annotation(&generations, number)));
    }
}
