//! A database in memory that fails when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    ops::Bound,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Key,
    entry::Head,
    store::{
        Error, ErrorKind, Result, Scanned, Version,
        disk::Page,
        embedded::{
            Body, Database, Durability, Engine, Entry, Found, Garbage, KeyStart, Leases, Lookup,
            Outcome, Placed, Purge, QueueState, Read, ReadMode, Reads, Recovery, Settings, Step,
            Transaction, closed,
        },
    },
};

/// A database. With `LOSES`, its recovery undoes what was not synced, as redb's does.
pub(super) struct Fake<const LOSES: bool> {
    state: Mutex<State>,
    plan: Arc<Plan>,
}

/// What the test tells the database, and what the database has seen.
#[derive(Default)]
pub(super) struct Plan {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The numbers of the transactions that fail. The first is 1.
    fails: HashSet<usize>,
    /// A failing transaction fails before its work, and not at its commit.
    fails_early: bool,
    transactions: usize,
    /// The threads of the lookups that read.
    readers: Vec<ThreadId>,
    /// The time on the clock of the store. Only reads and the test advance it.
    now: Duration,
    read_takes: Duration,
    /// A lookup would have to wait: how long it takes to find that out.
    busy: Option<Duration>,
}

#[derive(Clone, Default)]
struct State {
    rows: Rows,
    synced: Option<Box<Rows>>,
    is_closed: bool,
    is_down: bool,
}

/// What a transaction changes.
#[derive(Clone, Default)]
pub(super) struct Rows {
    entries: BTreeMap<Key, Row>,
    next: u64,
    chunks: BTreeMap<u64, Vec<Bytes>>,
    unfinished: BTreeSet<u64>,
    garbage: BTreeSet<u64>,
}

#[derive(Clone)]
struct Row {
    entry: Entry,
    body: Option<u64>,
}

impl Plan {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets these transactions fail, counted from now on.
    pub(super) fn fail(&self, numbers: impl IntoIterator<Item = usize>, early: bool) {
        let mut inner = self.lock();
        inner.transactions = 0;
        inner.fails = numbers.into_iter().collect();
        inner.fails_early = early;
    }

    pub(super) fn transactions(&self) -> usize {
        self.lock().transactions
    }

    pub(super) fn pass(&self, time: Duration) {
        self.lock().now += time;
    }

    fn pass_read(&self) {
        let mut inner = self.lock();
        let time = inner.read_takes;
        inner.now += time;
    }

    /// How long each read takes from now on.
    pub(super) fn reads_take(&self, time: Duration) {
        self.lock().read_takes = time;
    }

    /// Whether lookups have to wait from now on, and how long it takes to find that out.
    pub(super) fn set_busy(&self, busy: Option<Duration>) {
        self.lock().busy = busy;
    }

    /// How many lookups read on this thread, and how many on others, since the last call.
    pub(super) fn take_reads(&self) -> (usize, usize) {
        let readers = std::mem::take(&mut self.lock().readers);
        let here = readers.iter().filter(|thread| **thread == thread::current().id()).count();
        (here, readers.len() - here)
    }
}

/// Opens an empty database.
pub(super) fn open<const LOSES: bool>(
    durability: Durability,
    reads: Reads,
) -> (Engine<Fake<LOSES>>, Arc<Plan>) {
    let plan = Arc::<Plan>::default();
    let fake = Fake { state: Mutex::default(), plan: plan.clone() };
    let clock = plan.clone();
    let reads = ReadMode::with_clock(reads, move || clock.lock().now);
    let settings = Settings {
        path: PathBuf::from("fake"),
        // Nothing is evicted.
        max_bytes: u64::MAX,
        durability,
        reads: Arc::new(reads),
        is_shared: false,
        is_read_only: false,
    };
    (Engine::start(fake, (), settings, None).unwrap(), plan)
}

fn full() -> Error {
    Error::new(ErrorKind::Full, "fake", "no room")
}

impl<const LOSES: bool> Fake<LOSES> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_closed {
            return Err(closed("fake", "fake".as_ref()));
        }
        if state.is_down { Err(full()) } else { Ok(state) }
    }

    /// Everything fails until the writer thread has recovered the database.
    pub(super) fn break_down(&self) {
        self.state().is_down = true;
    }
}

impl<const LOSES: bool> Read for Fake<LOSES> {
    type Chunks = Vec<Bytes>;
    type Cursor = Option<Key>;

    fn get(&self, key: &Key, _: &Arc<Leases>) -> Result<Lookup<Self>> {
        self.plan.lock().readers.push(thread::current().id());
        let state = self.read()?;
        self.plan.pass_read();
        let Some(row) = state.rows.entries.get(key) else { return Ok(None) };
        let (first, rest) = match (&row.entry.body, row.body) {
            (Body::Inline(bytes), _) => (bytes.clone(), None),
            (_, body) => {
                let mut chunks = body.map(|body| state.rows.chunks[&body].clone()).unwrap();
                (chunks.remove(0), Some(Box::new(chunks)))
            }
        };
        Ok(Some(Found { head: row.entry.head.clone(), version: row.entry.version, first, rest }))
    }

    fn try_get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Option<Lookup<Self>>> {
        let busy = self.plan.lock().busy;
        if let Some(time) = busy {
            self.plan.pass(time);
            return Ok(None);
        }
        self.get(key, leases).map(Some)
    }

    fn read_chunks(&self, rest: &mut Vec<Bytes>) -> Result<(VecDeque<Result<Bytes>>, bool)> {
        Ok((rest.drain(..).map(Ok).collect(), false))
    }

    fn list(&self, from: Option<Key>) -> Result<Page<Option<Key>, Scanned>> {
        let state = self.read()?;
        let from = from.map_or(Bound::Unbounded, Bound::Excluded);
        let next = state.rows.entries.range((from, Bound::Unbounded)).next();
        Ok(match next {
            Some((key, Row { entry, .. })) => {
                let item = Scanned::new(*key, entry.version, entry.head.clone());
                (Some(Some(*key)), [Ok(item)].into())
            }
            None => (None, [].into()),
        })
    }

    fn len(&self) -> Result<u64> {
        Ok(self.read()?.rows.entries.len() as u64)
    }

    fn size(&self) -> Result<u64> {
        Ok(self.read()?.rows.entries.values().map(|row| row.entry.head.body_len()).sum())
    }
}

impl<const LOSES: bool> Database for Fake<LOSES> {
    const STORE: &'static str = "fake";
    const CHUNK: usize = 40 * 1024;
    const UNSYNCED: usize = usize::MAX;
    const REPLACED: usize = 0;
    const LEISURE: Option<Duration> = None;
    const LOSES_UNSYNCED: bool = LOSES;

    type Fault = Error;
    type Connection = ();
    type Transaction<'t> = Change<'t>;

    fn needs_recovery(&self) -> bool {
        self.state().is_down
    }

    fn cost(entry: &Entry) -> u64 {
        entry.head.body_len()
    }

    fn transact(
        &self,
        (): &mut (),
        is_synced: bool,
        work: impl FnOnce(&mut Change<'_>) -> Result<()>,
    ) -> Result<bool> {
        let (fails, early) = {
            let mut plan = self.plan.lock();
            plan.transactions += 1;
            (plan.fails.contains(&plan.transactions), plan.fails_early)
        };
        if fails && early {
            self.state().is_down = LOSES;
            return Err(full());
        }
        let mut rows = self.read()?.rows.clone();
        work(&mut Change(&mut rows))?;
        let mut state = self.state();
        if fails {
            state.is_down = LOSES;
            return Err(full());
        }
        state.rows = rows;
        if is_synced {
            state.synced = Some(Box::new(state.rows.clone()));
        }
        Ok(true)
    }

    fn sync(&self, (): &mut ()) -> Result<Option<Duration>> {
        let mut state = self.state();
        state.synced = Some(Box::new(state.rows.clone()));
        Ok(None)
    }

    fn recover(&self, (): &mut (), _: &Error) -> Recovery {
        let mut state = self.state();
        if LOSES {
            state.rows = state.synced.as_deref().cloned().unwrap_or_default();
        }
        state.is_down = false;
        Recovery::Tried
    }

    fn close(&self, (): &mut (), _: bool) -> Result<()> {
        self.state().is_closed = true;
        Ok(())
    }
}

impl Row {
    fn is_meant(&self, purge: &Purge) -> bool {
        let head = &self.entry.head;
        match purge {
            Purge::Expired(now) => head.keep_until().is_some_and(|until| until <= *now),
            Purge::Tagged(tag) => head.tags().contains(tag),
        }
    }
}

/// A transaction works on a copy of the rows.
pub(super) struct Change<'t>(&'t mut Rows);

impl Change<'_> {
    fn take(&mut self, key: &Key) -> bool {
        let Some(row) = self.0.entries.remove(key) else { return false };
        self.0.garbage.extend(row.body);
        true
    }
}

impl Transaction for Change<'_> {
    type Fault = Error;

    fn put(&mut self, key: &Key, entry: &Entry, body: Option<u64>) -> Result<Placed> {
        let is_new = !self.take(key);
        self.0.next += 1;
        let body = match &entry.body {
            Body::Inline(_) => None,
            Body::Chunks { tail, .. } => {
                let id = body.unwrap_or(self.0.next);
                self.0.unfinished.remove(&id);
                self.0.chunks.entry(id).or_default().push(tail.clone());
                Some(id)
            }
        };
        self.0.entries.insert(*key, Row { entry: entry.clone(), body });
        Ok(Placed { place: 0, is_new })
    }

    fn update(&mut self, key: &Key, seen: Version, head: Head, new: Version) -> Result<Outcome> {
        let Some(row) = self.0.entries.get_mut(key) else { return Ok(Ok(0)) };
        if row.entry.version != seen {
            return Ok(Ok(0));
        }
        row.entry.head = Arc::new(head.carry_body(&row.entry.head));
        row.entry.version = new;
        Ok(Ok(1))
    }

    fn remove(&mut self, key: &Key, seen: Option<Version>) -> Result<bool> {
        let row = self.0.entries.get(key);
        let is_meant = row.is_some_and(|row| seen.is_none_or(|seen| row.entry.version == seen));
        Ok(is_meant && self.take(key))
    }

    fn purge(&mut self, purge: &Purge, limit: usize) -> Result<Step> {
        let rows = self.0.entries.iter().filter(|(_, row)| row.is_meant(purge));
        let keys: Vec<Key> = rows.map(|(key, _)| *key).take(limit).collect();
        for key in &keys {
            self.take(key);
        }
        Ok(Step { removed: keys.len() as u64, is_done: keys.len() < limit })
    }

    fn clear(&mut self) -> Result<()> {
        let keys: Vec<Key> = self.0.entries.keys().copied().collect();
        for key in &keys {
            self.take(key);
        }
        Ok(())
    }

    fn begin_body(&mut self) -> Result<Outcome> {
        self.0.next += 1;
        self.0.unfinished.insert(self.0.next);
        Ok(Ok(self.0.next))
    }

    fn is_unfinished(&mut self, id: u64) -> Result<bool> {
        Ok(self.0.unfinished.contains(&id))
    }

    fn chunk(&mut self, id: u64, _: u32, payload: &[u8]) -> Result<()> {
        self.0.chunks.entry(id).or_default().push(Bytes::copy_from_slice(payload));
        Ok(())
    }

    fn abandon(&mut self, id: u64) -> Result<()> {
        if self.0.unfinished.remove(&id) {
            self.0.garbage.insert(id);
        }
        Ok(())
    }

    fn abandon_dead(&mut self) -> Result<()> {
        let dead: Vec<u64> = self.0.unfinished.iter().copied().collect();
        dead.into_iter().try_for_each(|id| self.abandon(id))
    }

    fn collect(&mut self, _: u32, _: bool, _: &Leases) -> Result<()> {
        for id in std::mem::take(&mut self.0.garbage) {
            self.0.chunks.remove(&id);
        }
        Ok(())
    }

    fn garbage(&mut self, _: bool, _: &Leases) -> Result<Garbage> {
        Ok(Garbage { is_there: !self.0.garbage.is_empty(), ripens: None })
    }

    fn size(&mut self) -> Result<u64> {
        Ok(0)
    }

    fn queue(&mut self) -> Result<QueueState> {
        Ok(QueueState::default())
    }

    fn set_queue(&mut self, _: QueueState) -> Result<()> {
        unreachable!()
    }

    fn next_place(&mut self) -> Result<u64> {
        unreachable!()
    }

    fn places(&mut self, _: u64, _: u64, _: usize) -> Result<Vec<(u64, Option<KeyStart>)>> {
        unreachable!()
    }

    fn cost_at(&mut self, _: u64, _: Option<KeyStart>) -> Result<u64> {
        unreachable!()
    }

    fn evict(&mut self, _: u64, _: Option<KeyStart>) -> Result<bool> {
        unreachable!()
    }

    fn recount(&mut self) -> Result<()> {
        unreachable!()
    }
}
