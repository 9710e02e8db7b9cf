//! Nothing half-written is visible, and replacing is atomic.

use futures_util::future;

use super::{
    super::{Store, Writer},
    support::*,
};

/// Before `finish`, an entry is not visible: not to `get`, not in a scan, not in a count.
pub async fn nothing_is_visible_before_finish<S: Store>(store: &S) {
    let key = key("new");
    let head = tagged("new", &["tag"]).with_expires_at(Some(at(-1)));
    let mut writer = store.put(&key, head).await.expect("`put` must take an entry");
    let pattern = Pattern::new(1);
    for written in [0, 10, 500_000, 2 << 20] {
        pattern.write(&mut writer, 0, written, 60_000).await;
        assert!(try_get(store, &key).await.is_none(), "an unfinished entry must not be found");
        assert_len!(store, 0, "an unfinished entry must not be counted");
        assert_listed!(store, 0, "an unfinished entry must not be listed");
    }
    assert!(!remove(store, &key).await, "an unfinished entry cannot be removed");
    assert_eq!(remove_expired(store, NOW).await, 0, "an unfinished entry cannot expire");
    assert_eq!(remove_tagged(store, "tag").await, 0, "an unfinished entry has no tags");
    writer.finish(None).await.expect("`finish` must publish the entry");
    assert!(try_get(store, &key).await.is_some(), "a finished entry must be found");
    assert_len!(store, 1, "a finished entry must be counted");
}

/// A dropped writer leaves nothing, however much was written, and the entry under its key stays.
pub async fn a_dropped_writer_leaves_nothing<S: Store>(store: &S) {
    store_named(store, "other").await;
    store_named(store, "replaced").await;
    let before = (len(store).await, size(store).await);
    let pattern = Pattern::new(2);
    for name in ["new", "replaced"] {
        for written in [0, 1, 40_000, 3 << 20] {
            let head = tagged(name, &["dropped"]).with_expires_at(Some(at(-1)));
            let mut writer = store.put(&key(name), head).await.expect("`put` must take an entry");
            pattern.write(&mut writer, 0, written, 100_000).await;
            drop(writer);
        }
    }
    assert!(!has(store, "new").await, "a dropped writer's entry must not be found");
    assert_eq!(remove_expired(store, NOW).await, 0, "a dropped writer must leave no expiry");
    assert_eq!(remove_tagged(store, "dropped").await, 0, "a dropped writer must leave no tag");
    let after = (len(store).await, size(store).await);
    assert_eq!(after, before, "a dropped writer must leave nothing in (len, size_bytes)");
    for name in ["other", "replaced"] {
        let hit = get(store, &key(name)).await;
        assert_eq!(name_of(&hit.head), name, "what was there must stay");
        assert_eq!(read(hit.body).await, name.as_bytes(), "what was there must stay");
    }
}

/// A writer that is [aborted](Writer::abort) leaves nothing, and the entry under its key stays.
pub async fn an_aborted_writer_leaves_nothing<S: Store>(store: &S) {
    store_named(store, "replaced").await;
    let before = (len(store).await, size(store).await);
    let pattern = Pattern::new(2);
    for name in ["new", "replaced"] {
        for written in [0, 1, 40_000, 3 << 20] {
            let head = tagged(name, &["aborted"]);
            let mut writer = store.put(&key(name), head).await.expect("`put` must take an entry");
            pattern.write(&mut writer, 0, written, 100_000).await;
            writer.abort().await;
            let after = (len(store).await, size(store).await);
            assert_eq!(after, before, "`abort` must leave nothing in (len, size_bytes)");
        }
    }
    assert!(!has(store, "new").await, "an aborted writer's entry must not be found");
    assert_eq!(remove_tagged(store, "aborted").await, 0, "`abort` must leave no tag");
    let hit = get(store, &key("replaced")).await;
    assert_eq!(read(hit.body).await, b"replaced", "what was there must stay");
}

/// The old entry is visible until the new one is finished. From then on, the new one is.
pub async fn an_entry_stays_until_its_replacement_is_finished<S: Store>(store: &S) {
    let key = key("replaced");
    let (old, new) = (Pattern::new(1), Pattern::new(2));
    old.store(store, &key, head("old"), 700_000, 100_000).await;
    let mut writer = store.put(&key, head("new")).await.expect("`put` must take an entry");
    for part in 0..4 {
        new.write(&mut writer, part * 100_000, (part + 1) * 100_000, 30_000).await;
        let hit = get(store, &key).await;
        assert_eq!(name_of(&hit.head), "old", "the old head must stay until `finish`");
        old.check(hit.body, 700_000).await;
    }
    writer.finish(None).await.expect("`finish` must publish the entry");
    let hit = get(store, &key).await;
    assert_eq!(name_of(&hit.head), "new", "`finish` must replace the head");
    new.check(hit.body, 400_000).await;
    assert_len!(store, 1, "replacing must leave one entry");
}

/// A reader gets the bytes of the entry that it began on, or an error, whatever happens to the
/// entry.
pub async fn a_reader_never_sees_a_mixture<S: Store>(store: &S) {
    const LEN: u64 = 3 << 20;
    let key = key("read");
    let (old, new) = (Pattern::new(1), Pattern::new(2));
    // A new body of the same length, which no length check notices; a shorter one; and none.
    for (what, replacement) in [
        ("replaced", Some(LEN)),
        ("replaced by less", Some(5)),
        ("removed", None),
        ("cleared", None),
    ] {
        for chunks_before in [0, 1] {
            old.store(store, &key, head("old"), LEN, 100_000).await;
            let mut body = get(store, &key).await.body;
            let mut offset = 0;
            for _ in 0..chunks_before {
                let chunk = body.chunk().await.expect("a first chunk");
                let chunk = chunk.expect("a body that nobody touches must be read");
                assert!(old.matches(offset, &chunk), "the first chunk must be the old body's");
                offset += chunk.len() as u64;
            }
            match replacement {
                Some(len) => new.store(store, &key, head("new"), len, 100_000).await,
                None if what == "cleared" => {
                    if !clear(store).await {
                        continue;
                    }
                }
                None => assert!(remove(store, &key).await, "the entry must be there"),
            }
            while let Some(Ok(chunk)) = body.chunk().await {
                assert!(
                    old.matches(offset, &chunk),
                    "a reader of an entry that is {what} must not get bytes of another, at {offset}"
                );
                offset += chunk.len() as u64;
            }
            assert!(offset <= LEN, "a reader must not get more than the old body");
        }
    }
}

/// Of two writers of one key, the one that finishes last determines the entry, whichever began
/// first.
pub async fn the_writer_that_finishes_last_wins<S: Store>(store: &S) {
    let key = key("contested");
    let (first, second) = (Pattern::new(1), Pattern::new(2));
    let mut one = store.put(&key, head("first")).await.expect("`put` must take an entry");
    let mut two = store.put(&key, head("second")).await.expect("a second `put` must be taken");
    for part in 0..5 {
        first.write(&mut one, part * 50_000, (part + 1) * 50_000, 20_000).await;
        second.write(&mut two, part * 60_000, (part + 1) * 60_000, 30_000).await;
    }
    two.finish(None).await.expect("`finish` must publish the entry");
    let hit = get(store, &key).await;
    assert_eq!(name_of(&hit.head), "second", "the entry that was finished must be there");
    second.check(hit.body, 300_000).await;
    one.finish(None).await.expect("`finish` must publish the entry");
    let hit = get(store, &key).await;
    assert_eq!(name_of(&hit.head), "first", "the entry that was finished last must be there");
    first.check(hit.body, 250_000).await;
    assert_len!(store, 1, "one key must be one entry");
}

/// With many writers of one key, a reader finds nothing, or one writer's whole entry.
pub async fn concurrent_writers_of_one_key_leave_one_whole_entry<S: Store>(store: &S) {
    let key = key("contested");
    let patterns: Vec<_> = (0..12).map(Pattern::new).collect();
    // Lengths on both sides of the limits at which stores change how they keep a body.
    let len = |number: usize| 100 + 40_000 * number as u64;
    let whole = async || {
        let Some(hit) = try_get(store, &key).await else {
            return false;
        };
        let number: usize = name_of(&hit.head).parse().expect("a head that was written");
        assert_eq!(hit.head.body_len(), len(number), "head and body must belong together");
        // The entry may be replaced meanwhile, and the read may then fail.
        if let Some(body) = try_read(hit.body).await {
            assert!(patterns[number].is(&body, len(number)), "head and body must belong together");
        }
        true
    };
    let writers = patterns.iter().enumerate().map(async |(number, pattern)| {
        pattern.store(store, &key, head(&number.to_string()), len(number), 9_000).await;
    });
    let readers = (0..4).map(async |_| {
        for _ in 0..40 {
            whole().await;
            yield_now().await;
        }
    });
    future::join(future::join_all(writers), future::join_all(readers)).await;
    assert!(whole().await, "one of the entries must be there");
    assert_len!(store, 1, "one key must be one entry");
}

/// Entries that are written at the same time are all stored.
pub async fn concurrent_writers_of_many_keys_leave_all_of_them<S: Store>(store: &S) {
    let patterns: Vec<_> = (0..200).map(Pattern::new).collect();
    let body_len = |number: usize| number as u64 * 997;
    future::join_all(patterns.iter().enumerate().map(async |(number, pattern)| {
        let name = number.to_string();
        pattern.store(store, &key(&name), head(&name), body_len(number), 10_000).await;
    }))
    .await;
    assert_len!(store, 200, "every entry must be counted");
    for (number, pattern) in patterns.iter().enumerate() {
        let name = number.to_string();
        let hit = get(store, &key(&name)).await;
        assert_eq!(name_of(&hit.head), name, "each key must have its own entry");
        pattern.check(hit.body, body_len(number)).await;
    }
}

/// An unfinished writer blocks no other operation.
pub async fn an_open_writer_blocks_nothing<S: Store>(store: &S) {
    let pattern = Pattern::new(1);
    let slow = key("slow");
    let mut writer = store.put(&slow, head("slow")).await.expect("`put` must take an entry");
    pattern.write(&mut writer, 0, 1 << 20, 100_000).await;

    store_at(store, &key("quick"), tagged("quick", &["tag"]), "quick").await;
    let seen = version(store, &key("quick")).await;
    assert!(update(store, &key("quick"), seen, tagged("newer", &["tag"])).await);
    assert_eq!(name_of(&get(store, &key("quick")).await.head), "newer");
    assert_listed!(store, 1, "the finished entry must be listed");
    assert_eq!(remove_expired(store, NOW).await, 0);
    assert_eq!(remove_tagged(store, "tag").await, 1);

    pattern.write(&mut writer, 1 << 20, 2 << 20, 100_000).await;
    writer.finish(None).await.expect("`finish` must publish the entry");
    pattern.check(get(store, &slow).await.body, 2 << 20).await;
}

/// An unfinished reader blocks no other operation.
pub async fn an_open_reader_blocks_nothing<S: Store>(store: &S) {
    let pattern = Pattern::new(1);
    let slow = key("slow");
    pattern.store(store, &slow, head("slow"), 2 << 20, 100_000).await;
    let mut body = get(store, &slow).await.body;
    let first = body.chunk().await.expect("a first chunk").expect("a sound chunk");

    store_at(store, &key("quick"), tagged("quick", &["tag"]), "quick").await;
    let seen = version(store, &key("quick")).await;
    assert!(update(store, &key("quick"), seen, tagged("newer", &["tag"])).await);
    assert_listed!(store, 2, "both entries must be listed");
    assert_eq!(remove_tagged(store, "tag").await, 1);

    let rest = read(body).await;
    assert!(pattern.matches(0, &first) && pattern.matches(first.len() as u64, &rest));
    assert_eq!((first.len() + rest.len()) as u64, 2 << 20, "the body must come back whole");
}

/// A reader that goes away, before or during the body, leaves the entry unchanged and blocks
/// nothing.
pub async fn a_body_may_be_dropped_midway<S: Store>(store: &S) {
    let key = key("dropped");
    let pattern = Pattern::new(1);
    pattern.store(store, &key, head("dropped"), 2 << 20, 100_000).await;
    for chunks in 0..20 {
        let mut body = get(store, &key).await.body;
        for _ in 0..chunks % 3 {
            // A store may return the whole body at once.
            if let Some(chunk) = body.chunk().await {
                chunk.expect("a sound chunk");
            }
        }
    }
    pattern.check(get(store, &key).await.body, 2 << 20).await;
    assert!(remove(store, &key).await, "an entry must be removable after readers went away");
    assert!(try_get(store, &key).await.is_none());
}

/// Two readers of one body, which take turns, do not disturb each other.
pub async fn two_readers_read_one_large_body<S: Store>(store: &S) {
    const LEN: u64 = 8 << 20;
    let key = key("shared");
    let pattern = Pattern::new(8);
    pattern.store(store, &key, head("shared"), LEN, 100_000).await;
    let mut bodies = [(0, get(store, &key).await.body), (0, get(store, &key).await.body)];
    let mut open = true;
    while open {
        open = false;
        for (offset, body) in &mut bodies {
            let Some(chunk) = body.chunk().await else {
                continue;
            };
            let chunk = chunk.expect("a sound chunk");
            assert!(pattern.matches(*offset, &chunk), "each reader must get the body's bytes");
            *offset += chunk.len() as u64;
            open = true;
        }
    }
    assert_eq!(bodies.map(|(offset, _)| offset), [LEN; 2], "each reader must get the whole body");
}
