//! Header lines in memory of their own. A header value from the network is a slice of the
//! connection's read buffer: a value of ten bytes would keep ten or a hundred kilobytes alive that
//! nobody counts.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::MaxSizeReached};

/// The lines whose names are kept, in the same order, with all values in one allocation.
pub(crate) fn compact(lines: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut map = match lines.keys().all(&is_kept) {
        // A clone is the cheapest copy. It has no room for more lines.
        true if !is_roomy(lines) => lines.clone(),
        // The copy cannot exceed a limit that the original keeps.
        _ => only(lines, is_kept).unwrap_or_else(|_| lines.clone()),
    };
    let mut text = Vec::with_capacity(map.values().map(HeaderValue::len).sum());
    map.values().for_each(|value| text.extend_from_slice(value.as_bytes()));
    // `Bytes::from` would allocate its counter at the first clone, which is a hit.
    let mut text = Bytes::from_owner(text.into_boxed_slice());
    for value in map.values_mut() {
        let own = text.split_to(value.len());
        if let Ok(mut own) = HeaderValue::from_maybe_shared(own) {
            own.set_sensitive(value.is_sensitive());
            *value = own;
        }
    }
    map
}

/// Whether a map has a larger index than its lines need. A clone would have it too.
fn is_roomy(map: &HeaderMap) -> bool {
    /// What the smallest map has room for.
    const LEAST: usize = 6;
    map.capacity() > LEAST && map.capacity() >= 2 * map.keys_len()
}

fn only(
    lines: &HeaderMap,
    is_kept: impl Fn(&HeaderName) -> bool,
) -> Result<HeaderMap, MaxSizeReached> {
    let mut kept = HeaderMap::new();
    for (name, value) in lines.iter().filter(|(name, _)| is_kept(name)) {
        kept.try_append(name, value.clone())?;
    }
    // A map that has grown has room for more lines, a clone of it has not.
    Ok(kept.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut lines = HeaderMap::new();
        for (name, value) in text {
            lines.append(*name, HeaderValue::from_str(value).unwrap());
        }
        lines
    }

    #[test]
    fn a_copy_has_the_same_lines_in_one_allocation() {
        let mut original = lines(&[("b", "1"), ("a", ""), ("b", "2"), ("c", "three"), ("x", "4")]);
        original.get_mut("c").unwrap().set_sensitive(true);
        let copy = compact(&original, |name| name != "x");
        original.remove("x");
        assert_eq!(copy, original);
        assert!(copy["c"].is_sensitive() && !copy["a"].is_sensitive());
        assert_eq!(copy.get_all("b").iter().collect::<Vec<_>>(), ["1", "2"]);
        let text: Vec<_> = copy.values().map(|value| value.as_bytes().as_ptr_range()).collect();
        assert!(text.windows(2).all(|two| two[0].end == two[1].start), "{text:?}");
        assert!(compact(&original, |_| false).is_empty());
        assert_eq!(compact(&original, |_| true), original);
    }

    #[test]
    fn a_copy_has_no_room_for_more_lines() {
        for len in 0..40 {
            let names: Vec<_> = (0..len).map(|n| format!("x-{n}")).collect();
            let mut grown = HeaderMap::new();
            let mut reserved = HeaderMap::with_capacity(1000);
            for name in &names {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                grown.append(name.clone(), HeaderValue::from_static("1"));
                reserved.append(name, HeaderValue::from_static("1"));
            }
            let least = grown.capacity().max(6);
            for map in [grown, reserved] {
                let copy = compact(&map, |_| true);
                assert!(copy.capacity() <= least, "{len} lines: {}", copy.capacity());
                assert_eq!(copy, map);
            }
        }
    }
}
