//! Heads in memory of their own. A header value off the network is a slice of the connection's read buffer: kept as it
//! is, a line of ten bytes would hold on to ten or a hundred kilobytes that no one counts.

use http::{HeaderMap, HeaderValue, header::MaxSizeReached};

use super::body::exact;
use crate::entry::Head;

/// The same head with nothing of the memory that it came in.
pub(super) fn compact(head: Head) -> Head {
    head.map_fields(map)
}

/// The same lines in the same order, all values in one piece of memory.
pub(super) fn map(map: &HeaderMap) -> HeaderMap {
    // There is nothing to reach the limit of a map with that was not in a map already.
    rebuild(map).unwrap_or_else(|_| map.clone())
}

fn rebuild(map: &HeaderMap) -> Result<HeaderMap, MaxSizeReached> {
    let mut values = Vec::with_capacity(map.values().map(HeaderValue::len).sum());
    map.values().for_each(|value| values.extend_from_slice(value.as_bytes()));
    let mut values = exact(values.into());
    let mut rebuilt = HeaderMap::try_with_capacity(map.keys_len())?;
    for (name, value) in map {
        let bytes = values.split_to(value.len());
        let mut copy = HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| value.clone());
        copy.set_sensitive(value.is_sensitive());
        rebuilt.try_append(name, copy)?;
    }
    Ok(rebuilt)
}
