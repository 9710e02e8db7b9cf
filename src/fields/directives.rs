//! Response directives ([`Directives`]): `Cache-Control` in a response (RFC 9111 §5.2.2).
//!
//! Names match in any case. An argument is a token or a quoted string. All lines count, in any
//! order (RFC 9111 §5.2). If two values of a directive conflict, the more restrictive one counts.
//! An invalid lifetime makes the response stale (§4.2.1). A directive that permits something
//! counts only if it is well-formed.

use http::{
    HeaderMap, HeaderName,
    header::{
        AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE,
        ETAG, EXPIRES, LAST_MODIFIED, VARY,
    },
};

use super::syntax::{Argument, each_directive};

/// The response directives (RFC 9111 §5.2.2, RFC 5861, RFC 8246). Durations are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) no_store: bool,
    pub(crate) no_cache: Option<Fields>,
    pub(crate) private: Option<Fields>,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    /// Without an argument: `no-store` does not apply to a status that is understood.
    pub(crate) must_understand: bool,
    /// In any spelling: a response is not stored if its status is not understood.
    pub(crate) needs_understanding: bool,
    pub(crate) immutable: bool,
    pub(crate) stale_while_revalidate: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    /// Whether a directive lets a shared cache store the response to a request with `Authorization`
    /// (RFC 9111 §3.5). The directive must be well-formed: a malformed `must-revalidate`
    /// restricts, but permits nothing.
    pub(crate) allows_authorization: bool,
}

/// The scope of `no-cache` and `private` (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    /// The whole response.
    All,
    /// These fields of the response. None of them is essential.
    Named(Vec<HeaderName>),
}

/// If a directive names an essential field, its scope is the whole response. Without that field,
/// the rest would be a different response.
static ESSENTIAL: [HeaderName; 11] = [
    AGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    VARY,
];

/// More names than this count as the whole response. No origin lists so many, and each name is
/// compared with every header line.
const MAX_NAMES: usize = 32;

impl Fields {
    /// The scope that the argument names: the whole response, unless the argument is a valid list
    /// of field names that are not essential.
    fn of(argument: &Argument<'_>) -> Self {
        let Argument::Given(text) = argument else { return Self::All };
        let mut names = Vec::new();
        for name in text.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            match HeaderName::from_bytes(name) {
                _ if name.is_empty() => {}
                Ok(name) if names.len() < MAX_NAMES && !ESSENTIAL.contains(&name) => {
                    names.push(name);
                }
                _ => return Self::All,
            }
        }
        if names.is_empty() { Self::All } else { Self::Named(names) }
    }

    /// The union of both: the whole response if either covers it.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Named(mut names), Self::Named(more)) => {
                names.extend(more);
                if names.len() > MAX_NAMES { Self::All } else { Self::Named(names) }
            }
            _ => Self::All,
        }
    }
}

impl Directives {
    /// No directives.
    pub(crate) const NONE: Self = Self {
        max_age: None,
        s_maxage: None,
        no_store: false,
        no_cache: None,
        private: None,
        public: false,
        must_revalidate: false,
        proxy_revalidate: false,
        must_understand: false,
        needs_understanding: false,
        immutable: false,
        stale_while_revalidate: None,
        stale_if_error: None,
        allows_authorization: false,
    };

    /// Leaves out the names of fields that the response does not have, and repeated names. They
    /// mean nothing, and would take memory.
    pub(crate) fn retain_fields_of(&mut self, response: &HeaderMap) {
        for fields in [&mut self.no_cache, &mut self.private].into_iter().flatten() {
            if let Fields::Named(names) = fields {
                names.retain(|name| response.contains_key(name));
                names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
                names.dedup();
                names.shrink_to_fit();
            }
        }
    }

    /// Adds one more directive. An unknown one is ignored (RFC 9111 §5.2.3).
    pub(crate) fn add(&mut self, name: &[u8], argument: &Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let is_bare = *argument == Argument::None;
        // An invalid lifetime counts as zero.
        let least = |slot: Option<u64>| {
            let seconds = argument.seconds().unwrap_or(0);
            Some(slot.map_or(seconds, |known| known.min(seconds)))
        };
        let join = |slot: Option<Fields>| {
            let fields = Fields::of(argument);
            Some(match slot {
                Some(known) => known.join(fields),
                None => fields,
            })
        };
        if is("max-age") {
            self.max_age = least(self.max_age);
        } else if is("s-maxage") {
            self.s_maxage = least(self.s_maxage);
            self.allows_authorization |= argument.seconds().is_some();
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = join(self.no_cache.take());
        } else if is("private") {
            self.private = join(self.private.take());
        } else if is("public") {
            self.public |= is_bare;
            self.allows_authorization |= is_bare;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
            self.allows_authorization |= is_bare;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand |= is_bare;
            self.needs_understanding = true;
        } else if is("immutable") {
            self.immutable |= is_bare;
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = least(self.stale_while_revalidate);
        } else if is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error);
        }
    }
}

/// The directives of all `Cache-Control` lines of a response.
pub(crate) fn response_directives(headers: &HeaderMap) -> Directives {
    #[cfg(test)]
    super::Parsed::count(|parsed| parsed.directives += 1);
    let mut directives = Directives::default();
    each_directive(headers, &CACHE_CONTROL, |name, argument| directives.add(name, &argument));
    directives
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::SET_COOKIE};

    use super::*;

    fn of(lines: &[&'static str]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
        }
        response_directives(&headers)
    }

    #[test]
    fn every_directive_is_known_in_any_case() {
        let all = "Max-Age=1, S-MAXAGE=2, No-Store, nO-cAcHe, PRIVATE, Public, Must-Revalidate, \
                   PROXY-revalidate, must-UNDERSTAND, no-Transform, IMMUTABLE, \
                   Stale-While-Revalidate=3, stale-IF-error=4, x-unknown, foo=bar";
        let expected = Directives {
            max_age: Some(1),
            s_maxage: Some(2),
            no_store: true,
            no_cache: Some(Fields::All),
            private: Some(Fields::All),
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            needs_understanding: true,
            immutable: true,
            stale_while_revalidate: Some(3),
            stale_if_error: Some(4),
            allows_authorization: true,
        };
        assert_eq!(of(&[all]), expected);
        let lines: Vec<&'static str> = all.split(", ").collect();
        assert_eq!(of(&lines), expected);
        assert_eq!(of(&[]), Directives::default());
        assert_eq!(of(&["foobar, x=\"no-store, max-age=0\""]), Directives::default());
    }

    /// `cc-parse.mjs` and `cc-freshness.mjs`.
    #[test]
    fn invalid_lifetimes_count_as_zero() {
        for (lines, expected) in [
            (&["max-age=1800, max-age=1"][..], 1),
            (&["max-age=1800", "max-age=1"], 1),
            (&["max-age=1, max-age=1800"], 1),
            (&["max-age=1", "max-age=1800"], 1),
            (&["max-age=\"3600\""], 3600),
            (&["extension=\"max-age=3600\", max-age=1"], 1),
            (&["max-age=1, extension=\"max-age=3600\""], 1),
            (&["max-age =3600"], 0),
            (&["max-age= 3600"], 0),
            (&["max-age=003600"], 3600),
            (&["max-age='3600'"], 0),
            (&["max-age=3600.0"], 0),
            (&["max-age=3600.5"], 0),
            (&["max-age=a3600"], 0),
            (&["max-age=3600a"], 0),
            (&["max-age=-3600"], 0),
            (&["max-age"], 0),
            (&["max-age="], 0),
            (&["max-age=\"\""], 0),
            (&["max-age=3600; foo"], 0),
            (&["max-age=3600, max-age=x"], 0),
            (&["foobar, max-age=3600"], 3600),
            (&["max-age=2147483647"], 2_147_483_647),
            (&["max-age=2147483649"], 2_147_483_649),
            (&["max-age=99999999999"], 99_999_999_999),
            (&["max-age=99999999999999999999999999"], u64::MAX),
        ] {
            assert_eq!(of(lines).max_age, Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn malformed_directives_are_treated_as_restrictive() {
        let read = of(&["private; max-age=600"]);
        assert_eq!((read.private, read.max_age), (Some(Fields::All), Some(0)));
        for line in
            ["no-store=1", "\"no-store\"", "x=\"no-store", "no-store max-age=5", "a no-store"]
        {
            assert!(of(&[line]).no_store, "{line}");
        }
        let sloppy = of(&["public=1, must-understand=1, immutable=1, public; x, s-maxage=x"]);
        let expected =
            Directives { s_maxage: Some(0), needs_understanding: true, ..Directives::default() };
        assert_eq!(sloppy, expected);
        let sloppy = of(&["must-revalidate=1"]);
        assert!(sloppy.must_revalidate && !sloppy.allows_authorization);
        for line in ["public", "must-revalidate", "s-maxage=1", "s-maxage=\"0\""] {
            assert!(of(&[line]).allows_authorization, "{line}");
        }
        assert!(!of(&["max-age=1, private, proxy-revalidate, immutable"]).allows_authorization);
    }

    #[test]
    fn invalid_bytes_hide_no_directive() {
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"x=\xff\xe4, no-store\xa0, max-age=\xb2").unwrap();
        headers.append(CACHE_CONTROL, line);
        let expected = Directives { no_store: true, max_age: Some(0), ..Directives::default() };
        assert_eq!(response_directives(&headers), expected);
    }

    #[test]
    fn unqualified_directives_override_named_fields() {
        let named = |names: &[HeaderName]| Some(Fields::Named(names.to_vec()));
        let x = HeaderName::from_static("x-a");
        for (lines, expected) in [
            (&["no-cache=\"Set-Cookie\""][..], named(&[SET_COOKIE])),
            (&["no-cache=\"X-A, set-cookie ,\""], named(&[x.clone(), SET_COOKIE])),
            (&["no-cache=set-cookie"], named(&[SET_COOKIE])),
            (&["no-cache=x-a", "no-cache=\"set-cookie\""], named(&[x, SET_COOKIE])),
            (&["no-cache=x-a, no-cache"], Some(Fields::All)),
            (&["no-cache, no-cache=x-a"], Some(Fields::All)),
            (&["no-cache=\"\""], Some(Fields::All)),
            (&["no-cache=\" , \""], Some(Fields::All)),
            (&["no-cache=\"not a name\""], Some(Fields::All)),
            (&["no-cache=\"x-a"], Some(Fields::All)),
            (&["no-cache=\"x-a\" x"], Some(Fields::All)),
        ] {
            let read = of(lines);
            assert_eq!(read.no_cache, expected, "{lines:?}");
            assert_eq!((read.no_cache == Some(Fields::All)), expected == Some(Fields::All));
        }
        let many = format!("private=\"{}\"", vec!["x"; MAX_NAMES + 1].join(","));
        assert_eq!(of(&[many.leak()]).private, Some(Fields::All));
        let half = format!("private=\"{}\"", vec!["x"; MAX_NAMES].join(","));
        let half: &'static str = half.leak();
        assert!(matches!(of(&[half]).private, Some(Fields::Named(_))));
        assert_eq!(of(&[half, "private=x"]).private, Some(Fields::All));
    }
}
