//! Who leads, who follows, and what is left.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    sync::Mutex,
    thread::{self, JoinHandle},
};

use super::{explore, explore_in_turn, poll_once};
use crate::table::{Boarding, Followed, Join, Landing, Lead, Table};

const KEY: u8 = 7;

/// A response on its way into the store.
#[derive(Clone)]
struct Landed {
    response: Arc<Mutex<Stage>>,
    /// Whether it has seats.
    shared: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Underway,
    Doomed,
    Stored,
}

impl Landing for Landed {
    type Seat = ();

    fn seat(&self) -> Option<()> {
        self.shared.then_some(())
    }

    fn supersede(&self, _newer: &Self) {
        self.doom();
    }
}

impl Landed {
    fn new(shared: bool) -> Self {
        Self { response: Arc::new(Mutex::new(Stage::Underway)), shared }
    }

    fn doom(&self) {
        let mut stage = self.response.lock().unwrap();
        if *stage == Stage::Underway {
            *stage = Stage::Doomed;
        }
    }
}

/// A table, a store of one entry, and what is counted.
struct World {
    table: Arc<Table<u8, (), Landed>>,
    stored: Mutex<bool>,
    calls: AtomicUsize,
    leading: AtomicUsize,
    answered: AtomicUsize,
}

type OwnLead = Lead<u8, (), Landed>;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Stored,
    Failed,
    Cancelled,
    /// A response that is for its caller alone.
    NoSeat,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Arc::new(Table::new(1)),
            stored: Mutex::new(false),
            calls: AtomicUsize::new(0),
            leading: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        })
    }

    /// A caller that goes on until it is answered.
    fn ask(&self, patience: u32, end: impl Fn() -> End) {
        loop {
            let arrivals = self.table.arrivals(&KEY);
            if *self.stored.lock().unwrap() {
                break;
            }
            let lead = match self.table.board(&KEY, (), arrivals, Join::Either, patience) {
                Boarding::Lead(lead) => lead,
                Boarding::Seated(()) => break,
                Boarding::LookAgain => continue,
                Boarding::Underway => panic!("it did not ask for that"),
                Boarding::Follow(follow) => match block_on(follow) {
                    Followed::Seated(()) => break,
                    Followed::Lead(lead) => lead,
                    Followed::BoardAgain => continue,
                    // It makes a call of its own, beside those of others.
                    Followed::Failed => break,
                },
            };
            let end = end();
            self.call(lead, end);
            if end != End::Cancelled {
                break;
            }
        }
        self.answered.fetch_add(1, SeqCst);
    }

    /// A call, while nobody else makes one.
    fn call(&self, mut lead: OwnLead, end: End) {
        assert_eq!(self.leading.fetch_add(1, SeqCst), 0, "there is one leader at a time");
        self.calls.fetch_add(1, SeqCst);
        thread::yield_now();
        self.leading.fetch_sub(1, SeqCst);
        match end {
            End::Failed => lead.fail(),
            End::Cancelled => drop(lead),
            End::NoSeat => {
                lead.land(Landed::new(false));
            }
            End::Stored => {
                assert!(self.land_and_store(lead));
            }
        }
    }

    /// Whether it was stored.
    fn land_and_store(&self, mut lead: OwnLead) -> bool {
        let landed = Landed::new(true);
        if !lead.land(landed.clone()) {
            landed.doom();
        }
        let mut stage = landed.response.lock().unwrap();
        if *stage == Stage::Doomed {
            return false;
        }
        *self.stored.lock().unwrap() = true;
        *stage = Stage::Stored;
        drop(stage);
        lead.arrived();
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
fn whatever_becomes_of_the_leaders_every_caller_is_answered_and_nothing_is_left() {
    explore(|| {
        let world = World::new();
        let ends = [End::Stored, End::Failed, End::Cancelled, End::NoSeat];
        let caller = |_| {
            world.spawn(move |world| {
                let end = || ends[thread_rng().gen_range(0..ends.len())];
                // A call whose response has no seat keeps its flight in the table while it looks for the next.
                world.ask(2, end);
            })
        };
        join((0..4).map(caller).collect::<Vec<_>>());
        assert_eq!((world.answered.load(SeqCst), world.table.len()), (4, 0));
    });
}

/// Followers that are dropped, or never polled again, at any moment: the others go on.
#[test]
fn followers_that_go_or_fall_asleep_strand_nobody() {
    explore(|| {
        let world = World::new();
        let unsteady = |sleeps: bool| {
            world.spawn(move |world| {
                let arrivals = world.table.arrivals(&KEY);
                match world.table.board(&KEY, (), arrivals, Join::Either, 2) {
                    Boarding::Lead(lead) => world.call(lead, End::Cancelled),
                    Boarding::Follow(mut follow) => {
                        let followed = block_on(poll_once(&mut follow));
                        if let std::task::Poll::Ready(Followed::Lead(lead)) = followed {
                            world.call(lead, End::Failed);
                        } else if sleeps {
                            // Until everybody else is done.
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
        // The sleeper never ends before these do.
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

/// What was under way when it was removed is not stored afterwards, however the two meet.
fn removal(callers: usize) {
    let world = World::new();
    let boarded = Arc::new(AtomicBool::new(false));
    let calling = (0..callers).map(|_| {
        let boarded = boarded.clone();
        world.spawn(move |world| {
            let arrivals = world.table.arrivals(&KEY);
            if let Boarding::Lead(lead) = world.table.board(&KEY, (), arrivals, Join::Alone, 0) {
                boarded.store(true, SeqCst);
                world.land_and_store(lead);
            }
        })
    });
    let mut threads: Vec<_> = calling.collect();
    let (was_under_way, seen) = (Arc::new(AtomicBool::new(false)), boarded);
    let noted = was_under_way.clone();
    threads.push(world.spawn(move |world| {
        noted.store(seen.load(SeqCst), SeqCst);
        for landed in world.table.doom(|_, (), _| true) {
            landed.doom();
        }
        *world.stored.lock().unwrap() = false;
    }));
    join(threads);
    if callers == 1 && was_under_way.load(SeqCst) {
        assert!(!*world.stored.lock().unwrap(), "it was brought back");
    }
    assert_eq!(world.table.len(), 0);
}

#[test]
fn what_is_removed_on_its_way_is_not_brought_back() {
    explore_in_turn(|| removal(1));
    explore(|| removal(1));
}

/// A flight that others may follow, whatever was under way: those before it end as well.
#[test]
fn flights_side_by_side_all_end() {
    explore(|| {
        let world = World::new();
        let first = |join| {
            world.spawn(move |world| {
                let arrivals = world.table.arrivals(&KEY);
                let lead = match world.table.board(&KEY, (), arrivals, join, 1) {
                    Boarding::Lead(lead) => lead,
                    Boarding::Follow(follow) => match block_on(follow) {
                        Followed::Lead(lead) => lead,
                        _ => return,
                    },
                    _ => return,
                };
                match thread_rng().gen_range(0..3) {
                    0 => lead.fail(),
                    1 => drop(lead),
                    _ => drop(world.land_and_store(lead)),
                }
            })
        };
        let joins = [Join::Either, Join::First, Join::Either, Join::First, Join::UnlessUnderway];
        join(joins.map(first));
        assert_eq!(world.table.len(), 0);
    });
}
