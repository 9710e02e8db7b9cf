//! Removes ignored parameters and user information from the URLs in a text.

use crate::key::{IgnoredParameters, MAX_ENCODINGS, decode_parameter};

/// The characters before a parameter: of a query, of a fragment, of a path segment.
const SEPARATORS: [char; 4] = ['?', '&', '#', ';'];

/// Where the URLs of a text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The text is a URL.
    Url,
    /// The text may have URLs in it. Each ends at whitespace, a quote or an angle bracket.
    Any,
}

/// The text without ignored parameters and user information. `None` if it has none.
///
/// A parameter is found where [`IgnoredParameters::are_in`] finds it: in a query, a fragment or a
/// path segment, and in a URL within the URL. A parameter goes together with all that a server may
/// take for its value. If it is in the encoded value of another one, the other one goes too.
pub(super) fn redacted(ignored: &IgnoredParameters, text: &str, kind: Text) -> Option<String> {
    let mut kept = String::with_capacity(text.len());
    match kind {
        Text::Url => push_url(&mut kept, ignored, text),
        Text::Any => {
            for piece in text.split_inclusive(is_end) {
                let url = piece.trim_end_matches(is_end);
                push_url(&mut kept, ignored, url);
                kept.push_str(&piece[url.len()..]);
            }
        }
    }
    (kept != text).then_some(kept)
}

/// Whether a URL in a text ends here. A `'` may be a part of the URL.
fn is_end(char: char) -> bool {
    char.is_whitespace() || ['"', '<', '>'].contains(&char)
}

fn push_url(out: &mut String, ignored: &IgnoredParameters, url: &str) {
    let without = without_userinfo(url);
    let url = without.as_deref().unwrap_or(url);
    let (path, mut rest) = url.split_at(url.find(SEPARATORS).unwrap_or(url.len()));
    for (position, segment) in path.split('/').enumerate() {
        if position > 0 {
            out.push('/');
        }
        if !hides(ignored, segment) {
            out.push_str(segment);
        }
    }
    // The mark before what is left of a query or a fragment whose beginning is removed.
    let (mut mark, mut has_query) = (None, false);
    while !rest.is_empty() {
        let (separator, behind) = rest.split_at(1);
        let (piece, next) = behind.split_at(behind.find(SEPARATORS).unwrap_or(behind.len()));
        let shown = mark.take().filter(|_| separator == "&").unwrap_or(separator);
        rest = next;
        if hides(ignored, &[separator, piece].concat()) {
            mark = (shown == "#" || (shown == "?" && !has_query)).then_some(shown);
            // Some servers do not end a value at a `;` or a `?`.
            let ends: &[char] = if separator == ";" { &SEPARATORS } else { &['&', '#'] };
            rest = &behind[behind.find(ends).unwrap_or(behind.len())..];
        } else {
            has_query |= shown == "?";
            out.push_str(shown);
            out.push_str(piece);
        }
    }
}

/// Whether a part of a URL has an ignored parameter, or a URL within it has user information.
fn hides(ignored: &IgnoredParameters, part: &str) -> bool {
    if ignored.are_in_url(part) {
        return true;
    }
    let mut text = part.to_owned();
    for _ in 0..MAX_ENCODINGS {
        let decoded = decode_parameter(&text);
        if decoded == text {
            break;
        }
        if without_userinfo(&decoded).is_some() {
            return true;
        }
        text = decoded;
    }
    false
}

/// A URL without the user information of itself and of URLs within it. `None` if it has none.
fn without_userinfo(text: &str) -> Option<String> {
    let mut kept = String::with_capacity(text.len());
    let query = text.find('?').unwrap_or(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//") {
        let (before, behind) = rest.split_at(at + 2);
        kept.push_str(before);
        // In a query, the next parameter follows.
        let is_in_query = text.len() - behind.len() > query;
        let ends = |char: char| {
            ['/', '?', '#'].contains(&char) || is_end(char) || (char == '&' && is_in_query)
        };
        let authority = &behind[..behind.find(ends).unwrap_or(behind.len())];
        rest = &behind[authority.rfind('@').map_or(0, |at| at + 1)..];
    }
    kept.push_str(rest);
    (kept.len() < text.len()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Recipe;

    fn ignoring(names: &[&str]) -> IgnoredParameters {
        let mut recipe = Recipe::default();
        recipe.add_ignored_parameters(names).unwrap();
        recipe.ignored_parameters
    }

    #[test]
    fn ignored_parameters_are_removed_from_the_urls_in_a_text() {
        let ignored = ignoring(&["api_key"]);
        for (text, expected) in [
            ("/x?api_key=s", Some("/x")),
            ("/x?a=1&API%5Fkey=s&b=2#c", Some("/x?a=1&b=2#c")),
            ("/x?api_key=s&api_key=t&b=2", Some("/x?b=2")),
            (
                "</x?a=1&api_key=s>; rel=next, <?api_key=s>; rel=last",
                Some("</x?a=1>; rel=next, <>; rel=last"),
            ),
            ("</x?a=1>,</y?api_key=s>", Some("</x?a=1>,</y>")),
            ("0; url=http://h/?api_key=s", Some("0; url=http://h/")),
            // All that may be the value.
            ("/x?a=1,2&api_key=s;3", Some("/x?a=1,2")),
            ("/x?api_key=s?t'u&b", Some("/x?b")),
            ("/x?a=1?api_key=s", Some("/x?a=1")),
            ("/x?a=1#state=2&api_key=s", Some("/x?a=1#state=2")),
            ("/x#api_key=s", Some("/x")),
            ("/x#api_key=s&b=1", Some("/x#b=1")),
            // Behind other separators.
            ("/x;api_key=s", Some("/x")),
            ("/x;api_key=s/y?b=1", Some("/x?b=1")),
            ("/x?a=1;api_key=s&b=2", Some("/x?a=1&b=2")),
            ("/x?a=1;api_key=s;b=2", Some("/x?a=1;b=2")),
            ("/x?a=1&amp;api_key=s", Some("/x?a=1&amp")),
            // In a URL within the URL.
            ("/login?next=%2Fcb%3Fapi_key%3Ds&a=1", Some("/login?a=1")),
            ("/login?a=1&next=%252Fcb%253Fb%253D1%2526api%5Fkey%253Ds", Some("/login?a=1")),
            ("/login?next=/cb?api_key=s&a=1", Some("/login?next=/cb&a=1")),
            ("/login#next=%2Fcb%3Fapi_key%3Ds", Some("/login")),
            ("/to/http%3A%2F%2Fh%3Fapi_key%3Ds/x", Some("/to//x")),
            ("/x?%2561pi_key=s&b=1", Some("/x?b=1")),
            ("/x#part", None),
            ("/x#api_key", None),
            ("/x?a=1;b=%26%3B100%", None),
            ("text/html; api_key=s", None),
            ("api_key=s", None),
            ("/?", None),
            ("", None),
        ] {
            assert_eq!(redacted(&ignored, text, Text::Any).as_deref(), expected, "{text}");
        }
        let url = "/x?api_key=a b\"c&d=e f";
        assert_eq!(redacted(&ignored, url, Text::Url).as_deref(), Some("/x?d=e f"));
    }

    #[test]
    fn user_information_is_removed_from_every_url_in_a_text() {
        let ignored = ignoring(&[]);
        for (text, expected) in [
            ("http://alice:s@a/x?y=@", Some("http://a/x?y=@")),
            ("//s@a", Some("//a")),
            ("http://a:p&;@s@a/", Some("http://a/")),
            ("<https://u:s@a/>; rel=next, <//v@b>", Some("<https://a/>; rel=next, <//b>")),
            ("</a?x=1>; rel=next, <https://u:p&w@b/>", Some("</a?x=1>; rel=next, <https://b/>")),
            ("/x?next=https://u:s@a/&b=1", Some("/x?next=https://a/&b=1")),
            ("/x?next=https%3A%2F%2Fu%3As%40a%2F&b=1", Some("/x?b=1")),
            ("/x?next=https://a&mail=b@c", None),
            ("http://a/@b", None),
            ("a@b // c@d", None),
        ] {
            assert_eq!(redacted(&ignored, text, Text::Any).as_deref(), expected, "{text}");
        }
    }
}
