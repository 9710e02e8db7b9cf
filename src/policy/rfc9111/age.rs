//! The age of a response (RFC 9111 §4.2.3).
//!
//! It does not depend on correct clocks. If this clock is set back, or the origin's clock is ahead,
//! the age is still at least the `Age` field plus the time since the response arrived.

use std::time::Duration;

use crate::{
    entry::{Facts, Head},
    time::Timestamp,
};

/// The age of a response with these facts on arrival (`corrected_initial_age`): the greater of the
/// time since its `Date`, and its `Age` plus the duration of the exchange.
pub(crate) fn initial_age(
    facts: &Facts,
    requested_at: Timestamp,
    received_at: Timestamp,
) -> Duration {
    let written_at = facts.date.unwrap_or(received_at);
    // Whole seconds, since a `Date` has no fraction. Otherwise a response that has just been made
    // would be half a second old on average.
    let apparent_age = Duration::from_secs(received_at.saturating_since(written_at).as_secs());
    let age_value = Duration::from_secs(facts.age.unwrap_or(0));
    let response_delay = received_at.saturating_since(requested_at);
    apparent_age.max(age_value.saturating_add(response_delay))
}

/// The age of the stored response at `now`.
pub(crate) fn current_age(head: &Head, now: Timestamp) -> Duration {
    let resident_time = now.saturating_since(head.stored_at());
    let facts = head.fields().facts();
    initial_age(facts, head.requested_at(), head.stored_at()).saturating_add(resident_time)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, Response};

    use super::*;
    use crate::entry::ResponseHead;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn response(lines: &[(&'static str, &'static str)], received_at: Timestamp) -> ResponseHead {
        let mut parts = Response::new(()).into_parts().0;
        parts.headers = map(lines);
        ResponseHead::new(parts, received_at)
    }

    /// Thu, 01 Jan 1970 00:16:40 GMT is second 1000.
    #[test]
    fn the_greater_of_two_ages_counts() {
        let age = |lines: &[(&'static str, &'static str)], requested, received| {
            let at = Timestamp::from_millis;
            let response = response(lines, at(received));
            initial_age(response.fields().facts(), at(requested), at(received)).as_millis()
        };
        let date = ("date", "Thu, 01 Jan 1970 00:16:40 GMT");
        assert_eq!(age(&[], 1_000_000, 1_000_000), 0);
        assert_eq!(age(&[], 1_000_000, 1_002_500), 2_500, "the duration of the exchange");
        assert_eq!(age(&[date], 1_007_000, 1_007_000), 7_000, "since its `Date`");
        assert_eq!(age(&[date], 1_007_999, 1_007_999), 7_000, "a `Date` has no milliseconds");
        assert_eq!(age(&[date, ("age", "5")], 1_007_000, 1_007_000), 7_000);
        assert_eq!(age(&[date, ("age", "9")], 1_006_500, 1_007_000), 9_500);
        assert_eq!(age(&[date, ("age", "x")], 1_007_000, 1_007_000), 7_000);
        // Wrong clocks: the origin's is ahead, this one was set back. Then an invalid `Date`, and
        // two of them.
        assert_eq!(age(&[date, ("age", "5")], 900_000, 900_000), 5_000);
        assert_eq!(age(&[date, ("age", "5")], 1_007_000, 900_000), 5_000);
        assert_eq!(age(&[("date", "foo")], 1_007_000, 1_007_000), 0);
        assert_eq!(age(&[date, date], 1_007_000, 1_007_000), 0);
        let endless = response(&[("age", "99999999999999999999999")], Timestamp::MAX);
        let longest = Duration::from_secs(u64::MAX);
        let facts = endless.fields().facts();
        assert!(initial_age(facts, Timestamp::MIN, Timestamp::MAX) >= longest);
    }

    #[test]
    fn a_stored_response_ages_from_its_request_time() {
        let at = Timestamp::from_millis;
        let mut parts = Response::new(()).into_parts().0;
        parts.headers = map(&[("age", "30")]);
        let head =
            Head::new(Method::GET, "http://a/", parts, at(10_000)).with_requested_at(at(9_000));
        assert_eq!(current_age(&head, at(12_500)), Duration::from_millis(33_500));
        assert_eq!(current_age(&head, at(10_000)), Duration::from_secs(31));
        assert_eq!(current_age(&head, at(0)), Duration::from_secs(31), "the clock was set back");
        assert!(current_age(&head, Timestamp::MAX) >= Duration::from_millis(u64::MAX));
    }
}
