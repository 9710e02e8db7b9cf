//! The `Age` field (RFC 9111 §5.1).

use http::{HeaderMap, header::AGE};

use super::syntax::delta_seconds;

/// The value of the `Age` field in seconds. Its first member counts; if that is no number, the
/// field is ignored (RFC 9111 §5.1). A number that is too large becomes the largest value.
pub(crate) fn age_value(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(AGE).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    // Empty members do not count (RFC 9110 §5.6.1.2).
    let first = members.find_map(|member| Some(member.trim_ascii()).filter(|it| !it.is_empty()))?;
    delta_seconds(first)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// `age-parse.mjs`.
    #[test]
    fn the_first_age_member_counts_if_it_is_a_number() {
        for (lines, expected) in [
            (&["7200"][..], Some(7200)),
            (&["abc"], None),
            (&["-7200"], None),
            (&["7200.0"], None),
            (&["+5"], None),
            (&["\"5\""], None),
            (&["2147483647"], Some(2_147_483_647)),
            (&["2147483648"], Some(2_147_483_648)),
            (&["2147483649"], Some(2_147_483_649)),
            (&["99999999999999999999999"], Some(u64::MAX)),
            (&["7200, 0"], Some(7200)),
            (&["0, 7200"], Some(0)),
            (&["7200", "0"], Some(7200)),
            (&["0", "7200"], Some(0)),
            (&["0, 0"], Some(0)),
            (&["3600", "3600"], Some(3600)),
            (&["x, 7200"], None),
            (&["", " ,, 7200"], Some(7200)),
            (&["7200;foo=bar"], None),
            (&["7200;foo=111"], None),
            (&["", ","], None),
            (&[], None),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("age", *line)).collect();
            assert_eq!(age_value(&map(&lines)), expected, "{lines:?}");
        }
    }
}
