//! Bodies: one source, and many readers.

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

/// Feeds the body. It remembers only the waker of the last poll, as origins and stores do.
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

/// Records that the source was dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

impl Drive for TestSource {
    /// The length of the stored body.
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
                // Without the panic hook, which would end the test.
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

/// A body of `chunks` chunks, its feed, and counters.
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

    /// Sends the chunks, the end, and the store's confirmation. Wakes the reader that polled last.
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

    /// Reads to the end, and checks the order of the chunks.
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
                Next::Trailers(_) | Next::Lost => {
                    panic!("the source sends no trailers and loses nothing")
                }
            }
        }
        assert_eq!(read, self.chunks, "the reader must read every chunk");
        self.done.fetch_add(1, SeqCst);
    }

    /// Reads to the end. The source may panic in this reader.
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
                _ => panic!("the body must fail"),
            }
        }
    }

    /// Polls `times` times, and drops what it reads.
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

/// All readers end, and the source is dropped.
fn together(chunks: usize, len: usize, readers: usize, fails: bool) {
    let (world, first) = World::new(chunks, len, fails);
    let mut all: Vec<_> = (1..readers).map(|_| world.reader()).collect();
    all.push(first);
    let mut threads: Vec<_> =
        all.into_iter().map(|reader| world.spawn(|world| world.read(reader))).collect();
    threads.push(world.feed());
    join(threads);
    assert_eq!(world.done.load(SeqCst), readers);
    assert!(world.is_dropped.load(SeqCst), "the source must be dropped at the end");
}

#[test]
fn every_reader_sees_every_chunk_in_order_and_then_the_end() {
    explore(|| together(3, 10, 3, false));
    explore(|| together(2, 10, 3, true));
}

/// One reader panics. For the others, the body fails.
#[test]
fn panicking_source_does_not_block_readers() {
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

/// Readers that fall behind the replay buffer read the stored copy.
#[test]
fn readers_at_different_speeds_read_everything() {
    explore(|| together(6, LARGE, 3, false));
}

#[test]
fn two_readers_end_in_each_order() {
    explore_in_turn(|| together(1, 10, 2, false));
}

/// One reader is dropped at any moment, and another is never polled again. The third still reads
/// everything.
#[test]
fn dropped_or_sleeping_readers_do_not_block_others() {
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

/// A new reader reads the whole body, waits until it is published, or finds that it is.
#[test]
fn new_reader_reads_or_waits_or_finds_the_body_published() {
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

/// A removal waits until the body is published, and drives the source if no reader does.
#[test]
fn publication_can_be_awaited_without_a_reader() {
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

/// No reader is left to wake, and nothing is read without readers.
#[test]
fn last_reader_drops_the_source() {
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
