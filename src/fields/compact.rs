//! Header lines in memory of their own. A header value from the network is a slice of the
//! connection's read buffer: a value of ten bytes would keep ten or a hundred kilobytes alive that
//! nobody counts.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::MaxSizeReached};
use smallvec::SmallVec;

/// The lines whose names are kept, in the same order, with all values in one allocation.
pub(crate) fn compact(lines: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    // The copy cannot exceed a limit that the original keeps.
    try_compact(lines, is_kept).unwrap_or_else(|_| lines.clone())
}

fn try_compact(
    lines: &HeaderMap,
    is_kept: impl Fn(&HeaderName) -> bool,
) -> Result<HeaderMap, MaxSizeReached> {
    let kept: SmallVec<[_; 32]> = lines.iter().filter(|(name, _)| is_kept(name)).collect();
    let mut values = Vec::with_capacity(kept.iter().map(|(_, value)| value.len()).sum());
    kept.iter().for_each(|(_, value)| values.extend_from_slice(value.as_bytes()));
    // `Bytes::from` would allocate its counter at the first clone, which is a hit.
    let mut values = Bytes::from_owner(values.into_boxed_slice());
    let mut map = HeaderMap::try_with_capacity(lines.keys_len())?;
    for (name, value) in kept {
        let bytes = values.split_to(value.len());
        let mut copy = HeaderValue::from_maybe_shared(bytes).unwrap_or_else(|_| value.clone());
        copy.set_sensitive(value.is_sensitive());
        map.try_append(name, copy)?;
    }
    // A map that has grown has room for more lines, a clone of it has not.
    Ok(map.clone())
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
    }
}
