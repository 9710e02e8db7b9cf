//! Header values and dates as they are written on a connection.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use larder::time::Timestamp;

use crate::field::Value;

/// The bytes of `text`, one for each character, without surrounding white space. This is what a
/// peer reads.
pub(crate) fn line(text: &str) -> HeaderValue {
    let bytes = text.trim().chars().map(|char| u8::try_from(char).expect("latin-1"));
    HeaderValue::from_bytes(&bytes.collect::<Vec<u8>>()).expect("a header value")
}

/// All lines of a field joined into one, as by `fetch` and Node.js.
pub(crate) fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = |line: &HeaderValue| line.as_bytes().iter().copied().map(char::from).collect();
    let lines: Vec<String> = headers.get_all(name).iter().map(text).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// `value` as text. Dates count from `now`, and paths start at `path`.
pub(crate) fn text(value: &Value, now: Option<Timestamp>, path: &str) -> String {
    match (value, now) {
        (Value::Text(text), _) => text.clone().into_owned(),
        (Value::Date(seconds), Some(now)) => imf_date(now, *seconds),
        (Value::Rfc850(seconds), Some(now)) => rfc850_date(now, *seconds),
        (Value::Date(_) | Value::Rfc850(_), None) => "Invalid Date".to_owned(),
        (Value::Beneath(""), _) => path.to_owned(),
        (Value::Beneath(name), _) => format!("{path}/{name}"),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub(crate) fn imf_date(now: Timestamp, seconds: i64) -> String {
    let (now, offset) = (SystemTime::from(now), Duration::from_secs(seconds.unsigned_abs()));
    httpdate::fmt_http_date(if seconds < 0 { now - offset } else { now + offset })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850_date(now: Timestamp, seconds: i64) -> String {
    let date = imf_date(now, seconds);
    let [weekday, day, month, year, time, zone] = date.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{date} is no date");
    };
    let weekday = match weekday {
        "Tue," => "Tuesday".to_owned(),
        "Wed," => "Wednesday".to_owned(),
        "Thu," => "Thursday".to_owned(),
        "Sat," => "Saturday".to_owned(),
        short => short.replace(',', "day"),
    };
    format!("{weekday}, {day}-{month}-{} {time} {zone}", &year[2..])
}

#[test]
fn dates_are_written_in_both_forms() {
    let now = Timestamp::from_millis(784_111_777_999);
    assert_eq!(imf_date(now, 0), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(imf_date(now, -86_400), "Sat, 05 Nov 1994 08:49:37 GMT");
    assert_eq!(rfc850_date(now, 0), "Sunday, 06-Nov-94 08:49:37 GMT");
    assert_eq!(rfc850_date(now, 3 * 86_400), "Wednesday, 09-Nov-94 08:49:37 GMT");
}
