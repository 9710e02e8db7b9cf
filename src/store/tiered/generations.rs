//! Which copies in the near tier count.
//!
//! A copy takes time: it is read from the far tier, written to the near one, and published at the
//! end. An entry that is removed or replaced meanwhile must not come back with it, and a removal
//! cannot wait for a copy, which only moves with its reader. So every copy has a number, which its
//! annotation contains, and every change of an entry has a number, which is remembered here. A copy
//! with a lower number than the last change does not count, published or not, and is removed when
//! it is met. A change is forgotten once nothing is in progress for its key and the near tier has
//! no old copy of it.
//!
//! From the moment when the far tier is asked for a change until it has answered, no copy of the
//! entry counts, and none can be published. Otherwise, a copy could be read whose original is
//! gone. Whoever lists the far tier's entries to remove them does not find such an original, and
//! could not keep the copy from being read afterwards.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
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
    /// How many changes of many entries wait for the far tier, and how many listings are in
    /// progress.
    changes: AtomicUsize,
    shards: [Mutex<HashMap<Key, Row>>; SHARDS],
}

#[derive(Debug, Default)]
struct Row {
    /// Copies up to this number do not count.
    changed: u64,
    /// How many copies and changes are in progress.
    under_way: u32,
    /// How many of them are changes that wait for the far tier.
    changing: u32,
    /// Whether the near tier may have a copy that does not count.
    is_dirty: bool,
    /// Whether the publication of a copy was abandoned: the copy may appear at any time.
    is_lost: bool,
    /// Whether a change was abandoned: the far tier may make it at any time, so nothing is copied
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
        Self { instance, next, wide, changes: AtomicUsize::new(0), shards: Default::default() }
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

    /// Whether the near entry with this annotation counts.
    pub(super) fn counts(&self, key: &Key, annotation: Option<&Annotation>) -> bool {
        self.counts_since(self.changed(key), annotation)
    }

    /// Whether the near entry with this annotation counted when copies up to the number `changed`
    /// did not. An entry without an annotation, and a copy of an earlier run, count until something
    /// changes: none of them is in progress any more.
    pub(super) fn counts_since(&self, changed: u64, annotation: Option<&Annotation>) -> bool {
        match annotation {
            Some(annotation) if annotation.instance == self.instance => annotation.number > changed,
            _ => changed == 0,
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
    fn change_under_way(&self) {
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
        // Under the lock: a change that begins now finds the row of this copy.
        if self.changes.load(Ordering::SeqCst) > 0 {
            return None;
        }
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

    /// Begins a change of the entry in the far tier: no copy counts any more, and none can be
    /// published until the change is [made](Ticket::made) or [not made](Ticket::not_made). If it is
    /// abandoned before that, no copy can begin until the next change.
    pub(super) fn begin_change(self: &Arc<Self>, key: &Key) -> (Ticket, Before) {
        let mut shard = self.shard(key);
        let row = shard.entry(*key).or_default();
        let before = Before { changed: row.changed, is_dirty: row.is_dirty };
        row.under_way += 1;
        row.changing += 1;
        row.changed = self.number();
        row.is_dirty = true;
        let ticket = Ticket {
            generations: self.clone(),
            key: *key,
            number: row.changed,
            state: State::Changing,
        };
        (ticket, before)
    }

    /// Begins a change of many entries in the far tier: no copy that is in progress counts, and
    /// none can be published until the change is [made](ManyTicket::made). The near tier has to
    /// remove its copies before the far tier removes the originals. If the change is abandoned
    /// before it is made, no earlier copy counts.
    pub(super) fn begin_changes(self: &Arc<Self>) -> ManyTicket {
        // A copy that does not see this is seen by the next line.
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.change_under_way();
        ManyTicket { generations: self.clone(), is_made: false }
    }

    /// Begins a listing of both tiers: no copy can be published until the ticket is dropped.
    /// Otherwise, the listing could miss a copy that is published after it has read the near tier,
    /// and whose original the far tier evicts before it is read there.
    pub(super) fn begin_listing(self: &Arc<Self>) -> ManyTicket {
        let mut ticket = self.begin_changes();
        ticket.is_made = true;
        ticket
    }
}

/// The state of a key before a change, for a change that is not made.
pub(super) struct Before {
    changed: u64,
    is_dirty: bool,
}

/// A copy or a change in progress.
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
    /// The far tier may have changed the entry or not.
    Changing,
    /// The near entry may have been published or not.
    Publishing,
}

impl Ticket {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn counts(&self) -> bool {
        self.number > self.generations.changed(&self.key)
    }

    /// The far tier has made the change, or may have: no earlier copy counts, and one that was
    /// begun since the change began does not either.
    pub(super) fn made(&mut self) {
        let mut shard = self.generations.shard(&self.key);
        let Some(row) = shard.get_mut(&self.key) else { return };
        row.changed = self.generations.number();
        row.is_dirty = true;
        row.is_doubtful = false;
        if self.state == State::Changing {
            row.changing = row.changing.saturating_sub(1);
        }
        self.state = State::Idle;
    }

    /// The far tier has not made the change: the copies that counted before it count again. They do
    /// not while entries are listed or many are changed: a listing may have left them out.
    pub(super) fn not_made(mut self, before: &Before) {
        let mut shard = self.generations.shard(&self.key);
        let may_be_listed = self.generations.changes.load(Ordering::SeqCst) > 0;
        if let Some(row) = shard.get_mut(&self.key) {
            if row.changed <= self.number && !may_be_listed {
                row.changed = before.changed;
                row.is_dirty = before.is_dirty;
            }
            if self.state == State::Changing {
                row.changing = row.changing.saturating_sub(1);
            }
        }
        drop(shard);
        self.state = State::Idle;
    }

    /// The change is made, and a near entry of it can be published.
    pub(super) fn renew(&mut self) {
        self.number = self.generations.number();
    }

    /// Begins to publish a near entry, if it counts. A copy is not published while the far tier may
    /// be changing its original.
    pub(super) fn begin_publishing(&mut self, is_copy: bool) -> bool {
        let Generations { wide, changes, .. } = &*self.generations;
        let shard = self.generations.shard(&self.key);
        let Some(row) = shard.get(&self.key) else { return false };
        let counts = self.number > row.changed.max(wide.load(Ordering::SeqCst));
        let may_change = row.changing > 0 || changes.load(Ordering::SeqCst) > 0;
        if !counts || is_copy && may_change {
            return false;
        }
        self.state = State::Publishing;
        true
    }

    /// The near entry is published, or will not be.
    pub(super) fn end_publishing(&mut self) {
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
            State::Changing => {
                row.changing = row.changing.saturating_sub(1);
                row.is_doubtful = true;
            }
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

/// A change of many entries in progress.
#[derive(Debug)]
pub(super) struct ManyTicket {
    generations: Arc<Generations>,
    is_made: bool,
}

impl ManyTicket {
    /// The far tier has answered, and the near tier has removed its copies.
    pub(super) fn made(mut self) {
        self.is_made = true;
    }
}

impl Drop for ManyTicket {
    fn drop(&mut self) {
        if self.is_made {
            // Copies that were begun meanwhile may be of entries that the far tier has removed.
            self.generations.change_under_way();
        } else {
            self.generations.change_all();
        }
        self.generations.changes.fetch_sub(1, Ordering::SeqCst);
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
            !copy.counts()
                && !generations.counts(&KEY, Some(&annotation(&generations, copy.number())))
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
        assert!(generations.counts(&KEY, Some(&foreign)));
    }

    #[test]
    fn changes_that_are_not_made_let_copies_count_again() {
        let generations = Arc::new(Generations::new());
        let kept = annotation(&generations, generations.copy(&KEY).unwrap().number());
        let (first, before) = generations.begin_change(&KEY);
        assert!(!generations.counts(&KEY, Some(&kept)));
        first.not_made(&before);
        assert!(generations.counts(&KEY, Some(&kept)));
        assert_eq!(rows(&generations), 0);

        let (mut one, _) = generations.begin_change(&KEY);
        let (mut two, before) = generations.begin_change(&KEY);
        one.made();
        one.renew();
        assert!(one.counts());
        two.made();
        two.renew();
        assert!(two.counts() && !one.counts());
        one.renew();
        two.not_made(&before);
        assert!(one.counts(), "another write since then stays");
    }

    #[test]
    fn no_copy_is_published_while_the_far_tier_changes() {
        let generations = Arc::new(Generations::new());
        let mut copy = generations.copy(&KEY).unwrap();
        assert!(copy.begin_publishing(true));
        copy.end_publishing();

        let (mut change, _) = generations.begin_change(&KEY);
        copy.renew();
        assert!(copy.counts() && !copy.begin_publishing(true) && copy.begin_publishing(false));
        copy.end_publishing();
        change.made();
        assert!(!copy.begin_publishing(true), "it was begun before the far tier answered");
        copy.renew();
        assert!(copy.begin_publishing(true));
        copy.end_publishing();

        let many = generations.begin_changes();
        assert!(!copy.counts());
        copy.renew();
        assert!(!copy.begin_publishing(true) && copy.begin_publishing(false));
        copy.end_publishing();
        drop((copy, change));
        assert!(generations.copy(&KEY).is_none());
        assert!(generations.copy(&Key::from_bytes([8; 32])).is_none());
        many.made();
        assert!(generations.copy(&KEY).is_some());
        let early = generations.copy(&KEY).unwrap();
        drop(generations.begin_changes());
        assert!(!early.counts(), "abandoned, so the far tier may have changed anything");
    }

    #[test]
    fn no_copy_begins_while_a_change_is_in_doubt() {
        let generations = Arc::new(Generations::new());
        drop(generations.begin_change(&KEY));
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
        assert!(lost.begin_publishing(true));
        drop(lost);
        generations.change(&KEY);
        generations.cleaned(&KEY, generations.changed(&KEY));
        assert!(!generations.counts(&KEY, Some(&annotation(&generations, number))));
        for n in 0..=2 * REMEMBERED as u64 {
            let mut key = [7; 32];
            key[8..16].copy_from_slice(&n.to_le_bytes());
            let mut lost = generations.copy(&Key::from_bytes(key)).unwrap();
            assert!(lost.begin_publishing(true));
        }
        assert!(rows(&generations) <= REMEMBERED);
        assert!(!generations.counts(&KEY, Some(&annotation(&generations, number))));
    }
}
