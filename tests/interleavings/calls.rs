//! Calls: which request leads, which requests follow, and what remains afterwards.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    scheduler::DfsScheduler,
    sync::Mutex,
    thread::{self, JoinHandle},
};

use super::{explore, explore_in_turn, poll_once, run};
use crate::{
    follower::Followed,
    join::{Join, Role},
    leader::{Leader, StoredAt},
    removals::Mark,
    table::{Marked, Shareable, Table},
};

/// The key of most calls. It is the only key of its group.
const KEY: u8 = 7;

/// A response in flight into the store.
#[derive(Clone)]
struct Settled {
    stage: Arc<Mutex<Stage>>,
    /// The key under which it will be stored.
    key: Option<u8>,
    /// Whether it can be shared.
    shared: bool,
    /// The number of times that its key was asked for.
    looks: Arc<AtomicUsize>,
    /// The origin's content at the time of the call.
    content: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Underway,
    Doomed,
    /// It is being stored, and this cannot be stopped.
    Committing,
    Stored,
}

impl Shareable for Settled {
    type Key = u8;
    type Share = usize;

    fn share(&self) -> Option<usize> {
        self.shared.then_some(self.content)
    }

    fn stored_for(&self) -> Option<&u8> {
        self.looks.fetch_add(1, SeqCst);
        self.key.as_ref()
    }
}

/// A removal finds a call by the key of its requests, or by the key of its response.
impl Marked<Settled> for () {
    fn marks<'a>(
        &'a self,
        key: &'a u8,
        outcome: Option<&'a Settled>,
    ) -> impl Iterator<Item = Mark> + 'a {
        [key].into_iter().chain(outcome.and_then(|settled| settled.key.as_ref())).map(Mark::new)
    }
}

impl Settled {
    fn at(key: u8) -> Self {
        Self { key: Some(key), shared: true, ..Self::independent() }
    }

    /// A response for its caller only.
    fn independent() -> Self {
        let stage = Arc::new(Mutex::new(Stage::Underway));
        Self { stage, key: None, shared: false, looks: Arc::default(), content: 0 }
    }

    /// Makes sure that it is not stored from now on. If it is being stored, waits for the end of
    /// that.
    fn keep_out(&self) {
        loop {
            let mut stage = self.stage.lock().unwrap();
            match *stage {
                Stage::Underway => *stage = Stage::Doomed,
                Stage::Committing => {
                    drop(stage);
                    thread::yield_now();
                    continue;
                }
                Stage::Doomed | Stage::Stored => {}
            }
            return;
        }
    }

    /// Whether it may be stored. The caller stores it next.
    fn commit(&self) -> bool {
        let mut stage = self.stage.lock().unwrap();
        let may = *stage == Stage::Underway;
        if may {
            *stage = Stage::Committing;
        }
        may
    }
}

/// A table, a store, and counters.
struct World {
    table: Arc<Table<(), Settled>>,
    /// The beginnings of the calls that brought the stored responses.
    stored: Mutex<BTreeMap<u8, u64>>,
    calls: AtomicUsize,
    leading: AtomicUsize,
    answered: AtomicUsize,
}

type OwnLeader = Leader<(), Settled>;

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Stored,
    Failed,
    Cancelled,
    /// A response for its caller only.
    Independent,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Arc::new(Table::new(2)),
            stored: Mutex::default(),
            calls: AtomicUsize::new(0),
            leading: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        })
    }

    /// A caller that goes on until it has an answer.
    fn ask(&self, patience: u32, end: impl Fn() -> End) {
        loop {
            let generation = self.table.generation(&KEY);
            if self.stored.lock().unwrap().contains_key(&KEY) {
                break;
            }
            let leader = match self.table.join(&KEY, &KEY, (), &generation, Join::Either, patience)
            {
                Role::Leader(leader) => leader,
                Role::Share(_) => break,
                Role::LookAgain => continue,
                Role::InFlight => panic!("it did not join with `UnlessInFlight`"),
                Role::Follower(follow) => match block_on(follow) {
                    Followed::Share(_) => break,
                    Followed::Leader(leader) => leader,
                    Followed::JoinAgain => continue,
                    // It makes a call of its own besides those of others.
                    Followed::Failed => break,
                },
            };
            let end = end();
            self.call(leader, end);
            if end != End::Cancelled {
                break;
            }
        }
        self.answered.fetch_add(1, SeqCst);
    }

    /// Makes a call. No other caller makes one at the same time.
    fn call(&self, mut leader: OwnLeader, end: End) {
        assert_eq!(self.leading.fetch_add(1, SeqCst), 0, "there may be one leader at a time");
        self.calls.fetch_add(1, SeqCst);
        thread::yield_now();
        self.leading.fetch_sub(1, SeqCst);
        match end {
            End::Failed => leader.fail(),
            End::Cancelled => drop(leader),
            End::Independent => {
                leader.settle(Settled::independent());
            }
            End::Stored => {
                assert!(self.settle_and_store(leader, KEY));
            }
        }
    }

    /// Stores the response. Returns whether it was stored. It must not replace the response of a
    /// later call.
    fn settle_and_store(&self, mut leader: OwnLeader, key: u8) -> bool {
        let settled = Settled::at(key);
        if !leader.settle(settled.clone()) {
            settled.keep_out();
        }
        if !settled.commit() {
            return false;
        }
        let call = leader.id();
        if !self.table.begin_publishing(&call, |()| {}, std::iter::empty()) {
            *settled.stage.lock().unwrap() = Stage::Doomed;
            return false;
        }
        for older in self.table.supersede(&call, &key) {
            older.keep_out();
        }
        let there = self.stored.lock().unwrap().insert(key, call.began);
        assert!(there.is_none_or(|there| there < call.began), "a newer response was overwritten");
        *settled.stage.lock().unwrap() = Stage::Stored;
        leader.has_stored(StoredAt::Key);
        true
    }

    fn spawn(self: &Arc<Self>, task: impl Fn(&Self) + Send + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || task(&world))
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn one_call(callers: usize) {
    let world = World::new();
    join(
        (0..callers).map(|_| world.spawn(|world| world.ask(2, || End::Stored))).collect::<Vec<_>>(),
    );
    assert_eq!((world.calls.load(SeqCst), world.answered.load(SeqCst)), (1, callers));
    assert_eq!(world.table.len(), 0);
}

#[test]
fn callers_at_any_moment_make_one_call() {
    explore(|| one_call(4));
}

#[test]
fn two_callers_make_one_call_in_each_order() {
    explore_in_turn(|| one_call(2));
}

#[test]
fn every_caller_is_answered_however_the_leaders_end() {
    explore(|| {
        let world = World::new();
        let ends = [End::Stored, End::Failed, End::Cancelled, End::Independent];
        let caller = |_| {
            world.spawn(move |world| {
                let end = || ends[thread_rng().gen_range(0..ends.len())];
                // A call without a shareable outcome stays in the table while it looks for the next
                // leader.
                world.ask(2, end);
            })
        };
        join((0..4).map(caller).collect::<Vec<_>>());
        assert_eq!((world.answered.load(SeqCst), world.table.len()), (4, 0));
    });
}

/// Followers are dropped, or never polled again, at any moment. The others go on.
#[test]
fn dropped_or_sleeping_followers_do_not_block_others() {
    explore(|| {
        let world = World::new();
        let unsteady = |sleeps: bool| {
            world.spawn(move |world| {
                let generation = world.table.generation(&KEY);
                match world.table.join(&KEY, &KEY, (), &generation, Join::Either, 2) {
                    Role::Leader(leader) => world.call(leader, End::Cancelled),
                    Role::Follower(mut follow) => {
                        let followed = block_on(poll_once(&mut follow));
                        if let std::task::Poll::Ready(Followed::Leader(leader)) = followed {
                            world.call(leader, End::Failed);
                        } else if sleeps {
                            // It sleeps until all others are done.
                            while world.answered.load(SeqCst) < 2 {
                                thread::yield_now();
                            }
                        }
                    }
                    _ => {}
                }
            })
        };
        let threads = [unsteady(false), unsteady(true)];
        // The sleeper ends after these.
        let callers = [steady_caller(&world), steady_caller(&world)];
        join(callers);
        join(threads);
        assert_eq!((world.answered.load(SeqCst), world.table.len()), (2, 0));
    });
}

fn steady_caller(world: &Arc<World>) -> JoinHandle<()> {
    world.spawn(|world| {
        world.ask(9, || if thread_rng().gen_bool(0.5) { End::Stored } else { End::Failed });
    })
}

/// A key that the request does not know.
const ELSEWHERE: u8 = 8;

/// A response that is in flight when it is removed is not stored afterwards, in any order of
/// events.
fn removal(key: u8, mark: Option<u8>) {
    let world = World::new();
    let boarded = Arc::new(AtomicBool::new(false));
    let noted = boarded.clone();
    let calling = world.spawn(move |world| {
        let generation = world.table.generation(&KEY);
        if let Role::Leader(leader) =
            world.table.join(&KEY, &KEY, (), &generation, Join::Independent, 0)
        {
            noted.store(true, SeqCst);
            world.settle_and_store(leader, key);
        }
    });
    let was_under_way = Arc::new(AtomicBool::new(false));
    let noted = was_under_way.clone();
    let removing = world.spawn(move |world| {
        noted.store(boarded.load(SeqCst), SeqCst);
        for settled in world.table.invalidate(mark.as_ref().map(Mark::new), None, |()| {}) {
            settled.keep_out();
        }
        world.stored.lock().unwrap().clear();
    });
    join([calling, removing]);
    if was_under_way.load(SeqCst) {
        assert!(world.stored.lock().unwrap().is_empty(), "the removed response was stored");
    }
    assert_eq!(world.table.len(), 0);
}

#[test]
fn response_removed_in_flight_is_not_stored() {
    explore_in_turn(|| removal(KEY, Some(KEY)));
    explore(|| removal(KEY, Some(KEY)));
    explore(|| removal(ELSEWHERE, Some(KEY)));
    explore(|| removal(ELSEWHERE, Some(ELSEWHERE)));
    explore(|| removal(ELSEWHERE, None));
}

#[test]
fn removal_of_another_key_does_not_prevent_storing() {
    explore(|| {
        let world = World::new();
        let calling = world.spawn(|world| {
            let generation = world.table.generation(&KEY);
            match world.table.join(&KEY, &KEY, (), &generation, Join::Either, 0) {
                Role::Leader(leader) => assert!(world.settle_and_store(leader, ELSEWHERE)),
                _ => panic!("there is no other call"),
            }
        });
        let removing = world.spawn(|world| {
            assert!(world.table.invalidate(Some(Mark::new(9_u8)), None, |()| {}).is_empty());
        });
        join([calling, removing]);
    });
}

/// A request after a removal never receives the origin's old content, whether it joins a call or
/// makes its own.
#[test]
fn request_after_a_removal_receives_the_new_content() {
    explore(|| {
        let world = World::new();
        let origin = Arc::new(AtomicUsize::new(0));
        let ask = |origin: Arc<AtomicUsize>, world: &World| loop {
            let generation = world.table.generation(&KEY);
            let joined = world.table.join(&KEY, &KEY, (), &generation, Join::Either, 9);
            let mut leader = match joined {
                Role::Leader(leader) => leader,
                Role::Share(content) => return content,
                Role::LookAgain => continue,
                Role::InFlight => panic!("it did not join with `UnlessInFlight`"),
                Role::Follower(follow) => match block_on(follow) {
                    Followed::Share(content) => return content,
                    Followed::Leader(leader) => leader,
                    Followed::JoinAgain => continue,
                    Followed::Failed => panic!("no leader has failed nine times"),
                },
            };
            let content = origin.load(SeqCst);
            thread::yield_now();
            let settled = Settled { content, ..Settled::at(ELSEWHERE) };
            if thread_rng().gen_bool(0.2) {
                drop(leader);
                continue;
            }
            leader.settle(settled);
            thread::yield_now();
            return content;
        };
        let early = origin.clone();
        let others = [(); 2].map(|()| {
            let early = early.clone();
            world.spawn(move |world| {
                ask(early.clone(), world);
            })
        });
        let removing = world.spawn(move |world| {
            origin.store(1, SeqCst);
            world.table.invalidate(Some(Mark::new(ELSEWHERE)), None, |()| {});
            assert_eq!(ask(origin.clone(), world), 1);
        });
        join(others);
        join([removing]);
        assert_eq!(world.table.len(), 0);
    });
}

/// Several calls store a response under one key. The response of the call that began last stays
/// there, in any order of arrival, and for any key of the group under which its request was looked
/// up.
fn newest(callers: usize) {
    /// Two groups of three keys.
    const KEYS: [[u8; 3]; 2] = [[10, 11, 12], [20, 21, 22]];

    let world = World::new();
    let last = Arc::new(Mutex::new([0; KEYS.len()]));
    let caller = |_| {
        let last = last.clone();
        world.spawn(move |world| {
            let random = |below| thread_rng().gen_range(0..below);
            let group = random(KEYS.len());
            let [looked_for, key] = [(); 2].map(|()| KEYS[group][random(3)]);
            let join = [Join::Independent, Join::MustLead][random(2)];
            let generation = world.table.generation(&looked_for);
            let joined = world.table.join(&KEYS[group][0], &looked_for, (), &generation, join, 0);
            let Role::Leader(leader) = joined else { panic!("these joins do not follow") };
            let mut last = last.lock().unwrap();
            last[group] = leader.id().began.max(last[group]);
            drop(last);
            world.settle_and_store(leader, key);
        })
    };
    join((0..callers).map(caller).collect::<Vec<_>>());
    let stored = world.stored.lock().unwrap();
    for (places, last) in KEYS.iter().zip(*last.lock().unwrap()) {
        let newest = places.iter().filter_map(|key| stored.get(key)).max();
        assert_eq!(
            newest.copied().unwrap_or_default(),
            last,
            "the newest stored response must be the last one"
        );
    }
    assert_eq!(world.table.len(), 0);
}

#[test]
fn older_call_never_overwrites_the_response_of_a_newer_one() {
    explore(|| newest(2));
    explore(|| newest(4));
}

/// The number of calls for other groups does not matter.
#[test]
fn supersede_looks_only_at_calls_of_its_own_group() {
    explore_in_turn(|| {
        let world = World::new();
        let leader = |group: u8, key: u8| {
            let generation = world.table.generation(&key);
            match world.table.join(&group, &key, (), &generation, Join::Independent, 0) {
                Role::Leader(leader) => leader,
                _ => panic!("an independent call does not follow"),
            }
        };
        let looks = Arc::<AtomicUsize>::default();
        let on_their_way: Vec<_> = (0..100)
            .map(|group| {
                let mut leader = leader(group, group);
                leader.settle(Settled { looks: looks.clone(), ..Settled::at(group) });
                leader
            })
            .collect();
        let newer = leader(KEY, 200);
        let before = looks.load(SeqCst);
        assert_eq!(world.table.supersede(&newer.id(), &KEY).len(), 1);
        assert_eq!(looks.load(SeqCst) - before, 1);
        drop(on_their_way);
    });
}

/// Some calls may be joined, whatever is in flight. The calls before them end too.
#[test]
fn concurrent_calls_of_a_key_all_end() {
    explore(|| {
        let world = World::new();
        let first = |join| {
            world.spawn(move |world| {
                let generation = world.table.generation(&KEY);
                let leader = match world.table.join(&KEY, &KEY, (), &generation, join, 1) {
                    Role::Leader(leader) => leader,
                    Role::Follower(follow) => match block_on(follow) {
                        Followed::Leader(leader) => leader,
                        _ => return,
                    },
                    _ => return,
                };
                match thread_rng().gen_range(0..3) {
                    0 => leader.fail(),
                    1 => drop(leader),
                    _ => drop(world.settle_and_store(leader, KEY)),
                }
            })
        };
        let joins =
            [Join::Either, Join::MustLead, Join::Either, Join::MustLead, Join::UnlessInFlight];
        join(joins.map(first));
        assert_eq!(world.table.len(), 0);
    });
}

/// A later call is about to store a response for the requests that join under this key. A request
/// that comes after that does not wait for the older call.
#[test]
fn superseded_key_is_joined_by_nobody() {
    run(DfsScheduler::new(Some(1), false), || {
        const GROUP: u8 = 1;
        let table = Arc::new(Table::<(), Settled>::new(1));
        let join = || {
            let generation = table.generation(&KEY);
            table.join(&GROUP, &KEY, (), &generation, Join::Either, 2)
        };
        let older = join();
        assert!(matches!(older, Role::Leader(_)));
        assert!(matches!(join(), Role::Follower(_)));
        let later = table.begin_detached(&GROUP, &GROUP, ());
        assert_eq!(table.supersede(&later.id(), &KEY).len(), 0);
        assert!(matches!(join(), Role::Leader(_)));
    });
}
