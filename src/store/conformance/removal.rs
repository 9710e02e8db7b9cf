//! Removals, by key, by expiry and by tag.

use futures_util::{StreamExt, stream};

use super::{super::Store, support::*};
use crate::time::Timestamp;

/// A removed entry is not found, counted or listed. Removing a missing entry returns `false`.
pub async fn a_removed_entry_is_gone<S: Store>(store: &S) {
    assert!(!remove(store, &key("never")).await, "nothing was there to remove");
    for name in ["removed", "other"] {
        store_named(store, name).await;
    }
    assert!(remove(store, &key("removed")).await, "the entry was there");
    assert!(!has(store, "removed").await, "a removed entry must not be found");
    assert!(!remove(store, &key("removed")).await, "nothing is there to remove any more");
    assert_len!(store, 1, "a removed entry must not be counted");
    let listed = scan(store).await.unwrap_or_default();
    assert!(listed.iter().all(|item| item.key == key("other")), "a removed entry is not listed");
    assert!(has(store, "other").await, "another entry must stay");
    store_named(store, "removed").await;
    assert!(has(store, "removed").await, "a removed entry can be written again");
}

/// An expired entry stays until the time until which its head is to be kept.
pub async fn an_entry_is_kept_beyond_its_expiry_where_its_head_says_so<S: Store>(store: &S) {
    let kept = |name: &str, keep_until| expiring(name, at(-1)).with_keep_until(keep_until);
    store_at(store, &key("stale"), kept("stale", Some(at(1))), "body").await;
    store_at(store, &key("forever"), kept("forever", None), "body").await;
    store_at(store, &key("late"), expiring("late", at(-1)), "body").await;
    // An update can set a later time.
    let seen = version(store, &key("late")).await;
    assert!(update(store, &key("late"), seen, kept("late", Some(at(1)))).await);
    assert_eq!(remove_expired(store, at(0)).await, 0, "what is kept is not removed");
    assert_eq!(remove_expired(store, at(1)).await, 2, "what is kept no longer is");
    assert!(has(store, "forever").await);
}

/// `remove_expired` removes entries whose expiry is at or before the given time, and only those.
pub async fn an_entry_expires_at_its_very_time<S: Store>(store: &S) {
    for (name, expires_at) in [
        ("long ago", Timestamp::MIN),
        ("before", at(-1)),
        ("at", at(0)),
        ("after", at(1)),
        ("last", Timestamp::MAX),
    ] {
        // Two of each, for an index that could only hold one row for a time.
        for twin in ["one", "two"] {
            let name = format!("{name} {twin}");
            store_at(store, &key(&name), expiring(&name, expires_at), "body").await;
        }
    }
    store_named(store, "never").await;

    let there = async |expected: &[&str]| {
        for name in ["long ago", "before", "at", "after", "last"] {
            for twin in ["one", "two"] {
                assert_eq!(
                    has(store, &format!("{name} {twin}")).await,
                    expected.contains(&name),
                    "whether the entry that expires {name} is there, with {expected:?} expected"
                );
            }
        }
        assert!(has(store, "never").await, "an entry without expiry must stay");
        assert_len!(store, 2 * expected.len() as u64 + 1);
    };
    if has(store, "long ago one").await {
        there(&["long ago", "before", "at", "after", "last"]).await;
        assert_eq!(remove_expired(store, Timestamp::MIN).await, 2, "two expire at the first time");
    } else {
        // An engine with its own clock may have removed them already: a store may forget.
        remove_expired(store, Timestamp::MIN).await;
    }
    there(&["before", "at", "after", "last"]).await;
    assert_eq!(remove_expired(store, at(-2)).await, 0, "nothing has expired yet");
    assert_eq!(remove_expired(store, at(-1)).await, 2, "an entry expires at its very time");
    there(&["at", "after", "last"]).await;
    assert_eq!(remove_expired(store, at(0)).await, 2, "an entry expires at its very time");
    there(&["after", "last"]).await;
    assert_eq!(remove_expired(store, at(0)).await, 0, "what has expired is removed once");
    assert_eq!(remove_expired(store, at(1_000_000)).await, 2, "an entry expires after its time");
    there(&["last"]).await;
    assert_eq!(remove_expired(store, Timestamp::MAX).await, 2, "the last time comes");
    there(&[]).await;
}

/// An entry's expiry is that of its current head.
pub async fn the_expiry_index_follows_replacement_update_and_removal<S: Store>(store: &S) {
    let entry = async |name: &str, expires_at: Option<Timestamp>| {
        store_at(store, &key(name), head(name).with_expires_at(expires_at), "body").await;
    };
    let updated = async |name: &str, expires_at: Option<Timestamp>| {
        let seen = version(store, &key(name)).await;
        let head = head(name).with_expires_at(expires_at);
        assert!(update(store, &key(name), seen, head).await);
    };
    entry("replaced by a later one", Some(at(10))).await;
    entry("replaced by a later one", Some(at(100))).await;
    entry("replaced by one without", Some(at(10))).await;
    entry("replaced by one without", None).await;
    entry("replaced by an earlier one", Some(at(100))).await;
    entry("replaced by an earlier one", Some(at(10))).await;
    entry("replaced by the same", Some(at(10))).await;
    entry("replaced by the same", Some(at(10))).await;
    entry("updated to a later one", Some(at(10))).await;
    updated("updated to a later one", Some(at(100))).await;
    entry("updated to one without", Some(at(10))).await;
    updated("updated to one without", None).await;
    entry("updated from one without", None).await;
    updated("updated from one without", Some(at(10))).await;
    entry("updated to the same", Some(at(10))).await;
    updated("updated to the same", Some(at(10))).await;
    entry("removed", Some(at(10))).await;
    assert!(remove(store, &key("removed")).await);

    assert_eq!(remove_expired(store, at(10)).await, 4, "four entries expire at the first time");
    for name in [
        "replaced by a later one",
        "replaced by one without",
        "updated to a later one",
        "updated to one without",
    ] {
        assert!(has(store, name).await, "an expiry of the past must not remove what is {name}");
    }
    assert_len!(store, 4);
    // An entry that is written again has no old expiry.
    entry("replaced by the same", None).await;
    assert_eq!(remove_expired(store, at(50)).await, 0, "removed entries must leave no expiry");
    assert_eq!(remove_expired(store, at(100)).await, 2, "two entries expire at the second time");
    assert!(has(store, "replaced by the same").await);
}

/// `remove_tagged` removes every entry with the tag, once each, and no other. An entry may have
/// several tags.
pub async fn a_tag_removes_what_carries_it_and_nothing_else<S: Store>(store: &S) {
    for (name, tags) in [
        ("none", &[][..]),
        ("a", &["a"]),
        ("b", &["b"]),
        ("a b", &["a", "b"]),
        ("b a c", &["b", "a", "c"]),
        ("c c", &["c", "c"]),
    ] {
        store_at(store, &key(name), tagged(name, tags), "body").await;
    }
    assert_eq!(remove_tagged(store, "unknown").await, 0, "no entry has this tag");
    assert_eq!(remove_tagged(store, "a").await, 3, "three entries have this tag");
    for (name, there) in
        [("none", true), ("a", false), ("b", true), ("a b", false), ("b a c", false), ("c c", true)]
    {
        assert_eq!(has(store, name).await, there, "whether the entry {name:?} is there");
    }
    assert_eq!(remove_tagged(store, "a").await, 0, "what has gone leaves no tag");
    assert_eq!(remove_tagged(store, "b").await, 1, "what has gone leaves none of its tags");
    assert_eq!(remove_tagged(store, "c").await, 1, "an entry with a tag twice is one entry");
    assert!(has(store, "none").await, "an entry without tags must stay");
    assert_len!(store, 1);
}

/// Any string is a tag, and two different strings are two tags: prefixes, other cases, characters
/// with a meaning in an engine, and characters that look alike.
pub async fn tags_of_any_characters_are_told_apart<S: Store>(store: &S) {
    let long = "long".repeat(500);
    let longer = "long".repeat(501);
    let tags = [
        "",
        " ",
        "  ",
        "a",
        "A",
        "aa",
        "aaa",
        "a ",
        " a",
        "a\0",
        "a\0b",
        "\0",
        "a:b",
        "a,b",
        "a/b",
        "*",
        "a*",
        "?",
        "[a]",
        "%",
        "_",
        "a%",
        "'",
        "\"",
        "\\",
        ";--",
        "{a}",
        "$a",
        ".",
        "\n",
        "\r\n",
        "ä",
        "a\u{308}",
        "ß",
        "🦀",
        "\u{10ffff}",
        &long,
        &longer,
    ];
    for (number, tag) in tags.iter().enumerate() {
        let name = number.to_string();
        store_at(store, &key(&name), tagged(&name, &[*tag]), "body").await;
    }
    for (number, tag) in tags.iter().enumerate() {
        assert_eq!(remove_tagged(store, tag).await, 1, "one entry has the tag {tag:?}");
        assert!(!has(store, &number.to_string()).await, "the entry with {tag:?} must be gone");
        assert_len!(store, (tags.len() - number - 1) as u64);
    }
}

/// An entry's tags are those of its current head.
pub async fn the_tag_index_follows_replacement_update_and_removal<S: Store>(store: &S) {
    store_at(store, &key("replaced"), tagged("replaced", &["old", "both"]), "body").await;
    store_at(store, &key("replaced"), tagged("replaced", &["new", "both"]), "body").await;
    store_at(store, &key("updated"), tagged("updated", &["old", "both"]), "body").await;
    let seen = version(store, &key("updated")).await;
    assert!(update(store, &key("updated"), seen, tagged("updated", &["new", "both"])).await);
    store_at(store, &key("removed"), tagged("removed", &["old", "new", "both"]), "body").await;
    assert!(remove(store, &key("removed")).await);
    store_at(store, &key("expired"), tagged("e", &["new"]).with_expires_at(Some(NOW)), "e").await;
    assert_eq!(remove_expired(store, NOW).await, 1);

    assert_eq!(remove_tagged(store, "old").await, 0, "tags of the past must remove nothing");
    assert_len!(store, 2);
    assert_eq!(remove_tagged(store, "new").await, 2, "present tags must remove");
    assert_eq!(remove_tagged(store, "both").await, 0, "what has gone leaves no tag");
    assert_len!(store, 0);
}

/// After `clear`, the store is empty, no index remembers anything, and the store can be used.
pub async fn a_cleared_store_is_like_a_new_one<S: Store>(store: &S) {
    let empty = size(store).await;
    if !clear(store).await {
        return;
    }
    for round in 0..2 {
        for number in 0..600 {
            let name = number.to_string();
            let head = tagged(&name, &["tag"]).with_expires_at(Some(at(-1)));
            store_at(store, &key(&name), head, "body").await;
        }
        let large = Pattern::new(1);
        large.store(store, &key("large"), head("large"), 2 << 20, 100_000).await;
        assert_len!(store, 601, "in round {round}");

        clear(store).await;
        assert_len!(store, 0, "a cleared store has no entries");
        assert_eq!(size(store).await, empty, "a cleared store is as small as an empty one");
        assert_listed!(store, 0, "a cleared store lists nothing");
        assert!(!has(store, "0").await && !has(store, "large").await);
        assert_eq!(remove_expired(store, NOW).await, 0, "a cleared store has no expiries");
        assert_eq!(remove_tagged(store, "tag").await, 0, "a cleared store has no tags");
    }
}

/// Of ten thousand entries, a thousand expire: only these are removed.
pub async fn a_thousand_of_ten_thousand_expire<S: Store>(store: &S) {
    let expires_at = |number: u64| match number % 10 {
        3 => Some(at(-1)),
        4 => None,
        _ => Some(at(1 + number as i64)),
    };
    // Several at a time: a store that groups writes should not be slow here.
    let entry = async |number: u64| {
        let name = number.to_string();
        let head = head(&name).with_expires_at(expires_at(number));
        store_at(store, &key(&name), head, name).await;
    };
    stream::iter(0..10_000).for_each_concurrent(64, entry).await;
    assert_len!(store, 10_000);
    assert_eq!(remove_expired(store, NOW).await, 1_000, "a thousand entries have expired");
    assert_len!(store, 9_000);
    for number in 0..10_000_u64 {
        let there = has(store, &number.to_string()).await;
        assert_eq!(there, number % 10 != 3, "whether entry {number} is there");
    }
}
