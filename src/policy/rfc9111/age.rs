//! How old a response is (RFC 9111 §4.2.3).
//!
//! No clock has to be right for it: one that runs back, or an origin's that is ahead, makes no response younger than its
//! `Age` field and the time that it has been here.

use std::time::Duration;

use http::{
    HeaderMap,
    header::{AGE, DATE},
};

use super::{dates::date, syntax::delta_seconds};
use crate::{entry::Head, time::Timestamp};

/// The value of the `Age` field in seconds: its first member counts, and is ignored where it is no number (RFC 9111
/// §5.1). Too large a number is as large as there is.
pub(crate) fn age_value(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(AGE).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    // Nothing between two commas is no member (RFC 9110 §5.6.1.2).
    let first = members.find_map(|member| Some(member.trim_ascii()).filter(|it| !it.is_empty()))?;
    delta_seconds(first)
}

/// How old a response with these fields was when it arrived: its `Age` and the time that the exchange took, or the time
/// since its `Date`, whichever is more (`corrected_initial_age`).
pub(crate) fn initial_age(
    headers: &HeaderMap,
    requested_at: Timestamp,
    received_at: Timestamp,
) -> Duration {
    let written_at = date(headers, &DATE, received_at).unwrap_or(received_at);
    // In whole seconds, as a `Date` is: where it says no more, a response that has just been made is not half a second
    // old on average.
    let apparent_age = Duration::from_secs(received_at.saturating_since(written_at).as_secs());
    let age_value = Duration::from_secs(age_value(headers).unwrap_or(0));
    let response_delay = received_at.saturating_since(requested_at);
    apparent_age.max(age_value.saturating_add(response_delay))
}

/// How old the stored response is at `now`.
pub(crate) fn current_age(head: &Head, now: Timestamp) -> Duration {
    let resident_time = now.saturating_since(head.stored_at());
    initial_age(head.headers(), head.requested_at(), head.stored_at()).saturating_add(resident_time)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Response};

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
    fn the_first_member_counts_where_it_is_a_number() {
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

    /// Thu, 01 Jan 1970 00:16:40 GMT is second 1000.
    #[test]
    fn the_greater_of_two_ages_counts() {
        let age = |lines: &[(&'static str, &'static str)], requested, received| {
            let at = Timestamp::from_millis;
            initial_age(&map(lines), at(requested), at(received)).as_millis()
        };
        let date = ("date", "Thu, 01 Jan 1970 00:16:40 GMT");
        assert_eq!(age(&[], 1_000_000, 1_000_000), 0);
        assert_eq!(age(&[], 1_000_000, 1_002_500), 2_500, "the exchange itself");
        assert_eq!(age(&[date], 1_007_000, 1_007_000), 7_000, "since it was written");
        assert_eq!(age(&[date], 1_007_999, 1_007_999), 7_000, "a `Date` has no milliseconds");
        assert_eq!(age(&[date, ("age", "5")], 1_007_000, 1_007_000), 7_000);
        assert_eq!(age(&[date, ("age", "9")], 1_006_500, 1_007_000), 9_500);
        assert_eq!(age(&[date, ("age", "x")], 1_007_000, 1_007_000), 7_000);
        // Clocks: the origin's is ahead, the own one ran back, the date is none or two.
        assert_eq!(age(&[date, ("age", "5")], 900_000, 900_000), 5_000);
        assert_eq!(age(&[date, ("age", "5")], 1_007_000, 900_000), 5_000);
        assert_eq!(age(&[("date", "foo")], 1_007_000, 1_007_000), 0);
        assert_eq!(age(&[date, date], 1_007_000, 1_007_000), 0);
        let endless = map(&[("age", "99999999999999999999999")]);
        let longest = Duration::from_secs(u64::MAX);
        assert!(initial_age(&endless, Timestamp::MIN, Timestamp::MAX) >= longest);
    }

    #[test]
    fn a_stored_response_ages_from_when_it_was_asked_for() {
        let at = Timestamp::from_millis;
        let mut parts = Response::new(()).into_parts().0;
        parts.headers = map(&[("age", "30")]);
        let head =
            Head::new(Method::GET, "http://a/", parts, at(10_000)).with_requested_at(at(9_000));
        assert_eq!(current_age(&head, at(12_500)), Duration::from_millis(33_500));
        assert_eq!(current_age(&head, at(10_000)), Duration::from_secs(31));
        assert_eq!(current_age(&head, at(0)), Duration::from_secs(31), "the clock ran back");
        assert!(current_age(&head, Timestamp::MAX) >= Duration::from_millis(u64::MAX));
    }
}
