//! What is in memory of a body in flight.

use bytes::Bytes;

use super::replay_buffer::{OverflowBudget, ReplayBuffer};

const SMALL: usize = 4 * 1024;

/// Whether a body that begins with this chunk holds the memory in which it arrived.
fn holds_the_arrived(chunk: &Bytes, is_end: bool) -> bool {
    let mut buffer = ReplayBuffer::new(OverflowBudget { held: Default::default(), limit: 0 });
    buffer.push(chunk.clone(), 1, is_end);
    buffer.read(0).is_some_and(|held| held.as_ptr() == chunk.as_ptr())
}

#[test]
fn a_small_chunk_is_copied_unless_it_is_the_whole_body() {
    let (small, large) = (Bytes::from(vec![1; SMALL]), Bytes::from(vec![1; SMALL + 1]));
    assert!(holds_the_arrived(&small, true) && !holds_the_arrived(&small, false));
    assert!(holds_the_arrived(&large, true) && holds_the_arrived(&large, false));
}
