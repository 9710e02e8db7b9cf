//! HTTP dates in their three forms (RFC 9110 §5.6.7). The parser is strict: any other text is no
//! date, and so counts as a date in the past (RFC 9111 §5.3).
//!
//! Names of days and months match in any case, and the only zone is GMT (RFC 9111 §4.2). The crate
//! `httpdate` differs in three ways. It refuses names in other cases. It refuses wrong days of the
//! week. It reads years of two digits by a fixed pivot, but RFC 9110 requires one that moves with
//! the time. So `httpdate` only writes dates.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::syntax::only;
use crate::time::Timestamp;

/// The date in the field `name`, if the field has exactly one line and that line is a date. `now`
/// determines the century of a year with two digits. Dates before 1970 become [`Timestamp::MIN`].
pub(crate) fn date(headers: &HeaderMap, name: &HeaderName, now: Timestamp) -> Option<Timestamp> {
    let seconds = parse(only(headers, name)?.as_bytes().trim_ascii(), now)?;
    Some(Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0) * 1000))
}

/// The date in `line`, for a comparison with other dates. Dates before 1970 are none:
/// [`Timestamp`]s do not tell them apart.
pub(crate) fn date_since_1970(line: &HeaderValue, now: Timestamp) -> Option<Timestamp> {
    let seconds = parse(line.as_bytes().trim_ascii(), now)?;
    Some(Timestamp::from_millis(u64::try_from(seconds).ok()? * 1000))
}

/// The parts of a date as they are written.
struct Written<'a> {
    day: u32,
    month: &'a [u8],
    year: Year,
    hour: u32,
    minute: u32,
    second: u32,
}

enum Year {
    Full(u32),
    TwoDigits(u32),
}

/// The seconds from 1970 to the date.
fn parse(text: &[u8], now: Timestamp) -> Option<i64> {
    #[cfg(test)]
    super::Parsed::count(|parsed| parsed.dates += 1);
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (weekday, rest) = text.split_at(letters);
    let (weekdays, written) = match rest {
        [b',', b' ', rest @ ..] if letters == 3 => (&SHORT, imf_fixdate(rest)?),
        [b',', b' ', rest @ ..] => (&LONG, rfc850(rest)?),
        [b' ', rest @ ..] => (&SHORT, asctime(rest)?),
        _ => return None,
    };
    // Any day of the week is accepted. The date determines the day, and senders of the older forms
    // often get it wrong.
    if !weekdays.iter().any(|name| weekday.eq_ignore_ascii_case(name.as_bytes())) {
        return None;
    }
    let month =
        MONTHS.iter().position(|(name, _)| written.month.eq_ignore_ascii_case(name.as_bytes()))?;
    let year = match written.year {
        Year::Full(year) => year,
        Year::TwoDigits(year) => in_century(year, now),
    };
    let length = MONTHS[month].1 + u32::from(month == 1 && is_leap(year));
    let is_day = (1..=length).contains(&written.day);
    // A leap second is written as second 60. It is read as second 59.
    let is_time = written.hour < 24 && written.minute < 60 && written.second <= 60;
    let days = days_since_epoch(year, month, written.day);
    if !is_day || !is_time {
        return None;
    }
    let of_day = (written.hour * 60 + written.minute) * 60 + written.second.min(59);
    Some(days * 86_400 + i64::from(of_day))
}

const SHORT: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [(&str, u32); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

/// `06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &[u8]) -> Option<Written<'_>> {
    let (date, time) = text.split_at_checked(12)?;
    match date {
        [day @ .., b' ', _, _, _, b' ', _, _, _, _, b' '] => {
            let year = Year::Full(number(&date[7..11])?);
            at_gmt(number(day)?, &date[3..6], year, time)
        }
        _ => None,
    }
}

/// `06-Nov-94 08:49:37 GMT`
fn rfc850(text: &[u8]) -> Option<Written<'_>> {
    let (date, time) = text.split_at_checked(10)?;
    match date {
        [day @ .., b'-', _, _, _, b'-', _, _, b' '] => {
            let year = Year::TwoDigits(number(&date[7..9])?);
            at_gmt(number(day)?, &date[3..6], year, time)
        }
        _ => None,
    }
}

/// `Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<Written<'_>> {
    let (date, rest) = text.split_at_checked(7)?;
    let (time, year) = rest.split_at_checked(8)?;
    let day = match date {
        [_, _, _, b' ', b' ', day, b' '] => number(&[*day])?,
        [_, _, _, b' ', tens, ones, b' '] => number(&[*tens, *ones])?,
        _ => return None,
    };
    match year {
        [b' ', year @ ..] if year.len() == 4 => {
            at(day, &date[..3], Year::Full(number(year)?), time)
        }
        _ => None,
    }
}

fn at_gmt<'a>(day: u32, month: &'a [u8], year: Year, time: &[u8]) -> Option<Written<'a>> {
    let (time, zone) = time.split_at_checked(8)?;
    if zone.eq_ignore_ascii_case(b" GMT") { at(day, month, year, time) } else { None }
}

/// `08:49:37`
fn at<'a>(day: u32, month: &'a [u8], year: Year, time: &[u8]) -> Option<Written<'a>> {
    match time {
        [hour @ .., b':', _, _, b':', _, _] => {
            let (minute, second) = (number(&time[3..5])?, number(&time[6..8])?);
            Some(Written { day, month, year, hour: number(hour)?, minute, second })
        }
        _ => None,
    }
}

/// Up to four digits.
fn number(digits: &[u8]) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

/// The latest year with these last two digits that is at most 50 years ahead (RFC 9110 §5.6.7).
fn in_century(two_digits: u32, now: Timestamp) -> u32 {
    // An error of one year does not matter for a span of fifty years.
    let this_year = 1970 + now.as_millis() / 31_556_952_000;
    let latest = u32::try_from(this_year).unwrap_or(9999).min(9999) + 50;
    latest - (latest + 100 - two_digits) % 100
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from 1970-01-01 to that day; `month` counts from zero.
fn days_since_epoch(year: u32, month: usize, day: u32) -> i64 {
    let before = i64::from(year) - 1;
    let leap_days = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    let of_year: u32 = MONTHS[..month].iter().map(|(_, length)| length).sum();
    let leap_day = i64::from(month > 1 && is_leap(year));
    // There are 719 162 days from 0001-01-01 to 1970-01-01.
    before * 365 + leap_days - 719_162 + i64::from(of_year) + leap_day + i64::from(day) - 1
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderValue, header::EXPIRES};
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22.
    const NOW: Timestamp = Timestamp::from_millis(1_795_350_000_000);

    fn seconds(text: &str) -> Option<i64> {
        parse(text.as_bytes(), NOW)
    }

    /// `expires-parse.mjs`.
    #[test]
    fn all_three_forms_and_any_case_are_dates() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Tue, 19 Jan 2038 14:14:08 GMT", 2_147_523_248),
            ("Sun, 21 Nov 2286 04:46:39 GMT", 10_000_039_599),
            ("Thursday, 18-Aug-50 02:01:18 GMT", 2_544_400_878),
            ("Thu Aug  8 02:01:18 2050", 2_543_536_878),
            ("THU, 18 Aug 2050 02:01:18 GMT", 2_544_400_878),
            ("Fri, 18 Aug 2050 02:01:18 GMT", 2_544_400_878),
            ("Thu, 18 AUG 2050 02:01:18 GMT", 2_544_400_878),
            ("Thu, 18 Aug 2050 02:01:18 gMT", 2_544_400_878),
            ("thursday, 18-aug-50 02:01:18 gmt", 2_544_400_878),
            ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    /// `expires-parse.mjs`, and similar cases.
    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "0",
            "-1",
            "foo",
            "Thu",
            "Thu,",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 2050 02:01:18 +0000",
            "Thu, 18 Aug 2050 02:01:18 GMT+1",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu,  18 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050  02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18  GMT",
            "Thu,18 Aug 2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18-Aug-50 02:01:18 GMT",
            "Thursday, 18 Aug 2050 02:01:18 GMT",
            "Thursday, 18-Aug-50-02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 8 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 24:00:00 GMT",
            "Thu, 18 Aug 2050 02:60:18 GMT",
            "Thu, 18 Aug 2050 02:01:61 GMT",
            "Thu, 18 Ago 2050 02:01:18 GMT",
            "Tho, 18 Aug 2050 02:01:18 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Wed, 31 Feb 2024 00:00:00 GMT",
            "Wed, 29 Feb 2023 00:00:00 GMT",
            "Thu, +8 Aug 2050 02:01:18 GMT",
            "Thu, 18 Aug +050 02:01:18 GMT",
            "Mon Aug 8 02:01:18 2050",
            "Mon Aug  8 02:01:18 2050 GMT",
            "Mon Aug  8  02:01:18 2050",
            "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn two_digit_years_are_at_most_fifty_years_ahead() {
        let year = |two_digits, now| in_century(two_digits, Timestamp::from_millis(now));
        for (two_digits, expected) in [(26, 2026), (76, 2076), (77, 1977), (94, 1994), (0, 2000)] {
            assert_eq!(year(two_digits, NOW.as_millis()), expected);
        }
        // 2060-01-01, then the smallest and the largest time.
        assert_eq!(year(94, 2_840_140_800_000), 2094);
        assert_eq!((year(20, 0), year(21, 0)), (2020, 1921));
        assert_eq!(year(0, u64::MAX), 10_000);
    }

    #[test]
    fn a_date_field_has_exactly_one_line() {
        let line = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers, &EXPIRES, NOW), None);
        headers.append(EXPIRES, line.clone());
        let expected = Some(Timestamp::from_millis(784_111_777_000));
        assert_eq!(date(&headers, &EXPIRES, NOW), expected);
        headers.append(EXPIRES, line);
        assert_eq!(date(&headers, &EXPIRES, NOW), None);
    }

    #[test]
    fn dates_before_1970_are_the_earliest_and_do_not_compare() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(Timestamp::MIN)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
        ] {
            let line = HeaderValue::from_static(text);
            assert_eq!(date_since_1970(&line, NOW), expected, "{text}");
            let headers = HeaderMap::from_iter([(EXPIRES, line)]);
            assert_eq!(date(&headers, &EXPIRES, NOW), Some(Timestamp::MIN), "{text}");
        }
    }

    proptest! {
        #[test]
        fn dates_written_by_httpdate_are_parsed(secs in 0..253_402_300_800_i64) {
            let time = SystemTime::from(Timestamp::from_millis(secs.unsigned_abs() * 1000));
            prop_assert_eq!(seconds(&httpdate::fmt_http_date(time)), Some(secs));
        }

        #[test]
        fn no_bytes_panic(
            text in prop::collection::vec(any::<u8>(), 0..40),
            near in "[SMTWF][a-z]{2,8},? [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} ([0-9]{2}:?){3}( GMT)?",
            now in any::<u64>(),
        ) {
            let now = Timestamp::from_millis(now);
            let _ = (parse(&text, now), parse(near.as_bytes(), now));
        }
    }
}
