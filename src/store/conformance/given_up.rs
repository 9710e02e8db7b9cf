//! Operations that nobody waits for any more.

use super::{
    super::{Store, Writer},
    support::*,
};
use crate::key::Key;

/// After how many polls an operation is given up: at each of its steps, where a store has no more of them than these.
const POLLS: std::ops::Range<usize> = 1..6;

/// How many times it is asked whether what was given up has been done after all.
const ASKED: usize = 12;

/// Whoever waits for an operation may stop waiting, at any point of it: then it is done, or it is not.
pub async fn an_operation_that_is_given_up_is_done_or_not<S: Store>(store: &S) {
    let (old, new) = (Pattern::new(1), Pattern::new(2));
    for (number, len) in [10, 2 << 20].into_iter().enumerate() {
        for polls in 0..6 {
            let key = key(format!("{number} {polls}"));
            old.store(store, &key, tagged("old", &["tag"]), 100, 100).await;
            // What is there, whole: asked several times, for what was given up may still be done.
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
            give_up(store.update(&key, seen, head("updated")), polls).await;
            is_whole(&["old", "updated"]).await;
            let mut writer = store.put(&key, head("new")).await.expect("`put` must take an entry");
            new.write(&mut writer, 0, len, 100_000).await;
            give_up(writer.finish(None), polls).await;
            is_whole(&["old", "updated", "new"]).await;
            give_up(store.remove(&key), polls).await;
            is_whole(&["old", "updated", "new", "nothing"]).await;
        }
    }
}

/// What was removed stays away, also where a write of it was given up before: that is done before the removal, or not at
/// all.
pub async fn what_was_given_up_does_not_come_behind_a_removal<S: Store>(store: &S) {
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
            give_up(writer.finish(None), polls).await;
            // What must not be found any more.
            let gone: &[&str] = match removal {
                "remove" => {
                    remove(store, &key).await;
                    &["old", "new"]
                }
                "remove_if" => match store.remove_if(&key, seen).await.expect("it must answer") {
                    // The new one was not there yet, and so it never is.
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
    // What an update was to make of it is removed by the new tag, or never is.
    for polls in POLLS {
        let (key, tag) = (key(format!("update {polls}")), format!("updated {polls}"));
        store_at(store, &key, head("old"), "old").await;
        let seen = version(store, &key).await;
        give_up(store.update(&key, seen, tagged("updated", &[&tag])), polls).await;
        remove_tagged(store, &tag).await;
        for _ in 0..ASKED {
            if let Some(hit) = try_get(store, &key).await {
                let tagged = hit.head.tags().iter().any(|other| **other == *tag);
                assert!(
                    !tagged,
                    "what was removed by its tag must stay away, though the update that gave it \
                     the tag was given up before, after {polls} polls"
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
        "what was removed must stay away, though a `finish` was given up before; the {name} entry is \
         there (removal, length of the body, polls: {which})"
    );
}

/// What was written last is there, also where another write of the same key was given up before.
pub async fn what_was_given_up_does_not_replace_a_later_write<S: Store>(store: &S) {
    let pattern = Pattern::new(1);
    let mut keys = Vec::new();
    for (len, polls) in POLLS.flat_map(|polls| [(10, polls), (600_000, polls)]) {
        let key = key(format!("{len} {polls}"));
        store_at(store, &key, head("old"), "old").await;
        let seen = version(store, &key).await;
        give_up(store.update(&key, seen, head("updated")), polls).await;
        let mut writer = store.put(&key, head("first")).await.expect("`put` must take an entry");
        pattern.write(&mut writer, 0, len, 100_000).await;
        give_up(writer.finish(None), polls).await;
        store_at(store, &key, head("second"), "second").await;
        for _ in 0..ASKED {
            let name = get(store, &key).await;
            let name = name_of(&name.head);
            assert_eq!(
                name, "second",
                "what was written last must be there, though another write was given up before, \
                 after {polls} polls"
            );
            yield_now().await;
        }
        keys.push(key);
    }
    for key in keys {
        let hit = get(store, &key).await;
        assert_eq!(name_of(&hit.head), "second", "what was written last must be there");
        assert_eq!(read(hit.body).await, b"second", "head and body must belong together");
    }
}
