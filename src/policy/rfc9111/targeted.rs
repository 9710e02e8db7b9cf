//! Targeted cache control (RFC 9213): fields such as `CDN-Cache-Control` that apply to certain
//! caches. They replace `Cache-Control` and `Expires`.
//!
//! They are structured fields. Keys are lower-case, no whitespace surrounds `=`, and the last of
//! two equal keys counts. A value that should be an integer and is none (`max-age="60"`,
//! `max-age=1.5`) invalidates the field, as a syntax error does. An invalid field is ignored
//! (§2.1): the next targeted field decides, and finally `Cache-Control`. A directive with the
//! value `?0` is absent. A directive that forbids still forbids with any other value.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use crate::{
    entry::ResponseFields,
    fields::{Argument, Directives, Value, dictionary},
};

/// The directives for a cache with these `targets`, and whether a targeted field supplies them. The
/// first targeted field that is present, valid and not empty counts (RFC 9213 §2.2). Without one,
/// `Cache-Control` counts.
pub(crate) fn effective_directives<'a>(
    targets: &[HeaderName],
    fields: ResponseFields<'a>,
) -> (Cow<'a, Directives>, bool) {
    match targets.iter().find_map(|target| targeted_directives(target, fields.lines())) {
        Some(directives) => (Cow::Owned(directives), true),
        None => (Cow::Borrowed(&fields.facts().directives), false),
    }
}

const LENGTHS: [&str; 4] = ["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"];

const KNOWN: [&str; 12] = [
    LENGTHS[0],
    LENGTHS[1],
    LENGTHS[2],
    LENGTHS[3],
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
];

fn targeted_directives(target: &HeaderName, headers: &HeaderMap) -> Option<Directives> {
    let members = dictionary(headers, target, &KNOWN)?;
    let mut directives = Directives::default();
    for key in KNOWN {
        let last = members.iter().rfind(|(member, _)| *member == key);
        if let Some((_, value)) = last.filter(|(_, value)| *value != Value::Boolean(false)) {
            directives.add(key.as_bytes(), &argument(key, value)?);
        }
    }
    Some(directives)
}

/// The value as an argument of `Cache-Control` (RFC 9213 §2.1). `None` if a duration is no
/// integer.
fn argument<'a>(key: &str, value: &'a Value) -> Option<Argument<'a>> {
    if LENGTHS.contains(&key) {
        return match value {
            // A negative number is no valid duration, and so counts as zero.
            Value::Integer(seconds) => {
                Some(Argument::Given(seconds.to_string().into_bytes().into()))
            }
            _ => None,
        };
    }
    Some(match value {
        Value::Boolean(_) => Argument::None,
        Value::Token(text) | Value::String(text) => Argument::Given(text.as_bytes().into()),
        Value::Integer(_) | Value::Strings(_) | Value::Other => Argument::Invalid,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Response, header::SET_COOKIE};

    use super::{super::stale::stale_rules, *};
    use crate::{
        entry::ResponseHead,
        fields::{Fields, response_directives},
        policy::Scope,
        time::Timestamp,
    };

    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");
    const OWN: HeaderName = HeaderName::from_static("my-cache-control");

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn of(lines: &[(&'static str, &'static str)]) -> (Directives, bool) {
        effective(&[OWN, CDN], map(lines))
    }

    fn effective(targets: &[HeaderName], headers: HeaderMap) -> (Directives, bool) {
        let mut parts = Response::new(()).into_parts().0;
        parts.headers = headers;
        let response = ResponseHead::new(parts, Timestamp::MIN);
        let (directives, is_targeted) = effective_directives(targets, response.fields());
        (directives.into_owned(), is_targeted)
    }

    const fn cdn(line: &'static str) -> (&'static str, &'static str) {
        ("cdn-cache-control", line)
    }

    const CC: (&str, &str) = ("cache-control", "no-store, max-age=1");

    fn max_age(seconds: u64) -> Directives {
        Directives { max_age: Some(seconds), ..Directives::default() }
    }

    /// `cdn-cache-control.mjs`.
    #[test]
    fn a_valid_field_replaces_cache_control() {
        for (line, expected) in [
            ("max-age=3600", max_age(3600)),
            ("max-age=2147483648", max_age(2_147_483_648)),
            ("max-age=99999999999", max_age(99_999_999_999)),
            ("max-age=0", max_age(0)),
            ("max-age=-5", max_age(0)),
            ("foobar, max-age=3600", max_age(3600)),
            ("max-age=3600;x=\"y\", foobar=1.5;z", max_age(3600)),
            ("foo", Directives::default()),
            ("no-store", Directives { no_store: true, ..Directives::default() }),
            ("no-store=?0", Directives::default()),
            ("no-store, no-store=?0", Directives::default()),
            ("no-store=?0, no-store", Directives { no_store: true, ..Directives::default() }),
            ("no-store=1", Directives { no_store: true, ..Directives::default() }),
            ("private", Directives { private: Some(Fields::All), ..Directives::default() }),
            ("private=(\"a\")", Directives { private: Some(Fields::All), ..Directives::default() }),
            (
                "no-cache=\"set-cookie\"",
                Directives {
                    no_cache: Some(Fields::Named(vec![SET_COOKIE])),
                    ..Directives::default()
                },
            ),
            ("max-age=5, max-age=3600", max_age(3600)),
            ("max-age=\"x\", max-age=5", max_age(5)),
            ("public=1, immutable=x", Directives::default()),
        ] {
            assert_eq!(of(&[cdn(line), CC]), (expected, true), "{line}");
        }
        assert_eq!(of(&[cdn("public"), cdn("max-age=3")]).0.max_age, Some(3));
    }

    /// `cdn-cache-control.mjs`.
    #[test]
    fn an_invalid_field_is_ignored() {
        let cache_control = response_directives(&map(&[CC]));
        for line in [
            "",
            "max-age=10000, &&&&&",
            "max-age=\"10000\"",
            "max-age=1.5",
            "max-age",
            "max-age =100",
            "max-age= 100",
            "MaX-aGe=3600",
            "max-age=3600,",
            "max-age=9999999999999999",
            "no-store, s-maxage=x",
        ] {
            assert_eq!(of(&[cdn(line), CC]), (cache_control.clone(), false), "{line}");
        }
        let mut headers = map(&[CC]);
        headers.append(CDN, HeaderValue::from_bytes(b"max-age=5, x\xff").unwrap());
        assert_eq!(effective(&[CDN], headers), (cache_control, false));
    }

    #[test]
    fn the_first_valid_target_decides() {
        let own = |line| ("my-cache-control", line);
        assert_eq!(of(&[cdn("max-age=5"), own("max-age=6"), CC]), (max_age(6), true));
        assert_eq!(of(&[cdn("max-age=5"), own("max-age=x"), CC]), (max_age(5), true));
        assert_eq!(of(&[cdn("max-age=5"), own(""), CC]), (max_age(5), true));
        let untargeted = effective(&[], map(&[cdn("max-age=5"), CC]));
        assert_eq!(untargeted, (response_directives(&map(&[CC])), false));
    }

    #[test]
    fn targeted_fields_state_the_stale_rules_of_their_caches() {
        let lines = [("cache-control", "must-revalidate"), cdn("max-age=5, stale-if-error=9")];
        let rules =
            |targets: &[HeaderName]| stale_rules(Scope::Shared, &effective(targets, map(&lines)).0);
        let targeted = rules(&[CDN]);
        assert_eq!(
            (targeted.is_forbidden, targeted.if_error),
            (false, Some(Duration::from_secs(9)))
        );
        assert!(rules(&[]).is_forbidden);
    }

    #[test]
    fn every_directive_is_known_here_too() {
        let line = "max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4, no-store, \
                    no-cache, private, public, must-revalidate, proxy-revalidate, \
                    must-understand, no-transform, immutable";
        let spelled = response_directives(&map(&[("cache-control", line)]));
        assert_eq!(of(&[cdn(line)]), (spelled, true));
    }
}
