//! Tests of `Tiered`: copies in the near tier, the changes that outdate them, and one tier while
//! the other fails.
//!
//! The `conformance` suite checks the contract of every store. `cache::any_fault` checks a cache
//! over tiers that fail.

#![cfg(all(feature = "memory", feature = "conformance"))]
#![allow(clippy::unwrap_used)]

use std::{future::pending, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Response};
use larder::{
    Key,
    entry::Head,
    store::{
        ErrorKind, Hit, Memory, Scanned, Store, StoredBody, Tiered, TieredStats, Version, Writer,
        conformance::{Faulty, Operation},
    },
    time::{ManualClock, Timestamp},
};

#[allow(dead_code)] // The cache's tests use the rest.
#[path = "cache/support/gate.rs"]
mod gate;

use self::gate::Gated;

const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const KEY: Key = Key::from_bytes([1; 32]);
const LARGE: usize = 600_000;

fn at(millis: u64) -> Timestamp {
    T0.saturating_add(Duration::from_millis(millis))
}

/// A head that carries the name of its entry.
fn head(name: &str, stored_at: Timestamp) -> Head {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers.insert("x-name", HeaderValue::from_str(name).unwrap());
    Head::new(Method::GET, "http://example.com/", parts, stored_at)
        .with_tags(vec!["tag".into()])
        .with_expires_at(Some(at(1_000)))
}

fn name(head: &Head) -> &str {
    head.headers()["x-name"].to_str().unwrap()
}

fn text(name: &str, len: usize) -> Vec<u8> {
    name.bytes().cycle().take(len).collect()
}

async fn try_store<S: Store>(
    store: &S,
    name: &str,
    stored_at: Timestamp,
    len: usize,
) -> larder::store::Result<()> {
    let mut writer = store.put(&KEY, head(name, stored_at)).await?;
    for chunk in text(name, len).chunks(100_000) {
        writer.write(Bytes::copy_from_slice(chunk)).await?;
    }
    writer.finish(None).await
}

async fn store<S: Store>(store: &S, name: &str, len: usize) {
    try_store(store, name, T0, len).await.unwrap();
}

async fn read(body: StoredBody) -> Vec<u8> {
    body.bytes().await.unwrap().to_vec()
}

/// Returns the name of the stored entry, or `None`. Checks that the body belongs to that entry.
async fn stored_name<S: Store>(store: &S) -> Option<String> {
    let hit = store.get(&KEY).await.unwrap()?;
    let name = name(&hit.head).to_owned();
    let len = hit.head.body_len() as usize;
    assert_eq!(read(hit.body).await, text(&name, len), "the body of another entry");
    Some(name)
}

/// The reads that each tier has answered, and the copies that were made.
fn counts(stats: TieredStats) -> (u64, u64, u64) {
    (stats.near_hits, stats.far_hits, stats.copies)
}

type Pair = Tiered<Memory, Memory>;

/// Tiers with an entry in the far tier only.
async fn far_only(len: usize) -> Pair {
    let far = Memory::default();
    store(&far, "old", len).await;
    Tiered::new(Memory::default(), far)
}

// ===== Copies =====

#[tokio::test]
async fn entry_read_from_the_far_tier_is_copied_to_the_near_tier() {
    for len in [0, 10, LARGE] {
        let tiers = far_only(len).await;
        let seen = tiers.get(&KEY).await.unwrap().unwrap().version;
        if len == LARGE {
            // A body that is not read is not copied, and a body that is read in part is not either.
            let mut body = tiers.get(&KEY).await.unwrap().unwrap().body;
            body.chunk().await.unwrap().unwrap();
            drop(body);
            assert_eq!((tiers.near().len().await.unwrap(), tiers.stats().copies), (0, 0));
            assert_eq!(stored_name(&tiers).await.unwrap(), "old");
        }
        assert_eq!(tiers.stats().copies, 1);
        let far_hits = tiers.stats().far_hits;
        let hit = tiers.get(&KEY).await.unwrap().unwrap();
        assert_eq!(hit.version, seen, "the copy has the version of its entry");
        assert_eq!(*hit.head, head("old", T0).seal(len as u64, None), "and the same head");
        assert_eq!(read(hit.body).await, text("old", len));
        tiers.far().clear().await.unwrap();
        assert_eq!(
            stored_name(&tiers).await.unwrap(),
            "old",
            "the near tier answers without the far one"
        );
        assert_eq!(counts(tiers.stats()), (2, far_hits, 1));
    }
}

#[tokio::test]
async fn concurrent_reads_of_a_key_make_one_copy() {
    let tiers = far_only(LARGE).await;
    let mut bodies = Vec::new();
    for _ in 0..5 {
        bodies.push(tiers.get(&KEY).await.unwrap().unwrap().body);
    }
    for body in bodies {
        assert_eq!(read(body).await, text("old", LARGE));
    }
    assert_eq!(counts(tiers.stats()), (0, 5, 1));
}

#[tokio::test]
async fn large_bodies_are_not_copied_to_the_near_tier() {
    let tiers = far_only(LARGE).await.max_near_body(LARGE as u64 - 1);
    for _ in 0..2 {
        assert_eq!(stored_name(&tiers).await.unwrap(), "old");
    }
    store(tiers.near(), "foreign", 10).await;
    store(&tiers, "new", LARGE).await;
    assert_eq!(tiers.near().len().await.unwrap(), 0, "the near entry is removed");
    assert_eq!(stored_name(&tiers).await.unwrap(), "new");
    assert_eq!((tiers.near().len().await.unwrap(), tiers.stats().near_hits), (0, 0));
    store(&tiers, "small", LARGE - 1).await;
    assert_eq!(stored_name(&tiers).await.unwrap(), "small");
    assert_eq!(counts(tiers.stats()), (1, 3, 0), "a written entry is copied at once");
}

/// The near tier delays its copy. The reader still gets every byte, and later operations finish the
/// copy.
#[tokio::test]
async fn slow_near_tier_does_not_delay_readers() {
    for len in [10, LARGE] {
        let near = Gated::new(Memory::default());
        let tiers = Tiered::new(near.clone(), far_only(len).await.far().clone());
        for _ in 0..3 {
            let read = stored_name(&tiers).now_or_never().expect("the read waits for nothing");
            assert_eq!(read.unwrap(), "old");
        }
        assert_eq!(counts(tiers.stats()), (0, 3, 0));
        near.open(100);
        assert_eq!(stored_name(&tiers).await.unwrap(), "old");
        assert_eq!(counts(tiers.stats()), (1, 3, 1));
    }
}

#[tokio::test]
async fn trailer_of_an_origin_is_not_taken_for_a_note() {
    let forged = "0 0 1 ffffffffffffffff 0 0 0";
    let mut trailers = HeaderMap::new();
    trailers.append("larder-note", HeaderValue::from_static(forged));
    trailers.append("x-last", HeaderValue::from_static("1"));
    let tiers = Tiered::new(Memory::default(), Memory::default());
    let writer = tiers.put(&KEY, head("old", T0)).await.unwrap();
    writer.finish(Some(trailers.clone())).await.unwrap();
    for _ in 0..2 {
        let hit = tiers.get(&KEY).await.unwrap().unwrap();
        assert_eq!(hit.head.trailers(), Some(&trailers));
        tiers.near().clear().await.unwrap();
    }
    assert!(stored_name(&tiers).await.is_some());
}

// ===== What outdates a copy =====

/// A far tier that makes a change and then never returns.
#[derive(Clone, Debug)]
struct Silent(Memory);

impl Store for Silent {
    type Writer = <Memory as Store>::Writer;

    async fn get(&self, key: &Key) -> larder::store::Result<Option<Hit>> {
        self.0.get(key).await
    }

    async fn put(&self, key: &Key, head: Head) -> larder::store::Result<Self::Writer> {
        self.0.put(key, head).await
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> larder::store::Result<bool> {
        assert!(self.0.update(key, seen, head).await?);
        pending().await
    }

    async fn remove(&self, key: &Key) -> larder::store::Result<bool> {
        assert!(self.0.remove(key).await?);
        pending().await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> larder::store::Result<bool> {
        assert!(self.0.remove_if(key, seen).await?);
        pending().await
    }

    async fn remove_expired(&self, now: Timestamp) -> larder::store::Result<u64> {
        assert_eq!(self.0.remove_expired(now).await?, 1);
        pending().await
    }

    async fn remove_tagged(&self, tag: &str) -> larder::store::Result<u64> {
        assert_eq!(self.0.remove_tagged(tag).await?, 1);
        pending().await
    }

    async fn clear(&self) -> larder::store::Result<()> {
        self.0.clear().await?;
        pending().await
    }

    fn scan(&self) -> impl Stream<Item = larder::store::Result<Scanned>> + Send + use<> {
        self.0.scan()
    }
}

/// The caller drops the change before the far tier has answered. A copy may be in progress.
#[tokio::test]
async fn abandoned_change_outdates_the_copy() {
    for is_copied in [true, false] {
        for change in CHANGES {
            if matches!(change, Change::Replace | Change::ReplaceByLarge) {
                continue;
            }
            let (near, far) = (Gated::new(Memory::default()), Memory::default());
            store(&far, "old", 10).await;
            let tiers = Tiered::new(near.clone(), Silent(far));
            if is_copied {
                near.open(100);
            }
            assert_eq!(stored_name(&tiers).await.unwrap(), "old");
            let mut changing = Box::pin(change.apply(&tiers));
            assert!(changing.as_mut().now_or_never().is_none());
            drop(changing);
            near.open(100);
            change.check(&tiers, &format!("copied {is_copied}")).await;
        }
    }
}

/// A change to an entry while it is copied.
#[derive(Clone, Copy, Debug)]
enum Change {
    Remove,
    RemoveIf,
    Tag,
    Expire,
    Clear,
    Update,
    Replace,
    ReplaceByLarge,
}

const CHANGES: [Change; 8] = [
    Change::Remove,
    Change::RemoveIf,
    Change::Tag,
    Change::Expire,
    Change::Clear,
    Change::Update,
    Change::Replace,
    Change::ReplaceByLarge,
];

impl Change {
    async fn apply<N: Store, F: Store>(self, tiers: &Tiered<N, F>) {
        let seen = tiers.far().get(&KEY).await.unwrap().unwrap().version;
        match self {
            Self::Remove => assert!(tiers.remove(&KEY).await.unwrap()),
            Self::RemoveIf => assert!(tiers.remove_if(&KEY, seen).await.unwrap()),
            Self::Tag => assert_eq!(tiers.remove_tagged("tag").await.unwrap(), 1),
            Self::Expire => assert_eq!(tiers.remove_expired(at(1_000)).await.unwrap(), 1),
            Self::Clear => tiers.clear().await.unwrap(),
            Self::Update => {
                let head = head("old", T0).with_tags(vec!["updated".into()]);
                assert!(tiers.update(&KEY, seen, head).await.unwrap());
            }
            Self::Replace => store(tiers, "new", 10).await,
            Self::ReplaceByLarge => store(tiers, "new", 2 << 20).await,
        }
    }

    /// Checks repeated reads after the change.
    async fn check<N: Store, F: Store>(self, tiers: &Tiered<N, F>, when: &str) {
        for _ in 0..3 {
            let hit = tiers.get(&KEY).await.unwrap();
            let head = hit.as_ref().map(|hit| &*hit.head);
            match self {
                Self::Update => {
                    let head = head.unwrap_or_else(|| panic!("{self:?} {when}"));
                    assert_eq!(&*head.tags()[0], "updated", "{when}");
                }
                Self::Replace | Self::ReplaceByLarge => {
                    assert_eq!(head.map(name), Some("new"), "{self:?} {when}");
                }
                _ => assert!(head.is_none(), "{self:?} {when}"),
            }
            if let Some(hit) = hit {
                read(hit.body).await;
            }
        }
    }
}

#[tokio::test]
async fn change_while_the_entry_is_read_outdates_the_copy() {
    for change in CHANGES {
        for chunks in 0..2 {
            let tiers = far_only(LARGE).await;
            let mut body = tiers.get(&KEY).await.unwrap().unwrap().body;
            for _ in 0..chunks {
                body.chunk().await.unwrap().unwrap();
            }
            change.apply(&tiers).await;
            read(body).await;
            change.check(&tiers, "during the body").await;
        }
    }
}

/// The change waits for the far tier, and a reader makes a copy meanwhile.
#[tokio::test]
async fn copy_made_during_a_change_is_not_read() {
    for change in CHANGES {
        for polls in 0..16 {
            let far = Faulty::new(far_only(LARGE).await.far().clone());
            far.wait(1);
            let tiers = Tiered::new(Memory::default(), far);
            let mut changing = Box::pin(change.apply(&tiers));
            let mut is_done = false;
            for _ in 0..polls {
                is_done = is_done || changing.as_mut().now_or_never().is_some();
            }
            // If `polls` is even, one reader reads the whole body before the change is over.
            // Another has only begun.
            let begun = tiers.get(&KEY).await.unwrap();
            if polls % 2 == 0 {
                stored_name(&tiers).await;
            }
            if !is_done {
                changing.await;
            }
            if let Some(begun) = begun {
                read(begun.body).await;
            }
            change.check(&tiers, "during the change").await;
        }
    }
}

/// A change does not wait for a copy that is being published. The copy is not read once it is
/// published, whether its reader has gone away or not.
#[tokio::test]
async fn change_while_the_copy_is_published_outdates_the_copy() {
    for change in CHANGES {
        for len in [10, LARGE] {
            let near = Gated::at_finish(Memory::default());
            let tiers = Tiered::new(near.clone(), far_only(len).await.far().clone());
            assert_eq!(stored_name(&tiers).await.unwrap(), "old");
            let is_write = matches!(change, Change::Replace);
            {
                let mut changing = pin!(change.apply(&tiers));
                let is_done = changing.as_mut().now_or_never().is_some();
                assert_eq!(is_done, !is_write, "{change:?}: only a write waits, for its own copy");
                near.publish(1);
                // The old copy comes first.
                if is_write {
                    near.publish(1);
                    changing.await;
                }
            }
            change.check(&tiers, "while the copy was published").await;
            near.publish(100);
            change.check(&tiers, "afterwards").await;
        }
    }
}

#[tokio::test]
async fn late_copy_of_a_replaced_entry_is_removed() {
    let near = Gated::at_finish(Memory::default());
    let tiers = Tiered::new(near.clone(), Memory::default());
    // Two writers: the first has stored its entry in the far tier, and its copy waits.
    let mut first = Box::pin(try_store(&tiers, "first", T0, 10));
    assert!(first.as_mut().now_or_never().is_none());
    let mut second = Box::pin(try_store(&tiers, "second", T0, 10));
    assert!(second.as_mut().now_or_never().is_none());
    near.publish(1);
    first.as_mut().now_or_never().expect("its copy is published").unwrap();
    assert_eq!(near.len().await.unwrap(), 0, "the first writer removes its copy");
    assert_eq!(stored_name(&tiers).await.unwrap(), "second");
    near.publish(10);
    second.await.unwrap();
    for _ in 0..2 {
        assert_eq!(stored_name(&tiers).await.unwrap(), "second");
    }
}

/// Another machine replaces the entry that was just written. No copy has the version of another
/// entry.
#[tokio::test]
async fn copy_has_the_version_of_its_own_entry() {
    for polls in 0..12 {
        let far = Faulty::new(Memory::default());
        far.wait(1);
        let tiers = Tiered::new(Memory::default(), far.clone());
        let mut writing = Box::pin(try_store(&tiers, "new", T0, 10));
        let mut is_done = false;
        for _ in 0..polls {
            is_done = is_done || writing.as_mut().now_or_never().is_some();
        }
        store(far.inner(), "other", 10).await;
        let other = far.inner().get(&KEY).await.unwrap().unwrap().version;
        if !is_done {
            writing.await.unwrap();
        }
        let hit = tiers.get(&KEY).await.unwrap().unwrap();
        let is_other = far.inner().get(&KEY).await.unwrap().unwrap().version == other;
        if is_other && hit.version == other {
            assert_eq!(name(&hit.head), "other", "after {polls} polls");
        }
    }
}

/// A request that is dropped may leave a write at any stage. Later reads return the far tier's
/// entry.
#[tokio::test]
async fn no_old_copy_is_read_after_an_abandoned_write() {
    let far = Gated::at_finish(Memory::default());
    let tiers = Tiered::new(Memory::default(), far.clone());
    far.publish(1);
    store(&tiers, "old", 10).await;
    assert_eq!(stored_name(&tiers).await.unwrap(), "old");
    {
        let mut writing = pin!(try_store(&tiers, "new", T0, 10));
        assert!(writing.as_mut().now_or_never().is_none());
    }
    assert_eq!(stored_name(&tiers).await.unwrap(), "old");
    // As if the far tier had published the entry after all.
    far.publish(1);
    store(&far, "new", 10).await;
    assert_eq!(stored_name(&tiers).await.unwrap(), "new");
    // The next write is copied again.
    far.publish(1);
    store(&tiers, "newer", 10).await;
    let near_hits = tiers.stats().near_hits;
    assert_eq!(stored_name(&tiers).await.unwrap(), "newer");
    assert_eq!(tiers.stats().near_hits, near_hits + 1);
}

/// If every listed entry is removed, no entry is read afterwards. This holds while other changes
/// and copies are in progress.
#[tokio::test]
async fn entry_that_is_not_listed_is_not_read() {
    for change in CHANGES {
        for is_copied in [true, false] {
            for (polls, reads_at) in (0..16).flat_map(|n| (0..=n).map(move |at| (n, at))) {
                let far = Silent(far_only(10).await.far().clone());
                let near = Faulty::new(Memory::default());
                let tiers = Tiered::new(near.clone(), far);
                if is_copied {
                    assert_eq!(stored_name(&tiers).await.unwrap(), "old");
                }
                near.wait(1);
                let mut changing = pin!(change.apply(&tiers));
                let mut reading = pin!(stored_name(&tiers));
                let (mut is_changed, mut is_read) = (false, false);
                for poll in 0..polls {
                    if poll >= reads_at && !is_read {
                        is_read = reading.as_mut().now_or_never().is_some();
                    }
                    is_changed = is_changed || changing.as_mut().now_or_never().is_some();
                }
                let listed: Vec<_> = tiers.scan().map(Result::unwrap).collect().await;
                for _ in 0..3 {
                    let Some(hit) = tiers.get(&KEY).await.unwrap() else { continue };
                    let when = format!("{change:?} {is_copied}, read at {reads_at}, {polls} polls");
                    assert_eq!(listed.len(), 1, "{when}");
                    assert_eq!(
                        (listed[0].version, &listed[0].head),
                        (hit.version, &hit.head),
                        "{when}"
                    );
                    read(hit.body).await;
                }
            }
        }
    }
}

/// A store may evict entries, and the far tier evicts other entries than the near one.
#[tokio::test]
async fn copy_of_an_evicted_entry_is_listed_and_can_be_removed() {
    let tiers = far_only(10).await;
    assert_eq!(stored_name(&tiers).await.unwrap(), "old");
    tiers.far().clear().await.unwrap();
    assert_eq!(stored_name(&tiers).await.unwrap(), "old");
    let listed: Vec<_> = tiers.scan().map(Result::unwrap).collect().await;
    assert_eq!((listed.len(), name(&listed[0].head)), (1, "old"));
    assert!(tiers.remove_if(&KEY, listed[0].version).await.unwrap());
    assert_eq!(stored_name(&tiers).await, None);
}

// ===== One tier without the other =====

type FaultyFar = Tiered<Memory, Faulty<Memory>>;

fn faulty_far() -> FaultyFar {
    Tiered::new(Memory::default(), Faulty::new(Memory::default()))
}

const WRITING: [Operation; 3] = [Operation::Put, Operation::Write, Operation::Finish];

#[tokio::test]
async fn entry_is_stored_near_when_the_far_tier_fails_to_write_it() {
    for operation in WRITING {
        let tiers = faulty_far();
        store(&tiers, "old", 10).await;
        tiers.far().fail(operation, ErrorKind::Unavailable);
        try_store(&tiers, "new", at(1), 10).await.unwrap();
        assert_eq!(tiers.stats().far_failures, 1, "{operation:?}");
        assert_eq!(stored_name(&tiers).await.unwrap(), "new", "{operation:?}");
        // The scan lists each key once, with the entry that is read.
        let listed: Vec<_> = tiers.scan().collect().await;
        let [Ok(item)] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!(name(&item.head), "new");
        let hit = tiers.get(&KEY).await.unwrap().unwrap();
        assert_eq!((item.version, &item.head), (hit.version, &hit.head));

        // The version of the far tier's entry is not the current one.
        let old = tiers.far().get(&KEY).await.unwrap().unwrap().version;
        assert!(!tiers.update(&KEY, old, head("late", T0)).await.unwrap());
        assert!(!tiers.remove_if(&KEY, old).await.unwrap());
        assert!(tiers.update(&KEY, hit.version, head("new", at(2))).await.unwrap());
        assert!(!tiers.update(&KEY, hit.version, head("late", at(3))).await.unwrap());
        let hit = tiers.get(&KEY).await.unwrap().unwrap();
        assert_eq!(hit.head.stored_at(), at(2));

        // After the removal, the entry that it had replaced does not come back.
        assert!(tiers.remove_if(&KEY, hit.version).await.unwrap());
        assert_eq!(stored_name(&tiers).await, None, "{operation:?}");

        // Large entries are stored in the far tier only.
        let error = try_store(&tiers, "large", at(4), 2 << 20).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        tiers.far().heal();
        store(&tiers, "again", 10).await;
        tiers.near().clear().await.unwrap();
        assert_eq!(stored_name(&tiers).await.unwrap(), "again");
    }
}

#[tokio::test]
async fn copies_are_served_while_the_far_tier_is_down() {
    let tiers = faulty_far();
    store(&tiers, "kept", 10).await;
    tiers.far().fail_from(1, ErrorKind::Unavailable);
    for _ in 0..2 {
        assert_eq!(stored_name(&tiers).await.unwrap(), "kept");
        // A failed write of an entry that is too large for the near tier changes nothing. A failed
        // update does not either.
        assert!(try_store(&tiers, "large", at(1), 2 << 20).await.is_err());
        let seen = tiers.get(&KEY).await.unwrap().unwrap().version;
        assert!(tiers.update(&KEY, seen, head("new", T0)).await.is_err());
    }
    assert!(tiers.get(&Key::from_bytes([2; 32])).await.is_err(), "the key may be in the far tier");
    assert!(tiers.remove(&KEY).await.is_err(), "the far tier still has the entry");
    tiers.far().heal();
    assert_eq!(stored_name(&tiers).await.unwrap(), "kept", "the removal failed, as its error said");
}

#[tokio::test]
async fn near_tier_removes_its_copies_when_the_far_tier_fails() {
    for way in 0..4 {
        let tiers = faulty_far();
        store(&tiers, "kept", 10).await;
        tiers.far().fail_from(1, ErrorKind::Unavailable);
        let is_err = match way {
            0 => tiers.remove(&KEY).await.is_err(),
            1 => tiers.remove_tagged("tag").await.is_err(),
            2 => tiers.remove_expired(at(1_000)).await.is_err(),
            _ => tiers.clear().await.is_err(),
        };
        assert!(is_err, "{way}");
        assert!(tiers.get(&KEY).await.is_err(), "{way}: the near tier has no copy");
        assert_eq!(tiers.near().len().await.unwrap(), 0);
    }
}

/// The near tier fails at a write, and may fail at the removal too. No old copy hides the new
/// entry.
#[tokio::test]
async fn entry_is_read_from_the_far_tier_when_the_near_copy_fails() {
    for operation in WRITING {
        for removes in [true, false] {
            let near = Faulty::new(Memory::default());
            let tiers = Tiered::new(near.clone(), Memory::default());
            store(&tiers, "old", 10).await;
            assert_eq!(
                (stored_name(&tiers).await.unwrap().as_str(), tiers.stats().near_hits),
                ("old", 1)
            );
            // The near tier fails at this operation. If `removes` is false, every later operation
            // fails as well.
            if removes {
                near.fail(operation, ErrorKind::Full);
            } else {
                near.fail_from(1, ErrorKind::Unavailable);
            }
            store(&tiers, "new", 10).await;
            near.heal();
            for _ in 0..3 {
                assert_eq!(stored_name(&tiers).await.unwrap(), "new", "{operation:?} {removes}");
            }
            assert!(tiers.stats().near_failures > 0);
            assert!(tiers.stats().near_hits > 1, "copied again");
        }
    }
}

#[tokio::test]
async fn removal_takes_effect_when_the_near_tier_fails_and_reports_it() {
    let near = Faulty::new(Memory::default());
    let tiers = Tiered::new(near.clone(), Memory::default());
    store(&tiers, "old", 10).await;
    near.fail(Operation::Remove, ErrorKind::Unavailable);
    assert!(tiers.remove(&KEY).await.is_err());
    near.heal();
    assert_eq!(near.inner().len().await.unwrap(), 1, "the near tier still has the old copy");
    assert_eq!(stored_name(&tiers).await, None);
    assert_eq!(near.inner().len().await.unwrap(), 0, "the read removes the old copy");
}

#[tokio::test]
async fn entry_too_large_for_the_near_tier_is_no_failure() {
    let tiers = Tiered::new(Memory::new(50_000), Memory::default());
    store(&tiers, "old", 10).await;
    store(&tiers, "new", LARGE).await;
    assert_eq!(stored_name(&tiers).await.unwrap(), "new");
    assert_eq!((tiers.stats().near_failures, tiers.near().len().await.unwrap()), (0, 0));
}

#[tokio::test]
async fn damaged_copy_is_replaced() {
    let near = Faulty::new(Memory::default());
    let tiers = Tiered::new(near.clone(), Memory::default());
    store(&tiers, "old", 10).await;
    near.fail_nth(1, ErrorKind::Corrupt);
    assert_eq!(stored_name(&tiers).await.unwrap(), "old");
    near.heal();
    assert_eq!(stored_name(&tiers).await.unwrap(), "old");
    assert_eq!(counts(tiers.stats()), (1, 1, 1));
}

// ===== Other machines =====

#[tokio::test]
async fn change_of_another_machine_is_seen_after_the_near_ttl() {
    let far = Faulty::new(Memory::default());
    let clock = ManualClock::new(T0);
    let tiers = || {
        Tiered::new(Memory::default(), far.clone())
            .near_ttl(Duration::from_secs(10))
            .clock(clock.clone())
    };
    let (here, elsewhere) = (tiers(), tiers());
    store(&here, "old", 10).await;
    store(&elsewhere, "new", 10).await;
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(stored_name(&here).await.unwrap(), "old");
    clock.advance(Duration::from_millis(1));
    assert_eq!(stored_name(&here).await.unwrap(), "new");
    assert_eq!(stored_name(&here).await.unwrap(), "new");
    // It is copied again, for another ten seconds.
    let far_hits = here.stats().far_hits;
    assert_eq!(stored_name(&here).await.unwrap(), "new");
    assert_eq!(here.stats().far_hits, far_hits);

    clock.advance(Duration::from_secs(10));
    far.fail(Operation::Get, ErrorKind::Unavailable);
    assert_eq!(stored_name(&here).await.unwrap(), "new", "the far tier does not answer");
    far.heal();
    assert!(elsewhere.remove(&KEY).await.unwrap());
    assert_eq!(stored_name(&here).await, None);
    assert_eq!(here.near().len().await.unwrap(), 0);

    // An update of an entry that another machine has replaced fails. The next read returns the new
    // entry.
    store(&here, "old", 10).await;
    let seen = here.get(&KEY).await.unwrap().unwrap().version;
    store(&elsewhere, "new", 10).await;
    assert!(!here.update(&KEY, seen, head("late", T0)).await.unwrap());
    assert_eq!(stored_name(&here).await.unwrap(), "new");
}

/// An entry that only the near tier has stays until the far tier has a newer one, or none.
#[tokio::test]
async fn newer_entry_wins_after_the_near_ttl() {
    let clock = ManualClock::new(T0);
    let tiers = faulty_far().near_ttl(Duration::from_secs(10)).clock(clock.clone());
    try_store(&tiers, "old", T0, 10).await.unwrap();
    let own = async |name| {
        tiers.far().fail(Operation::Put, ErrorKind::Full);
        try_store(&tiers, name, at(5), 10).await.unwrap();
        tiers.far().heal();
        clock.advance(Duration::from_secs(11));
    };
    own("own").await;
    assert_eq!(stored_name(&tiers).await.unwrap(), "own");
    try_store(tiers.far(), "newer", at(6), 10).await.unwrap();
    assert_eq!(stored_name(&tiers).await.unwrap(), "newer");
    own("own").await;
    tiers.far().clear().await.unwrap();
    assert_eq!(stored_name(&tiers).await, None);
}
