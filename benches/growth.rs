//! How each store behaves as it grows: a thousand, ten thousand, a hundred thousand and a million
//! entries.
//!
//! `cargo bench --all-features --bench growth` prints one table for each operation, with a row for
//! each store, a column for each number of entries, and the ratio of the last column to the first.
//! Arguments choose other numbers: `cargo bench --all-features --bench growth -- 1000 10000`. With
//! `-- --test` it runs once with few entries, which shows only that it works.

use std::{
    alloc::System,
    fs,
    hint::black_box,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cap::Cap;
use futures_util::future::join_all;
use http::{Method, Response};
use larder::{
    Key,
    entry::Head,
    store::{Memory, Redb, Sqlite, Store, Writer},
    time::Timestamp,
};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const BODY: usize = 200;
/// No store evicts anything.
const ROOM: u64 = 8 << 30;
/// How many entries are stored at once.
const GROUP: u64 = 500;
/// One entry in so many has a tag.
const TAGGED: u64 = 100;
/// How many entries share a tag, whatever the number of entries.
const SAME_TAG: u64 = 10;

const EXPLANATION: &str = "\
Each entry has a body of 200 bytes. Half of the entries expire, far in the future. One in a hundred
has a tag, and ten entries share each tag. Keys are random, and so are the entries that an operation
is measured with. No store evicts.

A time is the median over batches of the time per operation, on one thread, one operation after the
other. Entries that a batch has removed are put back outside of the measured time. A removal waits
for its own transaction in Redb and Sqlite.

\"x\" is the last column over the first. Caches differ between the columns: a small store fits into the
processor's caches and into the page cache of Redb and Sqlite (16 MiB of memory each, by default). A
large one comes from memory and from the page cache of the operating system.
";

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo passes it to every bench.
    arguments.retain(|argument| argument != "--bench");
    let is_test = arguments.iter().any(|argument| argument == "--test");
    arguments.retain(|argument| argument != "--test");
    let parse = |argument: &String| argument.replace('_', "").parse().ok().filter(|size| *size > 0);
    let Some(mut sizes) = arguments.iter().map(parse).collect::<Option<Vec<u64>>>() else {
        eprintln!("usage: cargo bench --all-features --bench growth -- [--test] [ENTRIES...]");
        std::process::exit(2);
    };
    if sizes.is_empty() {
        sizes = if is_test { vec![100, 1_000] } else { SIZES.to_vec() };
    }
    let rounds = if is_test { Rounds::FEW } else { Rounds::MANY };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");

    println!("{EXPLANATION}");
    let begun = Instant::now();
    let rows = [
        row::<Memory>(&runtime, &sizes, rounds),
        row::<Redb>(&runtime, &sizes, rounds),
        row::<Sqlite>(&runtime, &sizes, rounds),
    ];
    for table in TABLES {
        table.print(&sizes, &rows);
    }
    println!("\nmeasured in {:.0?}", begun.elapsed());
}

// ===== The stores =====

trait Subject: Store {
    const NAME: &'static str;
    /// Whether the store keeps its entries in a file.
    const HAS_FILE: bool;

    fn open(path: &Path) -> Self;

    /// Writes everything to the file and closes it.
    async fn shut(&self);
}

impl Subject for Memory {
    const NAME: &'static str = "Memory";
    const HAS_FILE: bool = false;

    fn open(_: &Path) -> Self {
        Self::new(ROOM)
    }

    async fn shut(&self) {}
}

impl Subject for Redb {
    const NAME: &'static str = "Redb";
    const HAS_FILE: bool = true;

    fn open(path: &Path) -> Self {
        Self::builder(path).max_bytes(ROOM).open().expect("a database")
    }

    async fn shut(&self) {
        self.close().await.expect("a sync");
    }
}

impl Subject for Sqlite {
    const NAME: &'static str = "Sqlite";
    const HAS_FILE: bool = true;

    fn open(path: &Path) -> Self {
        Self::builder(path).max_bytes(ROOM).open().expect("a database")
    }

    async fn shut(&self) {
        self.close().await.expect("a sync");
    }
}

// ===== The entries =====

fn key(number: u64) -> Key {
    Key::digest(number.to_string())
}

fn tag(number: u64) -> Box<str> {
    format!("tag {}", number / (TAGGED * SAME_TAG)).into()
}

fn head(number: u64) -> Head {
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("cache-control", "public, max-age=2147483648")
        .header("etag", "\"0123456789abcdef\"");
    let (parts, ()) = response.body(()).expect("a valid response").into_parts();
    let url = format!("http://example.com/api/items/{number:08}");
    let expires_at = (number % 2 == 1).then(|| Timestamp::from_millis((1 << 50) + number));
    let tags = if number.is_multiple_of(TAGGED) { vec![tag(number)] } else { Vec::new() };
    Head::new(Method::GET, url, parts, Timestamp::MIN).with_expires_at(expires_at).with_tags(tags)
}

async fn put(store: &impl Store, number: u64) {
    let mut writer = store.put(&key(number), head(number)).await.expect("a writer");
    writer.write(Bytes::from(vec![number as u8; BODY])).await.expect("room");
    writer.finish(None).await.expect("room");
}

async fn put_all(store: &impl Store, numbers: impl IntoIterator<Item = u64>) {
    join_all(numbers.into_iter().map(|number| put(store, number))).await;
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// So many different numbers below `end`, or all.
    fn different(&mut self, count: usize, end: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count.min(end as usize) {
            let number = self.below(end);
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }
}

// ===== What is measured =====

/// How many batches are measured, and of how many operations.
#[derive(Clone, Copy)]
struct Rounds {
    lookups: (usize, usize),
    removals: (usize, usize),
    openings: usize,
}

impl Rounds {
    const MANY: Self = Self { lookups: (61, 1_000), removals: (41, 50), openings: 5 };
    const FEW: Self = Self { lookups: (1, 10), removals: (1, 10), openings: 1 };
}

/// What was measured of one store with one number of entries.
struct Figures {
    put: Duration,
    hit: Duration,
    repeat: Duration,
    miss: Duration,
    remove: Duration,
    remove_tagged: Duration,
    open: Option<Duration>,
    memory: Option<f64>,
    file: Option<f64>,
    size: f64,
}

fn row<S: Subject>(
    runtime: &Runtime,
    sizes: &[u64],
    rounds: Rounds,
) -> (&'static str, Vec<Figures>) {
    let figures = sizes.iter().map(|&size| {
        // It takes minutes: the reader sees where it is.
        eprint!("{} with {size} entries ... ", S::NAME);
        std::io::stderr().flush().expect("a terminal");
        let begun = Instant::now();
        let figures = runtime.block_on(figures::<S>(size, rounds));
        eprintln!("{:.1?}", begun.elapsed());
        figures
    });
    (S::NAME, figures.collect())
}

async fn figures<S: Subject>(size: u64, rounds: Rounds) -> Figures {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cache");
    let before = ALLOCATOR.allocated();
    let store = S::open(&path);
    let begun = Instant::now();
    for first in (0..size).step_by(GROUP as usize) {
        put_all(&store, first..(first + GROUP).min(size)).await;
    }
    store.flush().await.expect("a sync");
    let put = begun.elapsed() / size as u32;
    let per_entry = |bytes: u64| bytes as f64 / size as f64;
    let held = per_entry(ALLOCATOR.allocated().saturating_sub(before) as u64);
    assert_eq!(store.len().await.expect("a count"), size, "nothing was evicted");
    let size_bytes = per_entry(store.size_bytes().await.expect("a sum"));

    let mut random = Random(size);
    let hit = lookups(&store, rounds, true, || random.below(size)).await;
    let few: Vec<u64> = random.different(rounds.lookups.1, size);
    let repeat =
        lookups(&store, rounds, true, || few[random.below(few.len() as u64) as usize]).await;
    let miss = lookups(&store, rounds, false, || size + random.below(size)).await;
    let remove = removals(&store, size, rounds, &mut random).await;
    let remove_tagged = tagged_removals(&store, size, rounds, &mut random).await;

    store.shut().await;
    drop(store);
    let file = S::HAS_FILE.then(|| per_entry(bytes_in(directory.path())));
    let mut openings = Vec::new();
    for _ in 0..if S::HAS_FILE { rounds.openings } else { 0 } {
        let begun = Instant::now();
        let store = S::open(&path);
        openings.push(begun.elapsed());
        store.shut().await;
    }
    Figures {
        put,
        hit,
        repeat,
        miss,
        remove,
        remove_tagged,
        open: S::HAS_FILE.then(|| median(openings)),
        memory: (!S::HAS_FILE).then_some(held),
        file,
        size: size_bytes,
    }
}

async fn lookups(
    store: &impl Store,
    rounds: Rounds,
    is_hit: bool,
    mut number: impl FnMut() -> u64,
) -> Duration {
    let (batches, lookups) = rounds.lookups;
    let mut times = Vec::new();
    // The first batch warms up.
    for _ in 0..=batches {
        let keys: Vec<Key> = (0..lookups).map(|_| key(number())).collect();
        let begun = Instant::now();
        for key in &keys {
            let hit = store.get(key).await.expect("a lookup");
            assert_eq!(hit.is_some(), is_hit);
            if let Some(hit) = hit {
                black_box((hit.head, hit.body.bytes().await.expect("a body")));
            }
        }
        times.push(begun.elapsed() / lookups as u32);
    }
    median(times.split_off(1))
}

async fn removals(store: &impl Store, size: u64, rounds: Rounds, random: &mut Random) -> Duration {
    let (batches, removals) = rounds.removals;
    let mut times = Vec::new();
    for _ in 0..batches {
        let numbers = random.different(removals, size);
        let keys: Vec<Key> = numbers.iter().map(|&number| key(number)).collect();
        let begun = Instant::now();
        for key in &keys {
            assert!(store.remove(key).await.expect("a removal"));
        }
        times.push(begun.elapsed() / keys.len() as u32);
        put_all(store, numbers).await;
        store.flush().await.expect("a sync");
    }
    median(times)
}

/// The time per removed entry.
async fn tagged_removals(
    store: &impl Store,
    size: u64,
    rounds: Rounds,
    random: &mut Random,
) -> Duration {
    let mut times = Vec::new();
    for _ in 0..rounds.removals.0 {
        let first = random.below(size.div_ceil(TAGGED * SAME_TAG)) * TAGGED * SAME_TAG;
        let numbers: Vec<u64> = (first..(first + TAGGED * SAME_TAG).min(size))
            .filter(|number| number.is_multiple_of(TAGGED))
            .collect();
        let begun = Instant::now();
        let removed = store.remove_tagged(&tag(first)).await.expect("a removal");
        times.push(begun.elapsed() / numbers.len() as u32);
        assert_eq!(removed, numbers.len() as u64);
        put_all(store, numbers).await;
        store.flush().await.expect("a sync");
    }
    median(times)
}

fn bytes_in(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).expect("a directory");
    let paths = files.map(|file| file.expect("a file").path()).collect::<Vec<PathBuf>>();
    paths.iter().map(|path| fs::metadata(path).expect("a file").len()).sum()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

// ===== The tables =====

struct Table {
    title: &'static str,
    figure: fn(&Figures) -> Option<f64>,
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

const TABLES: [Table; 10] = [
    Table {
        title: "Store::get of a stored key, the body read: microseconds",
        figure: |figures| Some(micros(figures.hit)),
    },
    Table {
        title: "Store::get of one of the same thousand keys: microseconds",
        figure: |figures| Some(micros(figures.repeat)),
    },
    Table {
        title: "Store::get of a key that is not stored: microseconds",
        figure: |figures| Some(micros(figures.miss)),
    },
    Table {
        title: "Store::remove of a stored key: microseconds",
        figure: |figures| Some(micros(figures.remove)),
    },
    Table {
        title: "Store::remove_tagged of a tag of ten entries: microseconds per removed entry",
        figure: |figures| Some(micros(figures.remove_tagged)),
    },
    Table {
        title: "Filling the store, 500 entries at once, synced at the end: microseconds per entry",
        figure: |figures| Some(micros(figures.put)),
    },
    Table { title: "Opening the file: microseconds", figure: |figures| figures.open.map(micros) },
    Table {
        title: "Memory that the filled store holds, seen by a counting allocator: bytes per entry",
        figure: |figures| figures.memory,
    },
    Table {
        title: "Length of the file after closing: bytes per entry",
        figure: |figures| figures.file,
    },
    Table { title: "Store::size_bytes: bytes per entry", figure: |figures| Some(figures.size) },
];

impl Table {
    fn print(&self, sizes: &[u64], rows: &[(&str, Vec<Figures>)]) {
        println!("\n{}", self.title);
        print!("{:<8}", "");
        sizes.iter().for_each(|size| print!("{size:>12}"));
        println!("{:>8}", "x");
        for (name, figures) in rows {
            let Some(values) = figures.iter().map(self.figure).collect::<Option<Vec<f64>>>() else {
                continue;
            };
            print!("{name:<8}");
            values.iter().for_each(|value| print!("{:>12}", shown(*value)));
            println!("{:>8.2}", values[values.len() - 1] / values[0]);
        }
    }
}

fn shown(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
