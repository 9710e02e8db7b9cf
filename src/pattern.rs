//! URL patterns: globs that match host and path. They are compiled and checked when they are set.
//!
//! | pattern | matches |
//! |---|---|
//! | `api.example.com` | everything on that host |
//! | `*.example.com/api/**` | everything below `/api/` on any subdomain |
//! | `example.com/*/feed` | exactly one segment at the star |
//! | `/static/**` | everything below `/static/` on any host |
//! | `localhost:8080/**` | that port only; without a port, any port matches |
//!
//! `*` matches within one path segment, but matches dots in a host. `**` matches across segments.
//! `?` matches one character. `{a,b}` and `[a-z]` are alternatives. Scheme and query are not
//! matched. Hosts match in any case. Paths match in their normalised form: percent-encoded only
//! where necessary, in upper case.

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
            if pattern.is_empty() {
                return error("is empty; write \"**\" for every URL".into());
            }
            if let Some((url, query)) = pattern.split_once('?')
                && query.contains('=')
            {
                return error(format!("has a query; queries are not matched, write {url:?}"));
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
            match GlobBuilder::new(&full).literal_separator(true).build() {
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
        assert!(error("").contains("\"**\""));
        assert!(error("a/[z").contains("is not a valid glob"));
        assert!(error("a/b?page=1").ends_with("write \"a/b\""));
    }
}
