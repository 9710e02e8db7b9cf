//! Several tasks put, replace, update, remove and read a few keys at the same time. Each value that
//! is read must have been current at some moment of the read. This holds also on a disk that is
//! full for a while.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use larder::{
    Key,
    entry::Head,
    store::{Hit, redb::Durability},
    time::Timestamp,
};
use tokio::time::timeout;

use super::history::{End, Event, History, Span};
use crate::{
    child::{child_path, say},
    entries::{body, head_at, key, put},
    faults::{DONE, ends, expect, fault, note, random, runtime, seed},
    full_disk::{Disk, fill, make_room, on},
    stores::Embedded,
};

for_each_store_and_files! {
    tasks_read_current_values,
    tasks_read_current_values_on_a_disk_that_is_full_for_a_while,
}

const KEYS: u64 = 4;
const TASKS: u64 = 5;
/// Entries with this expiry expire at once.
const EXPIRED: Timestamp = Timestamp::from_millis(1_000);

/// The state that the tasks share.
struct Plan<S> {
    store: S,
    time: AtomicU64,
    history: Mutex<Vec<History>>,
    /// The number of a value's body.
    bodies: Mutex<Vec<u64>>,
    faults: Mutex<Vec<String>>,
    errors: AtomicU64,
}

fn len_of(value: u64) -> usize {
    match value % 4 {
        0 => 90_000 + (value as usize % 7) * 40_000,
        1 => 0,
        _ => 100 + value as usize % 9_000,
    }
}

fn head_of(value: u64) -> Head {
    let head = head_at(Timestamp::from_millis(value));
    match value % 3 {
        0 => head.with_tags(vec!["a".into()]),
        1 => head.with_expires_at(Some(EXPIRED)),
        _ => head,
    }
}

impl<S: Embedded> Plan<S> {
    fn new(store: S) -> Arc<Self> {
        Arc::new(Self {
            store,
            time: AtomicU64::new(1),
            history: Mutex::new(vec![History::default(); KEYS as usize]),
            bodies: Mutex::new(vec![0]),
            faults: Mutex::default(),
            errors: AtomicU64::new(0),
        })
    }

    fn tick(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, number: u64, from: u64, event: Event) {
        let span = Span { from, to: self.tick() };
        self.history.lock().unwrap()[number as usize].add(span, event);
    }

    /// A new value with its own body, or with that of another value.
    fn value(&self, body_of: Option<u64>) -> u64 {
        let mut bodies = self.bodies.lock().unwrap();
        let value = bodies.len() as u64;
        let body = body_of.map_or(value, |value| bodies[value as usize]);
        bodies.push(body);
        value
    }

    fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    fn failed<T>(&self, what: &str, result: &larder::store::Result<T>) {
        if let Err(error) = result
            && self.errors.fetch_add(1, Ordering::Relaxed) < 3
        {
            note(format!("{what}: {:?} {error:#}", error.kind()));
        }
    }

    async fn read(&self, number: u64) -> Option<(u64, larder::store::Version)> {
        let from = self.tick();
        let found = ends("a lookup", self.store.get(&key(number))).await;
        match found {
            Ok(None) => self.note(number, from, Event::Read(None)),
            Ok(Some(Hit { head, version, body: bytes, .. })) => {
                let value = head.stored_at().as_millis();
                self.note(number, from, Event::Read(Some(value)));
                let of = self.bodies.lock().unwrap()[value as usize];
                match ends("a body", bytes.bytes()).await {
                    Ok(bytes) if bytes != body(of, len_of(of)) => {
                        self.fault(format!("value {value} has a wrong body of {}", bytes.len()));
                    }
                    Ok(_) => {}
                    result => self.failed("reading a body", &result),
                }
                return Some((value, version));
            }
            result => self.failed("a lookup", &result),
        }
        None
    }

    async fn step(&self, random: u64) {
        let (number, store) = (random % KEYS, &self.store);
        let key: Key = key(number);
        match random / KEYS % 32 {
            0..10 => {
                let value = self.value(None);
                let from = self.tick();
                let put = put(store, key, head_of(value), body(value, len_of(value)));
                let end = if random.is_multiple_of(11) {
                    let patience = Duration::from_micros(random % 3_000);
                    match timeout(patience, put).await {
                        Ok(Ok(())) => End::Done,
                        Ok(Err(_)) => End::Failed,
                        Err(_) => End::Abandoned,
                    }
                } else {
                    let result = ends("a put", put).await;
                    self.failed("a put", &result);
                    if result.is_ok() { End::Done } else { End::Failed }
                };
                self.note(number, from, Event::Write(value, end));
            }
            10..12 => {
                let from = self.tick();
                let result = ends("a removal", store.remove(&key)).await;
                self.failed("a removal", &result);
                // A removal may fail and still take effect.
                let end = if result.is_ok() { End::Done } else { End::Abandoned };
                self.note(number, from, Event::Remove(end));
            }
            12..14 => {
                let Some((_, seen)) = self.read(number).await else { return };
                let from = self.tick();
                let result = ends("a removal", store.remove_if(&key, seen)).await;
                self.failed("a removal of a version", &result);
                match result {
                    Ok(true) => self.note(number, from, Event::Remove(End::Done)),
                    Ok(false) => {}
                    Err(_) => self.note(number, from, Event::Remove(End::Abandoned)),
                }
            }
            14..17 => {
                let Some((old, seen)) = self.read(number).await else { return };
                let value = self.value(Some(old));
                let from = self.tick();
                let result = ends("an update", store.update(&key, seen, head_of(value))).await;
                self.failed("an update", &result);
                let end = if matches!(result, Ok(true)) { End::Done } else { End::Failed };
                self.note(number, from, Event::Write(value, end));
            }
            17 => {
                let from = self.tick();
                let result = ends("a removal by tag", store.remove_tagged("a")).await;
                self.failed("a removal by tag", &result);
                self.purged(from, result.is_ok(), |value| value % 3 == 0);
            }
            18 => {
                let from = self.tick();
                let result = ends("a removal of the expired", store.remove_expired(EXPIRED)).await;
                self.failed("a removal of the expired", &result);
                self.purged(from, result.is_ok(), |value| value % 3 == 1);
            }
            19 if random.is_multiple_of(3) => {
                let from = self.tick();
                let result = ends("clear", store.clear()).await;
                self.failed("clear", &result);
                self.purged(from, result.is_ok(), |_| true);
            }
            20 => {
                let from = self.tick();
                let scanned: Vec<_> = ends("a scan", store.scan().collect()).await;
                for item in scanned {
                    match item {
                        Ok(item) => {
                            let number = (0..KEYS).find(|n| crate::entries::key(*n) == item.key);
                            let value = item.head.stored_at().as_millis();
                            let span = Span { from, to: self.tick() };
                            let read = Event::Read(Some(value));
                            self.history.lock().unwrap()[number.unwrap() as usize].add(span, read);
                        }
                        result => self.failed("a scan", &result),
                    }
                }
            }
            21 => {
                let len = ends("len", store.len()).await;
                self.failed("len", &len);
                if len.is_ok_and(|len| len > KEYS) {
                    self.fault("more entries than keys".into());
                }
            }
            22 => {
                let flushed = ends("flush", store.flush()).await;
                self.failed("flush", &flushed);
            }
            _ => drop(self.read(number).await),
        }
    }

    /// Records a removal of the values that `is_meant` selects. Others stay.
    fn purged(&self, from: u64, is_done: bool, is_meant: impl Fn(u64) -> bool) {
        // A key with another entry keeps it, so the removal is certain for no key. The list of
        // removed values is checked for later reads.
        let span = Span { from, to: self.tick() };
        let end = if is_done { End::Done } else { End::Abandoned };
        for history in self.history.lock().unwrap().iter_mut() {
            history.purge(span, end, &is_meant);
        }
    }

    fn check(&self, may_forget: bool) -> Vec<String> {
        let mut found = std::mem::take(&mut *self.faults.lock().unwrap());
        for (number, history) in self.history.lock().unwrap().iter().enumerate() {
            found.extend(
                history.check(may_forget).iter().map(|what| format!("key {number}: {what}")),
            );
        }
        found
    }
}

async fn run<S: Embedded>(plan: &Arc<Plan<S>>, seed: u64, steps: u64) {
    let tasks = (0..TASKS).map(|task| {
        let plan = plan.clone();
        tokio::spawn(async move {
            let mut state = seed ^ (task << 40);
            for _ in 0..steps {
                let step = random(&mut state);
                plan.step(step).await;
                if step.is_multiple_of(50) {
                    tokio::time::sleep(Duration::from_millis(step % 7)).await;
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn tasks_read_current_values<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let seed = seed("LARDER_ATTACK_SEED", 1);
    runtime().block_on(async {
        let modes: [&dyn Fn() -> S; 2] = [&|| S::open_file(&path).unwrap(), &|| {
            S::open_durable(&path, Durability::EachCommit).unwrap()
        }];
        for (mode, open) in modes.iter().enumerate() {
            let plan = Plan::new(open());
            plan.store.clear().await.unwrap();
            let steps = crate::faults::seed("LARDER_ATTACK_STEPS", 80);
            run(&plan, seed + mode as u64, steps).await;
            for number in 0..KEYS {
                plan.read(number).await;
            }
            plan.store.close_file().await.unwrap();
            let found = plan.check(false);
            assert!(
                found.is_empty() && plan.errors.load(Ordering::Relaxed) == 0,
                "LARDER_ATTACK_SEED={seed}, mode {mode}: {} faults: {:#?}",
                found.len(),
                &found[..found.len().min(8)]
            );
        }
        println!("{}: LARDER_ATTACK_SEED={seed}", S::NAME);
    });
}

fn tasks_read_current_values_on_a_disk_that_is_full_for_a_while<S: Embedded>(name: &str) {
    let Some(place) = child_path() else { return on(Disk::Tmpfs, name) };
    runtime().block_on(changing::<S>(&place));
    say(DONE);
}

async fn changing<S: Embedded>(disk: &Path) {
    let file = disk.join("cache");
    let seed = seed("LARDER_ATTACK_SEED", 1);
    let steps = crate::faults::seed("LARDER_ATTACK_STEPS", 25);
    note(format!("LARDER_ATTACK_SEED={seed}"));
    let Some(store) = expect("opening", S::open_file(&file)) else { return };
    let plan = Plan::new(store);
    let mut state = seed;
    for turn in 0..2 {
        run(&plan, random(&mut state), steps).await;
        fill(disk);
        run(&plan, random(&mut state), steps).await;
        note(format!(
            "turn {turn}: {} errors, {} unwritten",
            plan.errors.load(Ordering::Relaxed),
            plan.store.unwritten()
        ));
        if turn % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            run(&plan, random(&mut state), steps).await;
        }
        make_room(disk);
    }
    run(&plan, random(&mut state), steps).await;
    let errors = plan.errors.load(Ordering::Relaxed);
    run(&plan, random(&mut state), steps).await;
    if plan.errors.load(Ordering::Relaxed) != errors {
        fault("operations fail with room again");
    }
    expect("closing", ends("closing", plan.store.close_file()).await);
    let Some(store) = expect("opening again", S::open_file(&file)) else { return };
    let plan = Arc::into_inner(plan).unwrap();
    let plan = Plan { store, ..plan };
    for number in 0..KEYS {
        plan.read(number).await;
    }
    for what in plan.check(true) {
        fault(what);
    }
}
