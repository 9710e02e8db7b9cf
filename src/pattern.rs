//! URL patterns: globs that match host and path. They are compiled and checked when they are set.
//!
//! The documentation of [`CacheLayer`](crate::CacheLayer#url-patterns) has their syntax.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::ConfigError;

/// URL patterns in order. The first match counts.
#[derive(Clone, Debug)]
pub(crate) struct UrlPatterns(GlobSet);

impl UrlPatterns {
    /// Compiles `patterns` for the setting of that name.
    pub(crate) fn new<'a>(
        setting: &'static str,
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConfigError> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let error = |message: String| {
                Err(ConfigError::new(setting, format!("the URL pattern {pattern:?} {message}")))
            };
            if let Some((_, rest)) = pattern.split_once("://") {
                return error(format!("has a scheme; schemes are not matched, write {rest:?}"));
            }
            if is_empty(pattern) {
                return error("is empty; write \"**\" for every URL".into());
            }
            if (pattern.len() - pattern.trim_end_matches('\\').len()) % 2 == 1 {
                return error("ends with a backslash, which escapes nothing; leave it out".into());
            }
            if let Some((url, query)) = pattern.split_once('?')
                && query.contains('=')
            {
                return error(format!("has a query; queries are not matched, write {url:?}"));
            }
            if let Some(stars) = stars_in_segment(pattern) {
                let (before, after) = (&pattern[..stars], pattern[stars..].trim_start_matches('*'));
                if before.ends_with(['{', ',']) && after.starts_with([',', '}']) {
                    return error(
                        "has \"**\" as an alternative, which would mean one segment; write a \
                         pattern for each alternative, or \"*\""
                            .into(),
                    );
                }
                // At the end of a path, `**` is meant to match all that begins so.
                let deeper = if after.is_empty() && before.contains('/') { "{,/**}" } else { "" };
                let better = format!("{before}*{deeper}{after}");
                return error(format!(
                    "has \"**\" beside other characters; it is a whole segment between slashes, \
                     write {better:?}"
                ));
            }
            let full = match pattern.split_once('/') {
                Some((host, path)) => format!("{}/{path}", host.to_ascii_lowercase()),
                None if pattern == "**" => pattern.into(),
                None => format!("{}/**", pattern.to_ascii_lowercase()),
            };
            // The brackets of an IPv6 address are not a class of characters.
            let full = match full.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((address, rest)) if address.contains(':') => format!("[[]{address}[]]{rest}"),
                _ => full,
            };
            let mut glob = GlobBuilder::new(&full);
            glob.literal_separator(true).empty_alternates(true).backslash_escape(true);
            match glob.build() {
                Ok(glob) => set.add(glob),
                Err(problem) => {
                    let kind = problem.kind();
                    return error(format!(
                        "is not a valid glob: {kind}; write one like \"*.example.com/api/**\""
                    ));
                }
            };
        }
        match set.build() {
            Ok(set) => Ok(Self(set)),
            Err(problem) => Err(ConfigError::new(setting, problem.to_string())),
        }
    }

    /// The position of the first pattern that matches the normalised `url`.
    pub(crate) fn first_match(&self, url: &str) -> Option<usize> {
        let url = url.split_once("://").map_or(url, |(_, rest)| rest);
        let url = url.split_once('?').map_or(url, |(url, _)| url);
        let slash = url.find('/').unwrap_or(url.len());
        let (authority, path) = url.split_at(slash);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        let without_port = format!("{host}{path}");
        [url, without_port.as_str(), path]
            .into_iter()
            .filter_map(|candidate| self.0.matches(candidate).into_iter().min())
            .min()
    }
}

/// Whether `pattern` is a host without a character.
fn is_empty(pattern: &str) -> bool {
    pattern.chars().all(|character| matches!(character, '{' | ',' | '}'))
}

/// Where `pattern` has several stars together that are not a whole segment.
fn stars_in_segment(pattern: &str) -> Option<usize> {
    let (mut is_begin, mut depth, mut at) = (true, 0_u32, 0);
    while let Some(character) = pattern[at..].chars().next() {
        let rest = &pattern[at..];
        let len = match character {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            // In a class, a `]` that comes first is a member.
            '[' => match rest.char_indices().skip(2).find(|(_, member)| *member == ']') {
                Some((end, _)) => end + 1,
                None => rest.len(),
            },
            '*' => rest.len() - rest.trim_start_matches('*').len(),
            _ => character.len_utf8(),
        };
        if character == '*' && len > 1 {
            let is_end = match rest[len..].chars().next() {
                None | Some('/') => true,
                // A whole alternative of stars would mean one segment.
                Some('}' | ',') => depth > 0 && pattern[..at].ends_with('/'),
                Some(_) => false,
            };
            if len > 2 || !is_begin || !is_end {
                return Some(at);
            }
        }
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        is_begin = character == '/' || (depth > 0 && matches!(character, '{' | ','));
        at += len;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        UrlPatterns::new("test", [pattern]).unwrap().first_match(url).is_some()
    }

    #[test]
    fn the_table() {
        for (pattern, url, expected) in [
            ("api.example.com", "https://api.example.com/", true),
            ("api.example.com", "https://api.example.com/a/b?c", true),
            ("API.example.com", "https://api.example.com:8443/a/b", true),
            ("api.example.com", "https://example.com/", false),
            ("*.example.com/api/**", "http://x.y.example.com/api/a/b", true),
            ("*.example.com/api/**", "http://x.example.com/api/", true),
            ("*.example.com/api/**", "http://x.example.com/other", false),
            ("*.example.com/api/**", "http://example.com/api/a", false),
            ("*.example.com/**", "http://evil.com/x.example.com/a", false),
            ("example.com/*/feed", "http://example.com/a/feed", true),
            ("example.com/*/feed", "http://example.com/a/b/feed", false),
            ("example.com/a", "http://example.com/a", true),
            ("example.com/a", "http://example.com/a?q=1", true),
            ("example.com/a", "http://example.com/a/b", false),
            ("/static/**", "http://any/static/a/b", true),
            ("/static/**", "http:///static/a", true),
            ("/static/**", "http://any/x/static/a", false),
            ("localhost:8080/**", "http://localhost:8080/a", true),
            ("localhost:8080/**", "http://localhost:8081/a", false),
            ("localhost", "http://localhost:8081/a", true),
            ("[::1]/**", "http://[::1]/a", true),
            ("[::1]:8080", "http://[::1]:8080/a", true),
            ("[::1]:8080", "http://[::1]:8081/a", false),
            ("[ab].com/x", "http://b.com/x", true),
            ("**", "http://any/thing", true),
            ("*", "http://any/thing", true),
            ("**/feed", "http://any/deep/feed", true),
            ("a.com/x{,/**}", "http://a.com/x", true),
            ("a.com/x{,/**}", "http://a.com/x/", true),
            ("a.com/x{,/**}", "http://a.com/x/y/z", true),
            ("a.com/x{,/**}", "http://a.com/xy", false),
            ("a.com/x*{,/**}", "http://a.com/xy/z", true),
            ("{a,b}.com", "http://b.com/x", true),
            ("{a,b}.com", "http://c.com/x", false),
            ("a.com{,/**}", "http://a.com/x", true),
            ("/{x,y/**}", "http://a.com/y/z/z", true),
            ("/{**/x,y}", "http://a.com/z/z/x", true),
            ("/v?/x", "http://a.com/v1/x", true),
            ("/v?/x", "http://a.com/v/x", false),
            ("/v[0-9]/x", "http://a.com/v1/x", true),
            ("/v[!0-9]/x", "http://a.com/v1/x", false),
            (r"/\*\*x", "http://a.com/**x", true),
            (r"/\*\*x", "http://a.com/yx", false),
            ("/[*][*]x", "http://a.com/**x", true),
            ("/%C3%A4/**", "http://a.com/%C3%A4/x", true),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} on {url}");
        }
    }

    #[test]
    fn the_first_pattern_wins() {
        let patterns = UrlPatterns::new("test", ["a/x", "a/**", "/x"]).unwrap();
        assert_eq!(patterns.first_match("http://a/x"), Some(0));
        assert_eq!(patterns.first_match("http://a:81/y"), Some(1));
        assert_eq!(patterns.first_match("http://b/x"), Some(2));
        assert_eq!(patterns.first_match("http://b/y"), None);
    }

    #[test]
    fn invalid_patterns_are_refused_with_a_suggestion() {
        let error = |pattern| UrlPatterns::new("expire_urls", [pattern]).unwrap_err().to_string();
        assert_eq!(
            error("https://a/**"),
            "expire_urls: the URL pattern \"https://a/**\" has a scheme; schemes are not matched, write \"a/**\""
        );
        for pattern in ["", "{}", "{,}"] {
            assert!(error(pattern).contains("is empty; write \"**\""), "{pattern}");
        }
        for pattern in ["\\", "a.com\\", "a.com/x\\\\\\"] {
            assert!(error(pattern).contains("ends with a backslash"), "{pattern}");
        }
        for pattern in ["/{a,**}/c", "a.com/{**}", "a.com/{x,**}"] {
            assert!(error(pattern).contains("for each alternative"), "{pattern}");
        }
        assert!(error("a/[z").contains("is not a valid glob"));
        assert!(error("a/b?page=1").ends_with("write \"a/b\""));
        for (pattern, better) in [
            ("a.com/x**", "a.com/x*{,/**}"),
            ("a.com/x***", "a.com/x*{,/**}"),
            ("a.com/**x/y", "a.com/*x/y"),
            ("**.example.com/**", "*.example.com/**"),
            ("example.**", "example.*"),
            ("/a/***/b", "/a/*/b"),
            ("/{a,b**}/c", "/{a,b*}/c"),
        ] {
            let error = error(pattern);
            assert!(error.ends_with(&format!("write {better:?}")), "{pattern}: {error}");
            UrlPatterns::new("expire_urls", [better]).unwrap();
        }
    }
}
