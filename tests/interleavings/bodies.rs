//! One body, many readers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::SizeHint;
use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    sync::Mutex,
    thread::{self, JoinHandle},
};

use super::{explore, explore_in_turn, once};
use crate::{
    drive::{Drive, End, SourceState, Step},
    replay_buffer::OverflowBudget,
    shared::{NewReader, Next, Reader, Shared},
};

const PANIC: &str = "on purpose";

/// Chunks of this size do not all fit into the replay buffer.
const LARGE: usize = 100 * 1024;

static DATA: LazyLock<&[u8]> =
    LazyLock::new(|| (0..8).flat_map(|n| vec![n; LARGE]).collect::<Vec<u8>>().leak());

fn chunk(number: usize, len: usize) -> Bytes {
    Bytes::from_static(&DATA[number * LARGE..number * LARGE + len])
}

/// What feeds the body. It knows one waker, that of the last poll, as origins and stores do.
#[derive(Default)]
struct Feed {
    sent: usize,
    has_ended: bool,
    fails: bool,
    panics: bool,
    is_published: bool,
    waker: Option<Waker>,
}

struct TestSource {
    feed: Arc<Mutex<Feed>>,
    len: usize,
    taken: usize,
    has_ended: bool,
    is_storing: bool,
    _guard: Guard,
}

/// Tells when the work has been dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Drive for TestSource {
    /// Its length.
    type Copy = usize;

    fn poll_step(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<Step<usize>> {
        let mut feed = self.feed.lock().unwrap();
        if self.taken < feed.sent {
            let chunk = chunk(self.taken, self.len);
            self.taken += 1;
            return Poll::Ready(Step { chunk: Some(chunk), ..Step::default() });
        }
        if feed.has_ended && !self.has_ended {
            if feed.panics {
                drop(feed);
                // Without the hook, which would take it for the end of the test.
                resume_unwind(Box::new(PANIC));
            }
            self.has_ended = true;
            let end = if feed.fails { End::Failed } else { End::Whole(None) };
            self.is_storing = !feed.fails;
            return Poll::Ready(Step { end: Some(end), ..Step::default() });
        }
        if self.has_ended && self.is_storing && feed.is_published {
            self.is_storing = false;
            let copies = vec![self.taken * self.len; behind];
            return Poll::Ready(Step { copies, ..Step::default() });
        }
        feed.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn state(&self) -> SourceState {
        SourceState {
            rest: SizeHint::new(),
            is_storing: self.is_storing,
            is_complete: false,
            has_length: true,
        }
    }
}

/// A body of so many chunks, what feeds it, and what is counted.
struct World {
    shared: Arc<Shared<TestSource, ()>>,
    feed: Arc<Mutex<Feed>>,
    chunks: usize,
    len: usize,
    is_dropped: Arc<AtomicBool>,
    done: AtomicUsize,
}

impl World {
    fn new(chunks: usize, len: usize, fails: bool) -> (Arc<Self>, Reader<TestSource, ()>) {
        let feed = Arc::new(Mutex::new(Feed { fails, ..Feed::default() }));
        let is_dropped = Arc::<AtomicBool>::default();
        let guard = Guard(is_dropped.clone());
        let source = TestSource {
            feed: feed.clone(),
            len,
            taken: 0,
            has_ended: false,
            is_storing: true,
            _guard: guard,
        };
        let budget = OverflowBudget { held: Arc::default(), limit: 16 << 20 };
        let (shared, reader) = Shared::new((), source.state(), budget);
        shared.begin(source);
        let done = AtomicUsize::new(0);
        (Arc::new(Self { shared, feed, chunks, len, is_dropped, done }), reader)
    }

    /// Sends the chunks, the end and the store's word, and wakes whoever asked last.
    fn feed(self: &Arc<Self>) -> JoinHandle<()> {
        self.spawn(|world| {
            for step in 0..world.chunks + 2 {
                let waker = {
                    let mut feed = world.feed.lock().unwrap();
                    match step {
                        _ if step < world.chunks => feed.sent += 1,
                        _ if step == world.chunks => feed.has_ended = true,
                        _ => feed.is_published = true,
                    }
                    feed.waker.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        })
    }

    fn spawn(self: &Arc<Self>, task: impl FnOnce(&Self) + Send + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || task(&world))
    }

    /// Reads to the end, and sees every chunk in its place.
    fn read(&self, mut reader: Reader<TestSource, ()>) {
        let mut read = 0;
        loop {
            match block_on(std::future::poll_fn(|cx| reader.poll_next(cx))) {
                Next::Chunk(chunk) => {
                    assert_eq!((chunk[0] as usize, chunk.len()), (read, self.len));
                    read += 1;
                }
                Next::End => break,
                Next::Failed => {
                    assert!(self.feed.lock().unwrap().fails);
                    break;
                }
                Next::Copy(len, offset) => {
                    assert_eq!(offset, (read * self.len) as u64);
                    read = len / self.len;
                    break;
                }
                Next::Trailers(_) | Next::Lost => panic!("nobody sent or lost anything"),
            }
        }
        assert_eq!(read, self.chunks, "every chunk, then the end");
        self.done.fetch_add(1, SeqCst);
    }

    /// The same, where the work panics under one of the readers.
    fn read_or_panic(&self, reader: Reader<TestSource, ()>) {
        let reading = AssertUnwindSafe(|| self.read_to_failure(reader));
        if let Err(panic) = catch_unwind(reading) {
            assert_eq!(panic.downcast_ref::<&str>(), Some(&PANIC));
        }
        self.done.fetch_add(1, SeqCst);
    }

    fn read_to_failure(&self, mut reader: Reader<TestSource, ()>) {
        for number in 0..=self.chunks {
            match block_on(std::future::poll_fn(|cx| reader.poll_next(cx))) {
                Next::Chunk(chunk) => assert_eq!(chunk[0] as usize, number),
                Next::Failed => assert_eq!(number, self.chunks),
                _ => panic!("that is no failure"),
            }
        }
    }

    /// Polls so often, and gives what it read away.
    fn poll(reader: &mut Reader<TestSource, ()>, times: usize) {
        for _ in 0..times {
            let _read = block_on(once(|cx| reader.poll_next(cx)));
        }
    }

    fn reader(&self) -> Reader<TestSource, ()> {
        match self.shared.join() {
            Some(NewReader::FromStart(reader)) => reader,
            _ => panic!("nothing has been read yet"),
        }
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// All readers end, and the work is gone with them.
fn together(chunks: usize, len: usize, readers: usize, fails: bool) {
    let (world, first) = World::new(chunks, len, fails);
    let mut all: Vec<_> = (1..readers).map(|_| world.reader()).collect();
    all.push(first);
    let mut threads: Vec<_> =
        all.into_iter().map(|reader| world.spawn(|world| world.read(reader))).collect();
    threads.push(world.feed());
    join(threads);
    assert_eq!(world.done.load(SeqCst), readers);
    assert!(world.is_dropped.load(SeqCst), "the work goes when it is done");
}

#[test]
fn every_reader_sees_every_chunk_in_order_and_then_the_end() {
    explore(|| together(3, 10, 3, false));
    explore(|| together(2, 10, 3, true));
}

/// The panic is that of the reader that met it; to the others, the body has failed.
#[test]
fn work_that_panics_strands_nobody() {
    explore(|| {
        let (world, first) = World::new(1, 10, false);
        world.feed.lock().unwrap().panics = true;
        let readers = [first, world.reader(), world.reader()];
        let mut threads: Vec<_> = readers
            .into_iter()
            .map(|reader| world.spawn(|world| world.read_or_panic(reader)))
            .collect();
        threads.push(world.feed());
        join(threads);
        assert!(world.done.load(SeqCst) == 3 && world.is_dropped.load(SeqCst));
    });
}

/// Those that fall behind the replay buffer get the copy.
#[test]
fn readers_at_paces_of_their_own_miss_nothing() {
    explore(|| together(6, LARGE, 3, false));
}

#[test]
fn two_readers_end_in_each_order() {
    explore_in_turn(|| together(1, 10, 2, false));
}

/// At any moment, one goes and one is never polled again: the third gets everything nevertheless.
#[test]
fn readers_that_go_or_fall_asleep_strand_nobody() {
    explore(|| {
        let (world, first) = World::new(3, 10, false);
        let [mut gone, mut asleep] = [world.reader(), world.reader()];
        let threads = [
            world.feed(),
            world.spawn(move |_| {
                World::poll(&mut gone, thread_rng().gen_range(0..5));
                drop(gone);
            }),
            world.spawn(move |world| {
                World::poll(&mut asleep, thread_rng().gen_range(0..5));
                while world.done.load(SeqCst) == 0 {
                    thread::yield_now();
                }
            }),
        ];
        world.read(first);
        join(threads);
        assert!(world.is_dropped.load(SeqCst));
    });
}

/// Whoever joins while it is on its way reads it all, waits until it is published, or finds that it is.
#[test]
fn newcomers_read_along_or_wait_or_find_it_published() {
    explore(|| {
        let (world, first) = World::new(4, LARGE, false);
        let newcomer = || {
            world.spawn(|world| match world.shared.join() {
                Some(NewReader::FromStart(reader)) => world.read(reader),
                Some(NewReader::Late(mut reader)) => {
                    block_on(std::future::poll_fn(|cx| reader.poll_settled(cx)));
                    assert!(world.feed.lock().unwrap().is_published);
                }
                None => assert!(world.feed.lock().unwrap().is_published),
            })
        };
        let threads = [newcomer(), newcomer(), world.feed()];
        world.read(first);
        join(threads);
        assert!(world.is_dropped.load(SeqCst));
    });
}

/// Who removes it waits until it is published, and does the work where nobody else does.
#[test]
fn who_waits_for_the_publication_needs_no_reader() {
    explore(|| {
        let (world, mut first) = World::new(2, 10, false);
        let waiting = world.spawn(|world| {
            if let Some(mut reader) = world.shared.watch() {
                block_on(std::future::poll_fn(|cx| reader.poll_settled(cx)));
                assert!(world.feed.lock().unwrap().is_published);
            }
            world.done.fetch_add(1, SeqCst);
        });
        let feeding = world.feed();
        World::poll(&mut first, thread_rng().gen_range(0..3));
        while world.done.load(SeqCst) == 0 {
            thread::yield_now();
        }
        join([waiting, feeding]);
    });
}

/// Nothing is left to wake, and nothing is read for nobody.
#[test]
fn the_last_reader_to_go_takes_the_work_along() {
    explore(|| {
        let (world, first) = World::new(2, 10, false);
        let readers = [first, world.reader(), world.reader()];
        let mut threads: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                world.spawn(move |_| {
                    World::poll(&mut reader, thread_rng().gen_range(0..4));
                    drop(reader);
                })
            })
            .collect();
        threads.push(world.feed());
        join(threads);
        assert!(world.is_dropped.load(SeqCst));
        assert!(world.shared.join().is_none() && world.shared.watch().is_none());
    });
}
