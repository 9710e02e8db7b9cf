//! Which copies in the near tier count.
//!
//! A copy takes time: it is read from the far tier, written to the near one, and published at the
//! end. An entry that is removed or replaced meanwhile must not come back with it, and a removal
//! cannot wait for a copy, which only moves with its reader. So every copy has a number, which its
//! annotation contains, and every change of an entry has a number, which is remembered here. A copy
//! with a lower number than the last change does not count, published or not, and is removed when
//! it is met. A change is forgotten once nothing is in progress for its key and the near tier has
//! no old copy of it.

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

/// How many changes a shard remembers for keys without anything in progress: those whose old copy
/// could not be removed, or whose new copy may still appear. With more, all earlier copies are
/// invalidated.
const REMEMBERED: usize = 1024;

/// The numbers of copies and changes.
#[derive(Debug)]
pub(super) struct Generations {
    /// Distinguishes the copies of these handles from those of an earlier run, and of other
    /// processes.
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
    /// How many copies and changes are in progress.
    under_way: u32,
    /// Whether the near tier may have a copy that does not count.
    is_dirty: bool,
    /// Whether the publication of a copy was abandoned: the copy may appear at any time.
    is_lost: bool,
    /// Whether a write was abandoned: the far tier may accept it at any time, so nothing is copied
    /// from there until the next change.
    is_doubtful: bool,
}

impl Row {
    fn is_of_use(&self) -> bool {
        self.under_way > 0 || self.is_dirty || self.is_lost || self.is_doubtful
    }
}

impl Generations {
    pub(super) fn new() -> Self {
        // Random: the standard library's only source of randomness.
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
        // A key is a digest, so its first byte is evenly spread.
        let shard = &self.shards[usize::from(key.as_bytes()[0]) % SHARDS];
        // The map is consistent between any two statements under the lock.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies of `key` up to this number do not count.
    pub(super) fn changed(&self, key: &Key) -> u64 {
        let changed = self.shard(key).get(key).map_or(0, |row| row.changed);
        changed.max(self.wide.load(Ordering::SeqCst))
    }

    /// Whether the copy with this annotation counts. A copy of an earlier run counts until
    /// something changes: none of them is in progress any more.
    pub(super) fn counts(&self, key: &Key, annotation: &Annotation) -> bool {
        let changed = self.changed(key);
        if annotation.instance == self.instance {
            annotation.number > changed
        } else {
            changed == 0
        }
    }

    /// Invalidates the copies of `key` that were begun before.
    pub(super) fn change(&self, key: &Key) {
        let mut shard = self.shard(key);
        let row = shard.entry(*key).or_default();
        row.changed = self.number();
        row.is_dirty = true;
        row.is_doubtful = false;
    }

    /// Invalidates the copies in progress.
    pub(super) fn change_under_way(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for row in shard.values_mut().filter(|row| row.under_way > 0 || row.is_lost) {
                row.changed = self.number();
                row.is_dirty = true;
            }
        }
    }

    /// Invalidates all copies that were begun before.
    pub(super) fn change_all(&self) {
        let number = self.number();
        self.wide.fetch_max(number, Ordering::SeqCst);
    }

    /// The near tier has no copy of `key` that the change `then` invalidated.
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

    /// Begins a copy of `key`. Returns `None` if something is, or may be, in progress for it.
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

    /// Begins a change of the entry in the far tier: no copy can begin until it is
    /// [settled](Ticket::settled). If it is abandoned before that, no earlier copy counts.
    pub(super) fn begin_change(self: &Arc<Self>, key: &Key) -> Ticket {
        self.shard(key).entry(*key).or_default().under_way += 1;
        Ticket { generations: self.clone(), key: *key, number: 0, state: State::Changing }
    }

    /// Begins a change of many entries in the far tier. If it is abandoned before it is
    /// [settled](ManyTicket::settled), no earlier copy counts.
    pub(super) fn begin_changes(self: &Arc<Self>) -> ManyTicket {
        ManyTicket(Some(self.clone()))
    }

    /// Begins a write that is about to be published in the far tier: no copy counts any more, and
    /// none can begin. It is [settled](Ticket::settled) when the far tier has answered.
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

/// The state of a key before a write, for a write that fails.
pub(super) struct Before {
    changed: u64,
    is_dirty: bool,
}

/// A copy, a write or a change in progress.
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
    /// The far tier may have accepted the write or not.
    Writing,
    /// The copy may have been published or not.
    Publishing,
    /// The far tier may have changed the entry or not.
    Changing,
}

impl Ticket {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn counts(&self) -> bool {
        self.number > self.generations.changed(&self.key)
    }

    /// The far tier has accepted the write: earlier copies do not count, and the copy of this write
    /// does.
    pub(super) fn renew(&mut self) {
        self.generations.change(&self.key);
        self.number = self.generations.number();
    }

    /// The write has failed without an effect: the copies that counted before it count again.
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

    /// The outcome is known.
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
            State::Changing => {
                row.changed = self.generations.number();
                row.is_dirty = true;
                row.is_doubtful = true;
            }
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

/// A change of many entries in progress.
#[derive(Debug)]
pub(super) struct ManyTicket(Option<Arc<Generations>>);

impl ManyTicket {
    /// The outcome is known.
    pub(super) fn settled(&mut self) {
        self.0 = None;
    }
}

impl Drop for ManyTicket {
    fn drop(&mut self) {
        if let Some(generations) = &self.0 {
            generations.change_all();
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
    fn changes_invalidate_only_earlier_copies() {
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
    fn writes_invalidate_copies_and_can_be_undone() {
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
    fn no_copy_begins_while_a_write_is_in_doubt() {
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
    fn lost_copies_are_remembered_until_all_copies_are_invalidated() {
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
