//! [`Nearest`]: the recorded request that is most like one that is not recorded, and how they
//! differ.

use std::{collections::BTreeMap, fmt, future::poll_fn, pin::pin, sync::Arc};

use futures_core::Stream;
use http::HeaderMap;

use super::exchange::Exchange;
use crate::{
    entry::Head,
    key::{Key, split_query},
    store::{Files, Scanned, Store},
};

/// The most characters of a path or a query that are compared with another one.
const COMPARED: usize = 256;

/// How many recorded requests are compared with another one in all pairs of characters, and of how
/// many characters.
const CANDIDATES: usize = 16;
const COMPARED_IN_PAIRS: usize = 128;

/// How many lines of a body are shown.
const LINES: usize = 20;

/// A recorded request, compared with another one.
#[derive(Debug)]
pub(super) struct Nearest {
    /// The file of its head, below the folder.
    file: String,
    line: String,
    differences: Vec<Difference>,
}

#[derive(Debug, PartialEq, Eq)]
enum Difference {
    /// Something that has a value in each.
    Value { what: String, sent: String, recorded: String },
    /// Something that only one of them has.
    Missing { what: String, value: String, is_sent: bool },
    /// The lines of the bodies between those that are the same at their start and end.
    Body { sent: Vec<String>, recorded: Vec<String> },
}

/// How far a recorded request is from another one. Smaller is nearer.
type Distance = (bool, bool, usize, usize, usize);

/// The same, found without comparing all pairs of characters.
type RoughDistance = (bool, bool, usize, usize);

/// The recorded requests that may be the nearest one, roughly nearest first.
#[derive(Debug, Default)]
struct Candidates(Vec<(RoughDistance, Key, Arc<Head>)>);

impl Candidates {
    fn add(&mut self, exchange: &Exchange, key: Key, head: Arc<Head>) {
        let distance = rough_distance(exchange, &head);
        let position = self.0.partition_point(|(kept, ..)| *kept <= distance);
        if position < CANDIDATES {
            self.0.truncate(CANDIDATES - 1);
            self.0.insert(position, (distance, key, head));
        }
    }

    /// The nearest one. Calls `distance` once for each.
    fn nearest(self, distance: impl FnMut(&Head) -> Distance) -> Option<(Key, Arc<Head>)> {
        let mut distance = distance;
        let nearest = self.0.into_iter().min_by_key(|(_, _, head)| distance(head))?;
        Some((nearest.1, nearest.2))
    }
}

impl Nearest {
    /// The nearest recorded request. `None` if nothing is recorded.
    pub(super) async fn find(store: &Files, exchange: &Exchange) -> Option<Self> {
        let mut candidates = Candidates::default();
        let mut scan = pin!(store.scan());
        while let Some(scanned) = poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            // A damaged entry is no request to compare with.
            if let Ok(Scanned { key, head, .. }) = scanned {
                candidates.add(exchange, key, head);
            }
        }
        let (key, head) = candidates.nearest(|head| distance(exchange, head))?;
        Some(Self {
            file: store.head_path(&key).unwrap_or_else(|| format!("{key:.8}")),
            line: format!("{} {}", head.method(), head.url()),
            differences: differences(exchange, &head),
        })
    }
}

fn rough_distance(exchange: &Exchange, head: &Head) -> RoughDistance {
    let ((host, path, query), (other_host, other_path, other_query)) =
        (split(&exchange.url), split(head.url()));
    (
        exchange.method != *head.method(),
        host != other_host,
        rough_edits(path, other_path),
        rough_edits(query.unwrap_or_default(), other_query.unwrap_or_default()),
    )
}

/// How many bytes lie between the equal beginnings and the equal ends of two texts.
fn rough_edits(a: &str, b: &str) -> usize {
    let cut = |text: &str| text.len().min(COMPARED);
    let (a, b) = middle(&a.as_bytes()[..cut(a)], &b.as_bytes()[..cut(b)]);
    a.len().max(b.len())
}

fn distance(exchange: &Exchange, head: &Head) -> Distance {
    let ((host, path, query), (other_host, other_path, other_query)) =
        (split(&exchange.url), split(head.url()));
    let headers = head
        .recorded()
        .map_or(0, |recorded| header_differences(&exchange.headers, &recorded.headers).count());
    let body = head.recorded().map_or(0, |recorded| {
        let (sent, recorded) = middle(&exchange.body, &recorded.body);
        sent.len() + recorded.len()
    });
    (
        exchange.method != *head.method(),
        host != other_host,
        edits(path, other_path),
        edits(query.unwrap_or_default(), other_query.unwrap_or_default()),
        headers + body,
    )
}

/// How many characters have to change, of those between equal beginnings and ends.
fn edits(a: &str, b: &str) -> usize {
    let chars = |text: &str| text.chars().take(COMPARED).collect::<Vec<_>>();
    let (a, b) = (chars(a), chars(b));
    let (a, b) = middle(&a, &b);
    let cut = |chars: &[char]| chars.iter().take(COMPARED_IN_PAIRS).collect::<String>();
    strsim::levenshtein(&cut(a), &cut(b))
}

/// Scheme and host, path, and query of a URL.
fn split(url: &str) -> (&str, &str, Option<&str>) {
    let (before, query) = split_query(url);
    let host = before.find("://").map_or(0, |at| at + 3);
    let path = before[host..].find('/').map_or(before.len(), |at| host + at);
    (&before[..path], &before[path..], query)
}

fn differences(exchange: &Exchange, head: &Head) -> Vec<Difference> {
    let value = |what: &str, sent: &str, recorded: &str| {
        let of = |text: &str| text.to_owned();
        let difference =
            Difference::Value { what: of(what), sent: of(sent), recorded: of(recorded) };
        (sent != recorded).then_some(difference)
    };
    let ((host, path, query), (other_host, other_path, other_query)) =
        (split(&exchange.url), split(head.url()));
    let mut found: Vec<Difference> = [
        value("method", exchange.method.as_str(), head.method().as_str()),
        value("host", host, other_host),
        value("path", path, other_path),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.extend(named_differences("parameter", &parameters(query), &parameters(other_query)));
    if let Some(recorded) = head.recorded() {
        found.extend(header_differences(&exchange.headers, &recorded.headers));
        let (sent, recorded) = middle(&exchange.body, &recorded.body);
        if !sent.is_empty() || !recorded.is_empty() {
            found.push(Difference::Body { sent: sent.to_vec(), recorded: recorded.to_vec() });
        }
    }
    found
}

fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn header_differences(
    sent: &HeaderMap,
    recorded: &HeaderMap,
) -> impl Iterator<Item = Difference> + use<> {
    let lines = |headers: &HeaderMap| -> Vec<(String, String)> {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    };
    named_differences("header", &lines(sent), &lines(recorded)).into_iter()
}

/// Compares the values of each name, in their order.
fn named_differences(
    kind: &str,
    sent: &[(String, String)],
    recorded: &[(String, String)],
) -> Vec<Difference> {
    let mut values = BTreeMap::<&str, [Vec<&str>; 2]>::new();
    for (side, pairs) in [sent, recorded].into_iter().enumerate() {
        for (name, value) in pairs {
            values.entry(name).or_default()[side].push(value);
        }
    }
    let compare = |(name, values): (&str, [Vec<&str>; 2])| {
        let what = format!("{kind} `{name}`");
        let is_missing = values.each_ref().map(Vec::is_empty);
        let [sent, recorded] = values.map(|values| values.join(", "));
        match is_missing {
            [false, false] => {
                (sent != recorded).then_some(Difference::Value { what, sent, recorded })
            }
            [false, true] => Some(Difference::Missing { what, value: sent, is_sent: true }),
            [true, _] => Some(Difference::Missing { what, value: recorded, is_sent: false }),
        }
    };
    values.into_iter().filter_map(compare).collect()
}

/// What is left of each without the equal items at the start and at the end.
fn middle<'a, T: PartialEq>(a: &'a [T], b: &'a [T]) -> (&'a [T], &'a [T]) {
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    (&a[..a.len() - end], &b[..b.len() - end])
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, differences } = self;
        let (file, line) = (visible(file), visible(line));
        writeln!(f, "the nearest recorded one is {file}:\n  {line}")?;
        if differences.is_empty() {
            return writeln!(
                f,
                "they differ in nothing that is recorded: the settings of the cassette may have \
                 changed, or secrets in the URL or trailers of the body differ"
            );
        }
        writeln!(f, "they differ:")?;
        differences.iter().try_for_each(|difference| match difference {
            Difference::Value { what, sent, recorded } => {
                writeln!(f, "  {}: sent {sent:?}, recorded {recorded:?}", visible(what))
            }
            Difference::Missing { what, value, is_sent: true } => {
                writeln!(f, "  {}: sent {value:?}, not recorded", visible(what))
            }
            Difference::Missing { what, value, is_sent: false } => {
                writeln!(f, "  {}: not sent, recorded {value:?}", visible(what))
            }
            Difference::Body { sent, recorded } => {
                writeln!(f, "  body (- recorded, + sent):")?;
                write_lines(f, "    - ", recorded)?;
                write_lines(f, "    + ", sent)
            }
        })
    }
}

/// The text without the characters that could change what a terminal shows: control characters, and
/// those that change the direction of writing.
pub(super) fn visible(text: &str) -> String {
    let is_direction = |char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|char| !char.is_control() && !is_direction(*char)).collect()
}

/// Writes the first lines of a body, and says how many follow.
pub(super) fn write_lines(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    lines: &[String],
) -> fmt::Result {
    for line in lines.iter().take(LINES) {
        writeln!(f, "{indent}{}", visible(line))?;
    }
    match lines.len().saturating_sub(LINES) {
        0 => Ok(()),
        more => writeln!(f, "{indent}({more} more lines)"),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Response};

    use super::*;
    use crate::{cache::ReadBody, key::Recipe, time::Timestamp};

    #[test]
    fn few_of_many_recorded_requests_are_compared_in_full() {
        let long = "p".repeat(5_000);
        let url = |at: usize, query: &str| format!("http://a.test/{at}/{long}?{query}{long}");
        let (parts, ()) = Request::get(url(4_321, "")).body(()).unwrap().into_parts();
        let exchange = Exchange::new(&Recipe::default(), &parts, ReadBody::default()).unwrap();
        let mut candidates = Candidates::default();
        let mut add = |method: Method, url: String| {
            let (parts, ()) = Response::new(()).into_parts();
            let head = Head::new(method, &*url, parts, Timestamp::MIN);
            candidates.add(&exchange, Key::digest(&url), Arc::new(head));
        };
        (0..4_000).for_each(|at| add(Method::GET, url(at, "")));
        add(Method::POST, url(4_321, ""));
        add(Method::GET, url(4_321, "page=2&"));
        let mut compared = 0;
        let (key, _) = candidates
            .nearest(|head| {
                compared += 1;
                distance(&exchange, head)
            })
            .unwrap();
        assert_eq!((compared, key), (CANDIDATES, Key::digest(url(4_321, "page=2&"))));
    }

    #[test]
    fn the_rough_distance_is_what_lies_between_equal_ends() {
        for (a, b, expected) in [
            ("", "", 0),
            ("/a", "/a", 0),
            ("/a/x/b", "/a/yy/b", 2),
            ("aa", "aaa", 1),
            ("/é", "/è", 1),
            ("", "abc", 3),
        ] {
            assert_eq!((rough_edits(a, b), rough_edits(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn urls_are_split_at_the_path_and_the_query() {
        for (url, expected) in [
            ("http://a/b?c=/d", ("http://a", "/b", Some("c=/d"))),
            ("http://a:80/", ("http://a:80", "/", None)),
            ("http:///b", ("http://", "/b", None)),
            ("", ("", "", None)),
        ] {
            assert_eq!(split(url), expected, "{url}");
        }
    }

    #[test]
    fn parameters_differ_by_their_names_and_values() {
        let of = |query| parameters(Some(query));
        let found =
            named_differences("parameter", &of("a=1&b=2&c&d=1&d=2"), &of("a=1&b=3&d=2&e=5"));
        let shown =
            Nearest { file: "f".into(), line: "GET /".into(), differences: found }.to_string();
        let expected = "the nearest recorded one is f:\n  GET /\nthey differ:\n  \
                        parameter `b`: sent \"2\", recorded \"3\"\n  \
                        parameter `c`: sent \"\", not recorded\n  \
                        parameter `d`: sent \"1, 2\", recorded \"2\"\n  \
                        parameter `e`: not sent, recorded \"5\"\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_the_lines_in_between_differ() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (a, b, expected) in [
            ("x a y", "x b c y", ("a", "b c")),
            ("x y", "x y", ("", "")),
            ("x x", "x x x", ("", "x")),
            ("a", "b", ("a", "b")),
        ] {
            let (a, b) = (lines(a), lines(b));
            let (a, b) = middle(&a, &b);
            assert_eq!((&*a.join(" "), &*b.join(" ")), expected);
        }
    }
}
