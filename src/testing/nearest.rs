//! [`Nearest`]: the recorded request that is most like one that is not recorded, and how they
//! differ.

use std::{collections::BTreeSet, fmt, future::poll_fn, pin::pin, sync::Arc};

use futures_core::Stream;
use http::HeaderMap;

use super::exchange::Exchange;
use crate::{
    entry::Head,
    key::split_query,
    store::{Files, Store},
};

/// The most characters of a path or a query that are compared with another one.
const COMPARED: usize = 256;

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

impl Nearest {
    /// The nearest recorded request. `None` if nothing can be read.
    pub(super) async fn find(store: &Files, exchange: &Exchange) -> Option<Self> {
        let mut nearest: Option<(Distance, _, Arc<Head>)> = None;
        let mut scan = pin!(store.scan());
        while let Some(scanned) = poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            // A damaged entry is no request to compare with.
            let Ok(scanned) = scanned else { continue };
            let distance = distance(exchange, &scanned.head);
            if nearest.as_ref().is_none_or(|(least, ..)| distance < *least) {
                nearest = Some((distance, scanned.key, scanned.head));
            }
        }
        let (_, key, head) = nearest?;
        Some(Self {
            file: store.head_path(&key).unwrap_or_else(|| format!("{key:.8}")),
            line: format!("{} {}", head.method(), head.url()),
            differences: differences(exchange, &head),
        })
    }
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

fn edits(a: &str, b: &str) -> usize {
    let cut = |text: &str| text.chars().take(COMPARED).collect::<String>();
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
    let names: BTreeSet<&String> = sent.iter().chain(recorded).map(|(name, _)| name).collect();
    let value = |pairs: &[(String, String)], name: &String| {
        let values: Vec<&str> =
            pairs.iter().filter(|(of, _)| of == name).map(|(_, value)| &**value).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let compare = |name: &String| {
        let what = format!("{kind} `{name}`");
        match (value(sent, name), value(recorded, name)) {
            (Some(sent), Some(recorded)) => {
                (sent != recorded).then_some(Difference::Value { what, sent, recorded })
            }
            (Some(value), None) => Some(Difference::Missing { what, value, is_sent: true }),
            (None, Some(value)) => Some(Difference::Missing { what, value, is_sent: false }),
            (None, None) => None,
        }
    };
    names.into_iter().filter_map(compare).collect()
}

/// The lines of each that are left without the equal ones at the start and at the end.
fn middle<'a>(a: &'a [String], b: &'a [String]) -> (&'a [String], &'a [String]) {
    let start = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    (&a[..a.len() - end], &b[..b.len() - end])
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, differences } = self;
        writeln!(f, "the nearest recorded one is {file}:\n  {line}")?;
        if differences.is_empty() {
            return writeln!(
                f,
                "they differ in nothing that is recorded: the settings of the cassette may have \
                 changed, or trailers of the body or `Host` differ"
            );
        }
        writeln!(f, "they differ:")?;
        differences.iter().try_for_each(|difference| match difference {
            Difference::Value { what, sent, recorded } => {
                writeln!(f, "  {what}: sent {sent:?}, recorded {recorded:?}")
            }
            Difference::Missing { what, value, is_sent: true } => {
                writeln!(f, "  {what}: sent {value:?}, not recorded")
            }
            Difference::Missing { what, value, is_sent: false } => {
                writeln!(f, "  {what}: not sent, recorded {value:?}")
            }
            Difference::Body { sent, recorded } => {
                writeln!(f, "  body (- recorded, + sent):")?;
                write_lines(f, "    - ", recorded)?;
                write_lines(f, "    + ", sent)
            }
        })
    }
}

/// Writes the first lines of a body, and says how many follow.
pub(super) fn write_lines(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    lines: &[String],
) -> fmt::Result {
    for line in lines.iter().take(LINES) {
        // A control character could change what a terminal shows.
        let shown: String = line.chars().filter(|char| !char.is_control()).collect();
        writeln!(f, "{indent}{shown}")?;
    }
    match lines.len().saturating_sub(LINES) {
        0 => Ok(()),
        more => writeln!(f, "{indent}({more} more lines)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
