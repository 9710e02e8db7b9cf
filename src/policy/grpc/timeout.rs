//! `grpc-timeout`: the time limit of a call.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The largest number in the field.
const MAX: u128 = 99_999_999;

/// The time limit of the call, if the field is valid: up to eight digits and a unit.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Sets the time limit of the call. It is at least one millisecond, since the field cannot say that
/// the time is over.
pub(crate) fn set_timeout(headers: &mut HeaderMap, limit: Duration) {
    let text = match limit.as_millis().max(1) {
        millis if millis <= MAX => format!("{millis}m"),
        _ => format!("{}S", u128::from(limit.as_secs()).min(MAX)),
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(TIMEOUT, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Option<Duration> {
        timeout(&HeaderMap::from_iter([(TIMEOUT, HeaderValue::from_static(text))]))
    }

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("2M", Duration::from_secs(120)),
            ("2S", Duration::from_secs(2)),
            ("2m", Duration::from_millis(2)),
            ("2u", Duration::from_micros(2)),
            ("2n", Duration::from_nanos(2)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(of(text), Some(expected), "{text}");
        }
        for bad in ["", "S", "2", "2s", "-2S", "+2S", "2 S", "100000000S", "1.5S"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
        let odd = HeaderValue::from_bytes(b"2\xff").unwrap();
        assert_eq!(timeout(&HeaderMap::from_iter([(TIMEOUT, odd)])), None);
    }

    #[test]
    fn written_timeouts_are_read_back() {
        let mut headers = HeaderMap::new();
        for (limit, expected) in [
            (Duration::ZERO, Duration::from_millis(1)),
            (Duration::from_micros(2_500), Duration::from_millis(2)),
            (Duration::from_secs(5), Duration::from_secs(5)),
            (Duration::from_secs(200_000), Duration::from_secs(200_000)),
            (Duration::MAX, Duration::from_secs(99_999_999)),
        ] {
            set_timeout(&mut headers, limit);
            assert_eq!(timeout(&headers), Some(expected));
        }
        assert_eq!(headers.len(), 1);
    }
}
