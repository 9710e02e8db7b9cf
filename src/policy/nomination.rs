//! Asking for one variant by the tags of others (RFC 9111 §4.3.1): the origin may answer that one of them is what it would
//! send (§4.3.4), and then nothing has to be sent.
//!
//! Strong tags alone: a weak one says that two responses mean the same, not that they are the same bytes. Origins that
//! compress on the way out have one weak tag for the compressed body and the plain one, and of these only one can be read
//! by the client.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE,
        VARY,
    },
};

use super::validation::{Conditions, etag, is_weak};
use crate::{
    entry::{Variant, Variants},
    key::Key,
};

/// So many tags go with one request, and no more bytes of them than this.
const MOST: usize = 8;
const MOST_BYTES: usize = 1024;

/// The strong entity tag of a response with these fields, in quotes as it is to be.
pub(crate) fn strong_tag(headers: &HeaderMap) -> Option<&[u8]> {
    let tag = etag(headers)?.as_bytes().trim_ascii();
    (!is_weak(tag) && tag.starts_with(b"\"")).then_some(tag)
}

/// Whether what a client can use selects the response, and nothing else does (RFC 9110 §12.5). By any other field (`Cookie`,
/// `Authorization`, an `X-Api-Key`), users may have responses of their own, and origins that give all of them the tag of the
/// page are not rare: to ask by the tag of one user's response would be to hand it to another.
pub(crate) fn is_negotiated(list: &Variants) -> bool {
    const NEGOTIATION: [HeaderName; 3] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE];
    list.names.iter().all(|name| NEGOTIATION.contains(name))
}

/// The known variants by which the one of that `key` can be asked for, the latest first, one for each tag. None where they
/// may be [other users'](is_negotiated).
pub(crate) fn nominees<'a>(list: &'a Variants, key: &Key) -> Vec<&'a Variant> {
    let mut nominees: Vec<&Variant> = Vec::new();
    if !is_negotiated(list) {
        return nominees;
    }
    let mut bytes = 0;
    for variant in list.latest().filter(|variant| variant.key != *key) {
        if nominees.len() == MOST {
            break;
        }
        if nominees.iter().any(|known| known.tag == variant.tag) {
            continue;
        }
        bytes += variant.tag.len();
        if bytes > MOST_BYTES {
            break;
        }
        nominees.push(variant);
    }
    nominees
}

/// The conditions under which the origin may answer that one of `nominees` is what was asked for.
pub(crate) fn conditions_of(nominees: &[&Variant]) -> Option<Conditions> {
    let tags: Vec<&[u8]> = nominees.iter().map(|variant| &*variant.tag).collect();
    let value = HeaderValue::from_bytes(&tags.join(&b", "[..])).ok()?;
    (!tags.is_empty()).then(|| Conditions::tags(value))
}

/// The one of `nominees` that a 304 with these fields has chosen.
pub(crate) fn chosen<'a>(
    nominees: &[&'a Variant],
    not_modified: &HeaderMap,
) -> Option<&'a Variant> {
    let tag = strong_tag(not_modified)?;
    nominees.iter().find(|variant| *variant.tag == *tag).copied()
}

/// Whether the client has asked for what the response with these stored fields is: its codings are all among those that
/// the `request` names, and so are its type and its languages where the origin selects by these. Origins that have one tag
/// for every form of a thing, be it against RFC 9110 §8.8.3, would else hand the one out for the other, and answer rightly
/// where nobody asks them by the tag. What a wildcard would take in was not asked for.
pub(crate) fn suits(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let is_named = |field: &HeaderName, what: &str, suits: fn(&str, &str) -> bool| {
        members(request, field.clone()).iter().any(|member| {
            let (name, parameters) = member.split_once(';').unwrap_or((member, ""));
            let weight = parameters.split(';').find_map(|it| it.trim().strip_prefix("q="));
            let is_refused =
                weight.is_some_and(|q| q.trim().bytes().all(|byte| b"0.".contains(&byte)));
            suits(name.trim(), what) && !is_refused
        })
    };
    let selects = |field: HeaderName| members(stored, VARY).iter().any(|it| *it == field.as_str());
    let all = |field: HeaderName, what: Vec<String>, suits: fn(&str, &str) -> bool| {
        !what.is_empty() && what.iter().all(|what| is_named(&field, what, suits))
    };
    let mut codings = members(stored, CONTENT_ENCODING);
    codings.retain(|coding| coding != "identity");
    let mut types = members(stored, CONTENT_TYPE);
    types.iter_mut().for_each(|it| it.truncate(it.find(';').unwrap_or(it.len())));
    (codings.is_empty() || all(ACCEPT_ENCODING, codings, |name, coding| name == coding))
        && (!selects(ACCEPT) || all(ACCEPT, types, is_of_type))
        && (!selects(ACCEPT_LANGUAGE)
            || all(ACCEPT_LANGUAGE, members(stored, CONTENT_LANGUAGE), is_of_language))
}

/// Whether a media range (RFC 9110 §12.5.1) names the type, or all of its kind.
fn is_of_type(range: &str, of: &str) -> bool {
    let of = of.trim_end();
    range == of || range.strip_suffix("/*").is_some_and(|kind| of.split('/').next() == Some(kind))
}

/// Whether a language range takes the language in (RFC 4647 §3.3.1), or falls back to it (§3.4).
fn is_of_language(range: &str, of: &str) -> bool {
    let begins = |one: &str, other: &str| {
        other.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    begins(range, of) || begins(of, range)
}

/// The members of a list, in small letters.
fn members(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let mut members = Vec::new();
    for line in headers.get_all(name) {
        let line = String::from_utf8_lossy(line.as_bytes()).to_ascii_lowercase();
        members.extend(line.split(',').map(|member| member.trim().to_owned()));
    }
    members.retain(|member| !member.is_empty());
    members
}

/// Whether a response with these fields has that tag still.
pub(crate) fn has_tag(headers: &HeaderMap, tag: &[u8]) -> bool {
    strong_tag(headers) == Some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn variant(n: usize, tag: &str) -> Variant {
        let key = Key::digest(n.to_string());
        Variant::new(key, key, tag.as_bytes()).unwrap()
    }

    fn list(names: &[HeaderName], variants: impl IntoIterator<Item = Variant>) -> Variants {
        Variants::new(names.to_vec()).with_known(variants)
    }

    #[test]
    fn a_strong_tag_has_quotes_and_no_mark() {
        let of = |value| strong_tag(&fields(&[("etag", value)])).is_some();
        assert!(of("\"a\"") && of(" \"\" "));
        for other in ["W/\"a\"", "a", "*", "\"a\", \"b\"", ""] {
            assert!(!of(other), "{other}");
        }
    }

    #[test]
    fn the_latest_of_others_are_named_each_tag_once_and_not_too_many() {
        let accept = [http::header::ACCEPT];
        let few = list(&accept, [variant(1, "\"a\""), variant(2, "\"b\""), variant(3, "\"a\"")]);
        let own = Key::digest("2");
        let tags = |list: &Variants| {
            let conditions = conditions_of(&nominees(list, &own))?;
            let mut headers = fields(&[("if-none-match", "\"x\""), ("if-modified-since", "x")]);
            conditions.apply(&mut headers);
            assert_eq!(headers.len(), 1);
            Some(headers["if-none-match"].to_str().unwrap().to_owned())
        };
        assert_eq!(tags(&few).as_deref(), Some("\"a\""));
        let many = list(&accept, (0..20).map(|n| variant(n, &format!("\"{n}\""))));
        let expected = "\"19\", \"18\", \"17\", \"16\", \"15\", \"14\", \"13\", \"12\"";
        assert_eq!(tags(&many).as_deref(), Some(expected));
        let long =
            list(&accept, (3..9).map(|n| variant(n, &format!("\"{}{n}\"", "a".repeat(240)))));
        assert_eq!(nominees(&long, &own).len(), 4);
        assert_eq!(tags(&list(&accept, [variant(2, "\"a\"")])), None);
    }

    #[test]
    fn what_others_have_by_who_they_are_is_not_named() {
        for name in ["authorization", "cookie", "x-api-key", "origin", "user-agent"] {
            let names = [ACCEPT, HeaderName::from_static(name)];
            assert!(nominees(&list(&names, [variant(1, "\"a\"")]), &Key::digest("2")).is_empty());
        }
    }

    #[test]
    fn a_304_chooses_by_a_strong_tag_alone() {
        let list = list(&[http::header::ACCEPT], [variant(1, "\"a\""), variant(2, "\"b\"")]);
        let nominees = nominees(&list, &Key::digest("3"));
        let of = |lines| chosen(&nominees, &fields(lines)).map(|variant| variant.key);
        assert_eq!(of(&[("etag", "\"a\"")]), Some(Key::digest("1")));
        assert_eq!(of(&[("etag", "\"c\"")]), None);
        assert_eq!(of(&[("etag", "W/\"a\"")]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]), None);
    }

    #[test]
    fn a_coding_has_to_be_accepted() {
        for (accepted, coding, expected) in [
            ("", "", true),
            ("", "identity", true),
            ("", "gzip", false),
            ("br", "gzip", false),
            ("br, GZip", "gzip", true),
            ("br;q=1, gzip; q=0.5", "gzip", true),
            ("gzip;q=0", "gzip", false),
            ("gzip;q=0.00", "gzip", false),
            ("*", "gzip", false),
            ("gzip", "gzip, br", false),
            ("gzip, br", "gzip, br", true),
        ] {
            let request = fields(&[("accept-encoding", accepted)]);
            let stored = fields(&[("content-encoding", coding)]);
            assert_eq!(suits(&request, &stored), expected, "{accepted:?} {coding:?}");
        }
        assert!(suits(&HeaderMap::new(), &HeaderMap::new()));
    }

    #[test]
    fn what_the_origin_selects_by_has_to_be_asked_for() {
        for (accepted, kind, expected) in [
            ("text/html", "text/html; charset=utf-8", true),
            ("Text/HTML;level=1;q=0.5", "text/html ;charset=utf-8", true),
            ("text/*", "text/plain", true),
            ("text/html, */*;q=0.8", "application/json", false),
            ("application/json;q=0", "application/json", false),
            ("text/html", "", false),
            ("", "text/html", false),
        ] {
            let request = fields(&[("accept", accepted)]);
            let stored = |vary| fields(&[("vary", vary), ("content-type", kind)]);
            assert_eq!(
                suits(&request, &stored("origin, Accept")),
                expected,
                "{accepted:?} {kind:?}"
            );
            assert!(suits(&request, &stored("accept-encoding")), "it does not select by it");
        }
        for (accepted, language, expected) in [
            ("en", "en", true),
            ("en", "en-GB", true),
            ("en-GB", "en", true),
            ("en-GB", "en-US", false),
            ("de, en;q=0.5", "en", true),
            ("de, *", "en", false),
            ("de, en;q=0", "en", false),
            ("en, de", "en, de", true),
            ("en", "en, de", false),
            ("en", "enx", false),
            ("en", "", false),
        ] {
            let request = fields(&[("accept-language", accepted)]);
            let stored = fields(&[("vary", "accept-language"), ("content-language", language)]);
            assert_eq!(suits(&request, &stored), expected, "{accepted:?} {language:?}");
        }
    }
}
