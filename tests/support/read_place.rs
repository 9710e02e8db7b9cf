//! Where an embedded store reads: on the calling thread, or off it. Each engine has these tests.

#![allow(dead_code)]

use std::{sync::Arc, time::Duration};

use larder::store::{AnyStore, Store, Tiered, Timeout};

use super::{
    entries::{body, get, head_at, key, put},
    occupied::Occupied,
};

/// The lengths of a body that is read with its head, and of one that is not.
const LENGTHS: [(u64, usize); 2] = [(1, 10), (2, 700_000)];

/// Returns whether hits are read on the calling thread up to their first chunk.
pub(crate) fn is_read_in_place(occupied: &Occupied, store: &impl Store) -> bool {
    let [small, large] = LENGTHS.map(|(number, _)| {
        let found = occupied.in_place(async {
            let mut hit = store.get(&key(number)).await.unwrap().unwrap();
            hit.body.chunk().await.unwrap().unwrap().len()
        });
        found.map(|len| assert!(len >= 10)).is_some()
    });
    assert_eq!(small, large);
    small
}

/// Stores a small and a large entry.
pub(crate) fn filled<S: Store>(occupied: &Occupied, store: S) -> S {
    occupied.runtime.block_on(async {
        for (number, len) in LENGTHS {
            let head = head_at(std::time::SystemTime::now().into());
            put(&store, key(number), head, body(number, len)).await.unwrap();
        }
    });
    store
}

/// Compares a store that reads off the calling thread with others that read on it. All of them
/// return what was written.
pub(crate) fn setting_decides_where_hits_are_read<S: Store>(
    off_thread: S,
    in_place: impl IntoIterator<Item = S>,
) {
    let mut occupied = Occupied::new();
    let off_thread = filled(&occupied, off_thread);
    assert!(!is_read_in_place(&occupied, &off_thread));
    let mut stores = vec![off_thread];
    for store in in_place {
        let store = filled(&occupied, store);
        assert!(is_read_in_place(&occupied, &store), "{store:?}");
        stores.push(store);
    }
    occupied.free();
    for store in stores {
        for (number, len) in LENGTHS {
            let found = occupied.runtime.block_on(get(&store, key(number)));
            assert_eq!(found.unwrap(), body(number, len));
        }
    }
}

/// Puts a time limit over a store that is set to read in place. The limit moves the reads of its
/// own handle off the thread, through every wrapper.
pub(crate) fn time_limit_moves_reads_off_thread_for_its_handle_only(store: impl Store) {
    const LIMIT: Duration = Duration::from_secs(3_600);
    let occupied = Occupied::new();
    let store = filled(&occupied, store);
    let one = Timeout::new(AnyStore::new(store.clone()), LIMIT).unwrap();
    assert!(!is_read_in_place(&occupied, &one));
    assert!(!is_read_in_place(&occupied, &one.clone()));
    assert!(!is_read_in_place(&occupied, &Arc::new(one)));
    let shared = Arc::new(store.clone());
    assert!(!is_read_in_place(&occupied, &Timeout::new(shared.clone(), LIMIT).unwrap()));
    let tiers = Tiered::new(store.clone().read_off_thread(), store.clone());
    assert!(!is_read_in_place(&occupied, &Timeout::new(tiers, LIMIT).unwrap()));
    let inner = Timeout::new(store.clone(), LIMIT).unwrap();
    assert!(!is_read_in_place(&occupied, inner.get_ref()));
    assert!(is_read_in_place(&occupied, &*shared));
    assert!(is_read_in_place(&occupied, &store));
    assert!(is_read_in_place(&occupied, &AnyStore::new(store)));
}
