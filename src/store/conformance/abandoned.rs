//! Abandoned operations: nobody waits for them any more.

use super::{
    super::{Store, Writer},
    support::*,
};
use crate::key::Key;

/// After how many polls an operation is abandoned: at each of its steps, if a store has no more
/// steps.
const POLLS: std::ops::Range<usize> = 1..6;

/// How often to check whether an abandoned operation was done after all.
const ASKED: usize = 12;

/// A caller may abandon an operation at any point. It is then done or not done.
pub async fn abandoned_operations_are_done_or_not<S: Store>(store: &S) {
    let (old, new) = (Pattern::new(1), Pattern::new(2));
    for (number, len) in [10, 2 << 20].into_iter().enumerate() {
        for polls in 0..6 {
            let key = key(format!("{number} {polls}"));
            old.store(store, &key, tagged("old", &["tag"]), 100, 100).await;
            // The entry that is there must be whole. Checked several times, since an abandoned
            // operation may still be done.
            let is_whole = async |names: &[&str]| {
                for _ in 0..3 {
                    let Some(hit) = try_get(store, &key).await else {
                        assert!(
                            names.contains(&"nothing"),
                            "the entry is gone, with {names:?} due"
                        );
                        continue;
                    };
                    assert!(names.contains(&name_of(&hit.head)), "one of {names:?} must be there");
                    let (pattern, len) =
                        if name_of(&hit.head) == "new" { (&new, len) } else { (&old, 100) };
                    assert_eq!(hit.head.body_len(), len, "head and body must belong together");
                    if let Some(body) = try_read(hit.body).await {
                        assert!(pattern.is(&body, len), "head and body must belong together");
                    }
                    yield_now().await;
                }
            };
            let seen = version(store, &key).await;
            abandon(store.update(&key, seen, head("updated")), polls).await;
            is_whole(&["old", "updated"]).await;
            let mut writer = store.put(&key, head("new")).await.expect("`put` must take an entry");
            new.write(&mut writer, 0, len, 100_000).await;
            abandon(writer.finish(None), polls).await;
            is_whole(&["old", "updated", "new"]).await;
            abandon(store.remove(&key), polls).await;
            is_whole(&["old", "updated", "new", "nothing"]).await;
        }
    }
}

/// A removed entry stays away, even if a write of it was abandoned before. That write is done
/// before the removal, or not at all.
pub async fn abandoned_writes_do_not_come_after_a_removal<S: Store>(store: &S) {
    let pattern = Pattern::new(1);
    let mut all = Vec::new();
    for removal in ["remove", "remove_if", "remove_expired", "remove_tagged", "clear"] {
        for (len, polls) in POLLS.flat_map(|polls| [(10, polls), (600_000, polls)]) {
            let tag = format!("{removal} {len} {polls}");
            let key = key(&tag);
            store_at(store, &key, tagged("old", &[&tag]), "old").await;
            let seen = version(store, &key).await;
            let head = tagged("new", &[&tag]).with_expires_at(Some(at(-1)));
            let mut writer = store.put(&key, head).await.expect("`put` must take an entry");
            pattern.write(&mut writer, 0, len, 100_000).await;
            abandon(writer.finish(None), polls).await;
            // The entries that must not be found any more.
            let gone: &[&str] = match removal {
                "remove" => {
                    remove(store, &key).await;
                    &["old", "new"]
                }
                "remove_if" => match store.remove_if(&key, seen).await.expect("it must answer") {
                    // The new entry was not there yet, so it must never appear.
                    true => &["old", "new"],
                    false => &["old"],
                },
                "remove_expired" => {
                    remove_expired(store, NOW).await;
                    &["new"]
                }
                "remove_tagged" => {
                    remove_tagged(store, &tag).await;
                    &["old", "new"]
                }
                _ => {
                    if !clear(store).await {
                        continue;
                    }
                    &["old", "new"]
                }
            };
            for _ in 0..ASKED {
                stays_away(store, &key, gone, &tag).await;
                yield_now().await;
            }
            all.push((key, gone, tag));
        }
    }
    for (key, gone, tag) in all {
        stays_away(store, &key, gone, &tag).await;
    }
    // The entry that an abandoned update changes is removed by its new tag, or never has that tag.
    for polls in POLLS {
        let (key, tag) = (key(format!("update {polls}")), format!("updated {polls}"));
        store_at(store, &key, head("old"), "old").await;
        let seen = version(store, &key).await;
        abandon(store.update(&key, seen, tagged("updated", &[&tag])), polls).await;
        remove_tagged(store, &tag).await;
        for _ in 0..ASKED {
            if let Some(hit) = try_get(store, &key).await {
                let tagged = hit.head.tags().iter().any(|other| **other == *tag);
                assert!(
                    !tagged,
                    "an entry that was removed by its tag must stay away, even if the update that gave it \
                     the tag was abandoned before, after {polls} polls"
                );
            }
            yield_now().await;
        }
    }
}

async fn stays_away<S: Store>(store: &S, key: &Key, gone: &[&str], which: &str) {
    let Some(hit) = try_get(store, key).await else { return };
    let name = name_of(&hit.head);
    assert!(
        !gone.contains(&name),
        "a removed entry must stay away, even if a `finish` was abandoned before; the {name} entry is \
         there (removal, length of the body, polls: {which})"
    );
}

/// The entry that was written last is there, even if another write of the same key was abandoned
/// before.
pub async fn abandoned_writes_do_not_replace_a_later_write<S: Store>(store: &S) {
    let pattern = Pattern::new(1);
    let mut keys = Vec::new();
    for (len, polls) in POLLS.flat_map(|polls| [(10, polls), (600_000, polls)]) {
        let key = key(format!("{len} {polls}"));
        store_at(store, &key, head("old"), "old").await;
        let seen = version(store, &key).await;
        abandon(store.update(&key, seen, head("updated")), polls).await;
        let mut writer = store.put(&key, head("first")).await.expect("`put` must take an entry");
        pattern.write(&mut writer, 0, len, 100_000).await;
        abandon(writer.finish(None), polls).await;
        store_at(store, &key, head("second"), "second").await;
        for _ in 0..ASKED {
            let name = get(store, &key).await;
            let name = name_of(&name.head);
            assert_eq!(
                name, "second",
                "the last written entry must be there, even if another write was abandoned before, \
                 after {polls} polls"
            );
            yield_now().await;
        }
        keys.push(key);
    }
    for key in keys {
        let hit = get(store, &key).await;
        assert_eq!(name_of(&hit.head), "second", "the last written entry must be there");
        assert_eq!(read(hit.body).await, b"second", "head and body must belong together");
    }
}
