#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Barrier, thread};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Response};
use proptest::prelude::*;

use super::{
    super::{ErrorKind, StoredBody, Writer},
    body::{Body, Gather, SEGMENT},
    table::weight,
    *,
};

const MIB: u64 = 1 << 20;

/// Runs an operation that does not yield: every one but a removal of more than a batch.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing in memory waits")
}

/// Runs an operation that may yield.
fn finish<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn key(number: u64) -> Key {
    Key::digest(number.to_le_bytes())
}

fn head(name: u64) -> Head {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers.insert("x-name", HeaderValue::from(name));
    Head::new(Method::GET, format!("http://example.com/{name}"), parts, at(0))
}

fn name_of(head: &Head) -> u64 {
    head.headers()["x-name"].to_str().unwrap().parse().unwrap()
}

fn try_put(store: &Memory, key: Key, head: Head, body: Vec<u8>) -> Result<()> {
    let mut writer = now(store.put(&key, head))?;
    now(writer.write(body.into()))?;
    now(writer.finish(None))
}

fn put(store: &Memory, number: u64, body: usize) {
    try_put(store, key(number), head(number), vec![number as u8; body]).unwrap();
}

fn get(store: &Memory, number: u64) -> Option<Hit> {
    now(store.get(&key(number))).unwrap()
}

fn read(body: StoredBody) -> Vec<u8> {
    now(body.bytes()).unwrap().to_vec()
}

fn size(store: &Memory) -> u64 {
    now(store.size_bytes()).unwrap()
}

/// The rows for keys, expiries and tags, and the number of entries.
fn rows(store: &Memory) -> ((usize, usize, usize), usize) {
    (store.table.lock().rows(), now(store.len()).unwrap() as usize)
}

#[test]
fn shards_add_up_to_less_than_the_capacity() {
    for (capacity, shards) in [
        (0, 1),
        (1, 1),
        (MIB, 1),
        (255 * MIB, 1),
        (256 * MIB, 2),
        (256 * MIB + 1, 2),
        (1_000 * MIB, 4),
        (1 << 40, 16),
        (u64::MAX, 16),
    ] {
        let store = Memory::new(capacity);
        assert_eq!(store.capacity(), capacity);
        assert_eq!(store.table.entries.num_shards(), shards, "of {capacity} bytes");
        let parts = store.table.entries.shard_capacity() as u128 * shards as u128;
        assert!(parts <= u128::from(capacity), "{parts} of {capacity} bytes");
        assert!(store.table.largest <= store.table.entries.shard_capacity());
        if capacity >= MIB {
            assert!(parts >= u128::from(capacity - capacity / 50), "{parts} of {capacity} bytes");
        }
    }
    assert!(Memory::default().table.largest > 120 * MIB, "64 MiB bodies must fit, and more");
}

#[test]
fn a_full_store_stays_within_its_bytes() {
    for (capacity, body) in [(8 * MIB, 4 << 10), (8 * MIB, 1 << 20), (300 * MIB, 9 << 20)] {
        let store = Memory::new(capacity);
        for number in 0..3 * capacity / body {
            put(&store, number, (number % body) as usize);
            put(&store, number, body as usize);
            assert!(size(&store) <= capacity);
        }
        assert!(size(&store) > capacity / 2, "{} of {capacity}", size(&store));
        let ((keys, ..), len) = rows(&store);
        assert_eq!(keys, len);
    }
}

/// The promise of the eviction policy, and why it is not a plain least-recently-used list.
#[test]
fn entries_in_use_survive_a_scan_of_many_others() {
    const USED: u64 = 500;
    let store = Memory::new(8 * MIB);
    // The harder case: the entries come into a store that is full already.
    (10_000..14_000).for_each(|number| put(&store, number, 4 << 10));
    for number in 0..USED {
        put(&store, number, 4 << 10);
        assert!(get(&store, number).is_some(), "a new entry must be there for a moment");
    }
    for number in 0..USED {
        get(&store, number);
    }
    (20_000..40_000).for_each(|number| put(&store, number, 4 << 10));
    let kept = (0..USED).filter(|number| get(&store, *number).is_some()).count();
    assert!(kept as u64 > USED * 95 / 100, "{kept} of {USED} are left");
}

#[test]
fn indexes_forget_evicted_entries() {
    let store = Memory::new(MIB);
    for number in 0..100_000_u64 {
        let tags = vec![format!("own {number}").into(), "all".into()];
        let head = head(number).with_tags(tags).with_expires_at(Some(at(number)));
        // Each tenth replaces an entry that may have been evicted.
        let key = key(if number % 10 == 0 { number / 20 } else { number });
        try_put(&store, key, head, vec![0; (number % 3_000) as usize]).unwrap();
    }
    let ((keys, expiries, tags), len) = rows(&store);
    assert!(len > 100, "{len} entries are left");
    assert_eq!((keys, expiries, tags), (len, len, 2 * len));
    assert_eq!(finish(store.remove_tagged("all")).unwrap(), len as u64);
    assert_eq!(rows(&store), ((0, 0, 0), 0));
    assert_eq!(size(&store), 0);
}

#[test]
fn only_evictions_are_counted_as_evicted() {
    let store = Memory::new(MIB);
    for round in 0..100 {
        (0..20).for_each(|number| put(&store, number, 1 << 10));
        assert!(finish(store.remove(&key(round % 20))).unwrap());
    }
    finish(store.clear()).unwrap();
    assert_eq!(store.evicted(), Evicted::default());
    // Numbers with the same number of digits, since they are stored.
    put(&store, 1_000, 4 << 10);
    let each = size(&store);
    (1_001..2_000).for_each(|number| put(&store, number, 4 << 10));
    let (evicted, left) = (store.evicted(), finish(store.len()).unwrap());
    assert_eq!((evicted.entries, evicted.bytes), (1_000 - left, (1_000 - left) * each));
}

#[test]
fn entries_that_cannot_fit_are_refused_and_the_old_one_stays() {
    let store = Memory::new(4 * MIB).keep_large_chunks(false);
    put(&store, 1, 100);
    let segments = store.table.largest.div_ceil(SEGMENT as u64);
    let body = vec![Bytes::from_static(b"x"); segments as usize];
    let overhead = weight(&head(1).compact(), &Body::Segments(body.into())) - segments;
    let fits = (store.table.largest - overhead) as usize;

    let error = try_put(&store, key(1), head(2), vec![0; fits + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().starts_with("memory: the entry "), "{error}");
    assert_eq!(name_of(&get(&store, 1).unwrap().head), 1, "the old entry must stay");

    try_put(&store, key(1), head(2), vec![0; fits]).unwrap();
    let hit = get(&store, 1).expect("what is not refused must be kept");
    assert_eq!((name_of(&hit.head), hit.body.len()), (2, fits as u64));
}

#[test]
fn a_refused_writer_stays_refused() {
    let store = Memory::new(MIB);
    let mut writer = now(store.put(&key(1), head(1))).unwrap();
    let half = Bytes::from(vec![0; 600 << 10]);
    now(writer.write(half.clone())).unwrap();
    assert!(now(writer.write(half)).is_err());
    assert!(now(writer.write("less".into())).is_err(), "a hole in the body must not pass");
    assert_eq!(now(writer.finish(None)).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(rows(&store), ((0, 0, 0), 0));
}

#[test]
fn a_head_or_trailers_that_cannot_fit_are_refused() {
    let store = Memory::new(64 << 10);
    let mut large = HeaderMap::new();
    large.insert("x-large", HeaderValue::try_from("x".repeat(70 << 10)).unwrap());
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers = large.clone();
    let large_head = Head::new(Method::GET, "http://example.com/", parts, at(0));
    assert_eq!(
        now(store.put(&key(1), large_head.clone())).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    let writer = now(store.put(&key(1), head(1))).unwrap();
    assert_eq!(now(writer.finish(Some(large))).unwrap_err().kind(), ErrorKind::TooLarge);

    put(&store, 1, 100);
    let seen = get(&store, 1).unwrap().version;
    let error = now(store.update(&key(1), seen, large_head)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(get(&store, 1).unwrap().version, seen, "a refused update must change nothing");
    assert!(now(Memory::new(0).put(&key(1), head(1))).is_err());
}

#[test]
fn updates_do_not_count_as_uses() {
    let store = Memory::new(MIB);
    let fill = |from: u64| (from..from + 2_000).for_each(|number| put(&store, number, 4 << 10));
    fill(10_000);
    // As large as the others, so that it fits only where they do.
    put(&store, 15_000, 4 << 10);
    for _ in 0..5 {
        // `get` would count as a use.
        let seen = store.table.entries.peek(&key(15_000)).unwrap().version;
        assert!(now(store.update(&key(15_000), seen, head(15_000))).unwrap());
    }
    fill(20_000);
    assert!(get(&store, 15_000).is_none(), "an entry that is revalidated only must be evicted");
}

#[test]
fn an_update_that_grows_the_head_makes_room() {
    let store = Memory::new(MIB);
    (0..1_000).for_each(|number| put(&store, number, 1_000));
    let listed: Vec<_> = now(store.scan().map(Result::unwrap).collect());
    for item in listed {
        let tags = (0..20).map(|number| format!("tag {number}").into()).collect();
        // It may have been evicted by now.
        now(store.update(&item.key, item.version, head(0).with_tags(tags))).unwrap();
        assert!(size(&store) <= MIB);
    }
    let ((keys, expiries, tags), len) = rows(&store);
    assert_eq!((keys, expiries), (len, 0));
    assert_eq!(tags % 20, 0);
}

#[test]
fn removals_by_tag_read_only_the_rows_that_they_remove() {
    let store = Memory::new(1 << 30);
    for number in 0..100_000 {
        let tag = if number % 10_000 == 0 { "few" } else { "many" };
        try_put(&store, key(number), head(number).with_tags(vec![tag.into()]), vec![0]).unwrap();
    }
    assert_eq!(finish(store.remove_tagged("few")).unwrap(), 10);
    assert_eq!(store.table.lock().asked.get(), 11, "each of the ten, and that there are no more");
    assert_eq!(finish(store.remove_tagged("none")).unwrap(), 0);
    assert_eq!((store.table.lock().asked.get(), now(store.len()).unwrap()), (12, 99_990));
}

#[test]
fn another_tag_with_the_same_hash_removes_nothing() {
    let store = Memory::default();
    for number in 0..600 {
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        let head = head(number).with_tags(vec![tag.into()]);
        try_put(&store, key(number), head, vec![]).unwrap();
        // As if both tags had the same hash.
        let row = store.table.entries.peek(&key(number)).unwrap().row;
        store.table.lock().insert(row, &key(number), &head_with_both_tags());
    }
    assert_eq!(finish(store.remove_tagged("even")).unwrap(), 300);
    assert!((0..600).all(|number| get(&store, number).is_some() == (number % 2 == 1)));
}

fn head_with_both_tags() -> Head {
    head(0).with_tags(vec!["even".into(), "odd".into()])
}

#[test]
fn removals_end_even_with_rows_without_entries() {
    let store = Memory::default();
    let stray = head(0).with_expires_at(Some(at(1))).with_tags(vec!["tag".into()]);
    for number in 0..1_000 {
        let mut index = store.table.lock();
        let row = index.next_row();
        index.insert(row, &key(number), &stray);
    }
    assert_eq!(finish(store.remove_expired(at(1))).unwrap(), 0);
    assert_eq!(finish(store.remove_tagged("tag")).unwrap(), 0);
    assert!(now(store.scan().collect::<Vec<_>>()).is_empty());
    finish(store.clear()).unwrap();
    assert_eq!(store.table.lock().rows().0, 0);
}

#[test]
fn bodies_are_copied_into_segments_and_large_chunks_are_kept() {
    let length = |length: usize| {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.headers.insert("content-length", HeaderValue::from(length));
        Head::new(Method::GET, "http://example.com/", parts, at(0))
    };
    let cases: [(&[usize], &[usize]); 9] = [
        (&[], &[]),
        (&[1], &[1]),
        (&[10, 0, 20], &[30]),
        (&[SEGMENT], &[SEGMENT]),
        (&[SEGMENT - 1, 1], &[SEGMENT]),
        (&[SEGMENT - 1, 2], &[SEGMENT, 1]),
        (&[2 * SEGMENT], &[2 * SEGMENT]),
        // A large chunk stays in one piece; smaller ones are divided evenly.
        (&[5 * SEGMENT + 3], &[5 * SEGMENT + 3]),
        (&[7, 3 * SEGMENT, 1], &[SEGMENT, 2 * SEGMENT + 7, 1]),
    ];
    for (chunks, pieces) in cases {
        let whole: usize = chunks.iter().sum();
        for head in [head(0), length(whole), length(1), length(usize::MAX)] {
            let mut gather = Gather::new(&head, true);
            chunks.iter().for_each(|chunk| gather.push(vec![1; *chunk].into()));
            let body = gather.finish();
            let kept: Vec<usize> = match &body {
                Body::Whole(bytes) => {
                    Some(bytes.len()).filter(|len| *len > 0).into_iter().collect()
                }
                Body::Segments(segments) => segments.iter().map(Bytes::len).collect(),
            };
            assert_eq!(kept, pieces, "of {chunks:?}");
            assert_eq!(read(body.into_stored(whole as u64)).len(), whole);
        }
    }
}

#[test]
fn a_large_chunk_is_copied_where_that_is_set() {
    for keep in [true, false] {
        let store = Memory::new(64 * MIB).keep_large_chunks(keep);
        let chunk = Bytes::from(vec![7; 4 * SEGMENT]);
        let stored = {
            let mut writer = finish(store.put(&key(1), head(1))).unwrap();
            finish(writer.write(chunk.clone())).unwrap();
            finish(writer.finish(None)).unwrap();
            finish(finish(store.get(&key(1))).unwrap().unwrap().body.bytes()).unwrap()
        };
        assert_eq!(stored, chunk);
        assert_eq!(stored.as_ptr() == chunk.as_ptr(), keep);
    }
}

#[test]
fn a_writer_refuses_a_body_as_soon_as_what_its_chunks_count_does_not_fit() {
    let store = Memory::new(4 * MIB);
    let mut writer = finish(store.put(&key(1), head(1))).unwrap();
    let chunk = || Bytes::from(vec![7; SEGMENT + 1]);
    let taken = (0..16).take_while(|_| finish(writer.write(chunk())).is_ok()).count();
    // Each counts 408 KiB.
    assert_eq!(taken as u64, store.table.largest / (408 << 10));
    assert_eq!(finish(writer.finish(None)).unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn a_kept_chunk_counts_as_the_buffer_that_it_may_be_a_part_of() {
    let buffer = Bytes::from(vec![7; 6 * SEGMENT]);
    let part = |from: usize, to: usize| buffer.slice(from..to);
    let size = |chunks: &[Bytes]| {
        let mut gather = Gather::new(&head(0), true);
        chunks.iter().for_each(|chunk| gather.push(chunk.clone()));
        gather.finish().size()
    };
    let small = size(&[part(0, SEGMENT)]) - SEGMENT as u64;
    let (len, least, beyond) = (SEGMENT + 1, 408 << 10, 64 << 10);
    assert_eq!(size(&[part(0, len)]), least + small);
    assert_eq!(size(&[part(0, len), part(2 * len, 3 * len)]), 2 * (least + small));
    assert_eq!(size(&[part(0, len), part(len, 2 * len)]), 2 * (len as u64 + small) + beyond);
    assert_eq!(size(&[part(0, 5 * SEGMENT)]), 5 * SEGMENT as u64 + small + beyond);
}

#[test]
fn compact_heads_are_equal() {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = http::StatusCode::NOT_FOUND;
    parts.version = http::Version::HTTP_10;
    for (name, value) in [("b", &b"1"[..]), ("a", b""), ("b", b"caf\xe9"), ("c", b"3"), ("b", b"1")]
    {
        parts.headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    parts.headers.get_mut("c").unwrap().set_sensitive(true);
    let trailers = parts.headers.clone();
    let head = Head::new(Method::POST, "http://example.com/", parts, at(5))
        .with_requested_at(at(3))
        .with_expires_at(Some(at(9)))
        .with_tags(vec!["tag".into()])
        .seal(7, Some(trailers));
    let same = head.clone().compact();
    assert_eq!(same, head);
    assert!(same.headers().iter().eq(head.headers()), "the order counts as well");
    assert!(same.headers()["c"].is_sensitive() && !same.headers()["a"].is_sensitive());

    let annotation = Head::annotation("http://example.com/", HeaderMap::new(), at(0));
    assert_eq!(annotation.clone().compact(), annotation);
}

#[test]
fn debug_output_has_sizes_and_no_contents() {
    let store = Memory::new(MIB);
    assert_eq!(format!("{store:?}"), "Memory { capacity: 1048576, entries: 0, bytes: 0 }");
    put(&store, 1, 100);
    let shown = format!("{store:?}");
    assert!(shown.contains("entries: 1") && !shown.contains("example"), "{shown}");
}

/// Readers and writers of few keys on several threads, in a store that evicts all the time.
#[test]
fn entries_and_indexes_agree_after_concurrent_use() {
    let store = Memory::new(MIB);
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for step in 0..5_000_u64 {
                    let number = (step * 7 + thread * 13) % 200;
                    let name = thread * 1_000_000 + step;
                    let tags = vec![format!("{}", number % 5).into(), "all".into()];
                    let head = head(name).with_tags(tags).with_expires_at(Some(at(step % 50)));
                    match step % 8 {
                        0..4 => {
                            let body = name.to_le_bytes().repeat((step % 4_000) as usize);
                            try_put(store, key(number), head, body).unwrap();
                        }
                        4 => {
                            if let Some(hit) = get(store, number) {
                                now(store.update(&key(number), hit.version, hit.head.with(step)))
                                    .unwrap();
                            }
                        }
                        5 => {
                            finish(store.remove_expired(at(step % 10))).unwrap();
                        }
                        6 if step % 5 == 0 => {
                            finish(store.remove_tagged(&format!("{}", step % 5))).unwrap();
                        }
                        6 => {
                            now(store.remove(&key(number))).unwrap();
                        }
                        _ => {}
                    }
                    if let Some(hit) = get(store, number) {
                        let name = name_of(&hit.head).to_le_bytes();
                        let body = read(hit.body);
                        assert!(
                            body.chunks(8).all(|part| part == name),
                            "head and body must belong together"
                        );
                    }
                }
            });
        }
    });
    let ((keys, expiries, tags), len) = rows(&store);
    assert_eq!((keys, expiries, tags), (len, len, 2 * len));
    assert!(size(&store) <= MIB);
    let listed: Vec<_> = now(store.scan().map(Result::unwrap).collect());
    assert_eq!(listed.len(), len);
    finish(store.clear()).unwrap();
    assert_eq!((rows(&store), size(&store)), (((0, 0, 0), 0), 0));
}

trait With {
    fn with(&self, millis: u64) -> Head;
}

impl With for Arc<Head> {
    fn with(&self, millis: u64) -> Head {
        Head::clone(self).with_expires_at(Some(at(millis)))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put { key: u64, expires_at: Option<u64>, tags: Vec<u8>, body: usize },
    Abandon { key: u64, body: usize },
    Update { key: u64, stale: bool, expires_at: Option<u64>, tags: Vec<u8> },
    Remove { key: u64 },
    RemoveExpired { now: u64 },
    RemoveTagged { tag: u8 },
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..12_u64;
    let expires_at = || proptest::option::of(0..20_u64);
    let tags = || proptest::collection::vec(0..5_u8, 0..4);
    let body = || prop_oneof![Just(0), 1..100_usize, 20_000..40_000_usize, 300_000..600_000_usize];
    let step = prop_oneof![
        6 => (key(), expires_at(), tags(), body())
            .prop_map(|(key, expires_at, tags, body)| Step::Put { key, expires_at, tags, body }),
        1 => (key(), body()).prop_map(|(key, body)| Step::Abandon { key, body }),
        4 => (key(), any::<bool>(), expires_at(), tags()).prop_map(
            |(key, stale, expires_at, tags)| Step::Update { key, stale, expires_at, tags }
        ),
        2 => key().prop_map(|key| Step::Remove { key }),
        2 => (0..20_u64).prop_map(|now| Step::RemoveExpired { now }),
        2 => (0..5_u8).prop_map(|tag| Step::RemoveTagged { tag }),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 0..80)
}

/// What a store is, without any thought of speed.
#[derive(Default)]
struct Model {
    entries: BTreeMap<u64, (Head, Vec<u8>)>,
}

impl Model {
    fn remove_if(&mut self, gone: impl Fn(&Head) -> bool) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|_, (head, _)| !gone(head));
        (before - self.entries.len()) as u64
    }
}

/// Takes `steps` in both, and holds the store against the model after each. A store that evicts may
/// have less than the model, and nothing else than it.
fn run(steps: Vec<Step>, store: &Memory, evicts: bool) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let with = |name: usize, expires_at: Option<u64>, tags: Vec<u8>| {
        head(name as u64)
            .with_expires_at(expires_at.map(at))
            .with_tags(tags.iter().map(|tag| tag.to_string().into()).collect())
    };
    for (name, step) in steps.into_iter().enumerate() {
        if evicts {
            model.entries.retain(|number, _| get(store, *number).is_some());
        }
        match step {
            Step::Put { key: number, expires_at, tags, body } => {
                let head = with(name, expires_at, tags);
                let body = vec![name as u8; body];
                let mut writer = now(store.put(&key(number), head.clone())).unwrap();
                body.chunks(100_000)
                    .for_each(|chunk| now(writer.write(chunk.to_vec().into())).unwrap());
                now(writer.finish(None)).unwrap();
                model.entries.insert(number, (head.seal(body.len() as u64, None), body));
            }
            Step::Abandon { key: number, body } => {
                let mut writer = now(store.put(&key(number), head(name as u64))).unwrap();
                now(writer.write(vec![0; body].into())).unwrap();
            }
            Step::Update { key: number, stale, expires_at, tags } => {
                let found = get(store, number).map(|hit| hit.version);
                let seen = found.filter(|_| !stale).unwrap_or(Version::new(0));
                let head = with(name, expires_at, tags);
                let updated = now(store.update(&key(number), seen, head.clone())).unwrap();
                prop_assert_eq!(updated, !stale && model.entries.contains_key(&number));
                if updated {
                    let (old, _) = model.entries.get_mut(&number).unwrap();
                    *old = head.carry_body(old);
                }
            }
            Step::Remove { key: number } => {
                let removed = now(store.remove(&key(number))).unwrap();
                prop_assert_eq!(removed, model.entries.remove(&number).is_some());
            }
            Step::RemoveExpired { now: time } => {
                let removed = now(store.remove_expired(at(time))).unwrap();
                prop_assert_eq!(removed, model.remove_if(|head| head.is_expired(at(time))));
            }
            Step::RemoveTagged { tag } => {
                let tag = tag.to_string();
                let removed = now(store.remove_tagged(&tag)).unwrap();
                let gone = |head: &Head| head.tags().iter().any(|other| **other == *tag);
                prop_assert_eq!(removed, model.remove_if(gone));
            }
            Step::Clear => {
                now(store.clear()).unwrap();
                model.entries.clear();
            }
        }
        for number in 0..12 {
            let found = get(store, number).map(|hit| ((*hit.head).clone(), read(hit.body)));
            let expected = model.entries.get(&number);
            prop_assert!(found.as_ref() == expected || (evicts && found.is_none()));
        }
        let ((keys, expiries, tags), len) = rows(store);
        let listed: Vec<_> = now(store.scan().map(Result::unwrap).collect());
        prop_assert_eq!((keys, listed.len()), (len, len));
        prop_assert_eq!(expiries, listed.iter().filter(|i| i.head.expires_at().is_some()).count());
        let distinct = |item: &Scanned| {
            item.head.tags().iter().collect::<std::collections::BTreeSet<_>>().len()
        };
        prop_assert_eq!(tags, listed.iter().map(distinct).sum::<usize>());
        prop_assert!(evicts || len == model.entries.len());
        prop_assert!(size(store) <= store.capacity());
        prop_assert_eq!(size(store) == 0, len == 0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_steps_agrees_with_the_model(steps in steps()) {
        run(steps, &Memory::default(), false)?;
    }

    #[test]
    fn any_sequence_of_steps_agrees_with_the_model_except_for_evictions(steps in steps()) {
        run(steps, &Memory::new(MIB), true)?;
    }
}
