//! The suite that tests any [`Store`]: each promise of the [contract](super) is a case here.
//!
//! Every store of this crate passes it, and yours should. A case is a function that takes an empty
//! store. It panics if the store breaks a promise, and its message says which. [`all`] runs every
//! case, each with a new store from your factory, and prints the name of a case that fails. The
//! suite needs no particular runtime: run it on whatever runs your store.
//!
//! ```sh
//! cargo add --dev larder --features conformance --path ../larder
//! cargo add --dev tokio --features macros,rt
//! ```
//!
//! ```
//! # #[cfg(feature = "memory")] mod program {
//! // `Memory` is in the place of your store.
//! use larder::store::{Memory, conformance};
//!
//! # #[cfg(any())]
//! #[tokio::test]
//! # fn unused() {}
//! # #[tokio::main(flavor = "current_thread")]
//! # pub
//! async fn the_store_keeps_every_promise() {
//!     conformance::all(async || Memory::default()).await;
//! }
//!
//! /// While you write it: one case at a time.
//! # #[cfg(any())]
//! #[tokio::test]
//! # fn unused_too() {}
//! # #[tokio::main(flavor = "current_thread")]
//! # pub
//! async fn heads_come_back() {
//!     conformance::heads_come_back_exactly(&Memory::default()).await;
//! }
//! # }
//! # #[cfg(feature = "memory")]
//! # fn main() { program::the_store_keeps_every_promise(); program::heads_come_back() }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! [`all`] does not run three cases that do not apply to every store: [`isolation`] for two stores
//! that must not see each other (two files, two namespaces of one server), [`shared`] for two
//! handles that were opened separately on the same data, and [`reopen`] for data that outlives its
//! handle.
//!
//! # Requirements
//!
//! * The store is empty, and nobody else uses it meanwhile.
//! * It has room for 256 MiB and forgets nothing. The contract allows eviction, but here it would
//!   look like a loss.
//! * Times are around the year 2100, so that an engine that expires entries by its own clock finds
//!   none to expire.
//!
//! # Methods with a default
//!
//! A store that does not implement [`clear`](Store::clear), [`scan`](Store::scan),
//! [`len`](Store::len) or [`size_bytes`](Store::size_bytes) passes without the cases about these
//! methods. The other cases then check less: without `len`, for example, they do not notice an
//! entry that is counted but cannot be found.
//!
//! # Stores that fail
//!
//! A cache must answer every request even if its store fails. That is the cache's promise, and not
//! the store's. [`Faulty`] is any store that fails at its n-th operation, for tests of a cache, or
//! of a store around stores: with each n in turn, until what is tested has no more operations.
//!
//! # Stability
//!
//! This module is **not** covered by the crate's stability promises. A new release, however small,
//! may add cases, and a store that passed may then fail for a promise that was not tested before.

use super::Store;

mod abandoned;
mod faulty;
mod handles;
mod heads;
mod listing;
mod publishing;
mod removal;
mod round_trip;
mod support;

pub use self::{
    abandoned::*,
    faulty::{Faulty, FaultyWriter, Operation},
    handles::*,
    heads::*,
    listing::*,
    publishing::*,
    removal::*,
    round_trip::*,
};

/// Prints the name of the case that is running if it panics.
struct Running(&'static str);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("store::conformance: the case `{}` failed", self.0);
        }
    }
}

/// Each case, and in parentheses the methods with a default that it is about.
macro_rules! every {
    ($($case:ident $(($($needs:ident),+))?)*) => {
        /// The names of the cases that [`all`] runs, in its order.
        pub const CASES: &[&str] = &[$(stringify!($case)),*];

        /// Runs every case except [`isolation`], [`shared`] and [`reopen`], each with a new store
        /// from `factory`.
        ///
        /// If the store does not implement a method with a default, the cases about that method are
        /// skipped, and the other cases check nothing with it. Standard error says which.
        ///
        /// # Panics
        ///
        /// At the first promise that the store does not keep. The name of the case is printed on
        /// standard error.
        pub async fn all<S: Store>(factory: impl AsyncFn() -> S) {
            let unsupported = support::unsupported(&factory().await).await;
            let mut skipped = Vec::new();
            $({
                let needs: &[&str] = &[$($(stringify!($needs)),+)?];
                if needs.iter().any(|method| unsupported.contains(method)) {
                    skipped.push(stringify!($case));
                } else {
                    let _running = Running(stringify!($case));
                    $case(&factory().await).await;
                }
            })*
            if !unsupported.is_empty() {
                eprintln!(
                    "store::conformance: the store does not implement {}. Cases that were skipped: {}. \
                     The other cases checked nothing with these methods.",
                    unsupported.join(", "),
                    skipped.join(", "),
                );
            }
        }
    };
}

every! {
    // What comes back is what was given. The plain cases come first.
    heads_come_back_exactly
    bodies_of_every_length_come_back
    many_tiny_chunks_are_one_body
    empty_chunks_add_nothing
    a_body_of_64_mib_comes_back
    trailers_come_back
    content_length_is_ignored
    length_and_trailers_of_another_body_are_ignored
    keys_that_differ_in_one_bit_are_different
    // Updates compare and swap.
    an_update_leaves_the_body_alone
    an_update_of_another_version_is_refused
    an_update_of_nothing_is_refused
    a_removal_of_another_version_is_refused
    every_write_gives_a_new_version
    one_of_many_concurrent_updates_succeeds
    an_update_during_a_read_leaves_no_mixture
    // Nothing half-written is visible, and replacing is atomic.
    nothing_is_visible_before_finish
    a_dropped_writer_leaves_nothing
    an_aborted_writer_leaves_nothing
    an_entry_stays_until_its_replacement_is_finished
    a_reader_never_sees_a_mixture
    the_writer_that_finishes_last_wins
    concurrent_writers_of_one_key_leave_one_whole_entry
    concurrent_writers_of_many_keys_leave_all_of_them
    an_open_writer_blocks_nothing
    an_open_reader_blocks_nothing
    a_body_may_be_dropped_midway
    two_readers_read_one_large_body
    // Abandoned operations.
    abandoned_operations_are_done_or_not
    abandoned_writes_do_not_come_after_a_removal
    abandoned_writes_do_not_replace_a_later_write
    // Removals.
    a_removed_entry_is_gone
    an_entry_expires_at_its_very_time
    an_entry_is_kept_beyond_its_expiry_where_its_head_says_so
    the_expiry_index_follows_replacement_update_and_removal
    a_tag_removes_what_carries_it_and_nothing_else
    tags_of_any_characters_are_told_apart
    the_tag_index_follows_replacement_update_and_removal
    a_cleared_store_is_like_a_new_one (clear)
    a_thousand_of_ten_thousand_expire
    // Scans, counts and sizes.
    a_scan_sees_each_entry_once (scan)
    a_scan_during_changes_sees_what_stays_once (scan)
    a_scan_may_be_dropped_midway (scan)
    len_counts_finished_entries (len)
    the_size_grows_and_shrinks (size_bytes)
    // Handles.
    a_clone_is_the_same_store
}
