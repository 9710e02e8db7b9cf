//! [`IgnoredParameters`]: the query parameters that are neither in the key nor in a stored URL.

use globset::{Glob, GlobBuilder, GlobSet};
use http::{
    HeaderMap,
    header::{CONTENT_LOCATION, LOCATION},
};

use super::percent::decode_parameter;

/// Patterns for the names of parameters.
///
/// They match without regard to the case of ASCII letters. Many servers read parameters so, and
/// secrets must not get into the store because of the case of a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct IgnoredParameters {
    patterns: Vec<Glob>,
    /// All of them, compiled.
    set: Option<GlobSet>,
}

impl IgnoredParameters {
    /// A pattern for the names of parameters: `*` stands for any number of characters.
    pub(crate) fn pattern(text: &str) -> Result<Glob, globset::Error> {
        GlobBuilder::new(text).backslash_escape(true).case_insensitive(true).build()
    }

    /// Adds patterns.
    pub(crate) fn add(&mut self, patterns: Vec<Glob>) -> Result<(), globset::Error> {
        self.patterns.extend(patterns);
        self.set = Some(GlobSet::new(&self.patterns)?);
        Ok(())
    }

    /// Whether any parameter is ignored.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the parameter of this decoded name is ignored.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.set.as_ref().is_some_and(|set| set.is_match(name))
    }

    /// Whether the response names a URL with an ignored parameter as its own, or as the one to go
    /// on with. The parameter may be in a URL within this URL: a login page receives the URL to
    /// return to as a parameter.
    pub(crate) fn are_in(&self, response: &HeaderMap) -> bool {
        if self.is_empty() {
            return false;
        }
        let fields = [LOCATION, CONTENT_LOCATION];
        let mut urls = fields.iter().flat_map(|name| response.get_all(name));
        urls.any(|url| self.are_in_url(&String::from_utf8_lossy(url.as_bytes())))
    }

    /// The URL may be relative. A URL within a URL is percent-encoded once more, so the text is
    /// searched as it is and decoded again and again. It counts as a URL with an ignored parameter
    /// if it is encoded too often.
    pub(crate) fn are_in_url(&self, url: &str) -> bool {
        let mut text = url.to_owned();
        for _ in 0..MAX_ENCODINGS {
            if self.are_in_text(&text) {
                return true;
            }
            let decoded = decode_parameter(&text);
            if decoded == text {
                return false;
            }
            text = decoded;
        }
        true
    }

    /// Whether a query, a fragment or a path segment of the URL has an ignored parameter. What
    /// comes before the first separator is no parameter.
    fn are_in_text(&self, url: &str) -> bool {
        let mut rest = url;
        while let Some(position) = rest.find(SEPARATORS) {
            let (separator, behind) = rest[position..].split_at(1);
            rest = behind;
            let piece = rest.split(SEPARATORS).next().unwrap_or_default();
            let (name, value) = piece.split_once('=').map_or((piece, None), |(n, v)| (n, Some(v)));
            // `#top` is a place in a document.
            let is_parameter = !name.is_empty() && (separator != "#" || value.is_some());
            if is_parameter && self.contains(&decode_parameter(name)) {
                return true;
            }
        }
        false
    }
}

/// How often the text of a URL is decoded.
pub(crate) const MAX_ENCODINGS: usize = 8;

/// The characters before a parameter: of a query, of a fragment, of a path segment.
const SEPARATORS: [char; 4] = ['?', '&', '#', ';'];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ignoring(patterns: &[&str]) -> IgnoredParameters {
        let patterns = patterns.iter().map(|text| IgnoredParameters::pattern(text).unwrap());
        let mut ignored = IgnoredParameters::default();
        ignored.add(patterns.collect()).unwrap();
        ignored
    }

    #[test]
    fn names_match_whatever_the_case_of_ascii_letters() {
        let ignored = ignoring(&["api_key", "UTM_*", "é"]);
        for name in ["api_key", "API_KEY", "Api_Key", "utm_source", "utm_", "UTM_x", "é"] {
            assert!(ignored.contains(name), "{name}");
        }
        for name in ["api-key", "api_keys", "my_api_key", "utm", "É", ""] {
            assert!(!ignored.contains(name), "{name}");
        }
        assert!(!IgnoredParameters::default().contains("api_key"));
    }

    #[test]
    fn ignored_parameters_are_found_in_the_urls_that_a_response_names() {
        let ignored = ignoring(&["api_key", "a&b"]);
        for (name, url, is_found) in [
            (LOCATION, "http://a/x?api_key=s", true),
            (LOCATION, "/x?y=1&API%5FKEY=s", true),
            (LOCATION, "?api_key", true),
            (CONTENT_LOCATION, "x?api_key=s#f", true),
            (LOCATION, "/x?y=api_key", false),
            (LOCATION, "/api_key", false),
            (LOCATION, "/x#?api_key=s", true),
            (LOCATION, "/#/x?api_key=s", true),
            (LOCATION, "/x#api_key=s", true),
            (LOCATION, "/x#y=1&api_key=s", true),
            (LOCATION, "/x;api_key=s", true),
            (LOCATION, "/x?y=1;api_key=s", true),
            (LOCATION, "/x?y=1&amp;api_key=s", true),
            (LOCATION, "/login?next=%2Fmoved%3Fapi_key%3Ds", true),
            (LOCATION, "/login?next=/moved?api_key=s", true),
            (LOCATION, "/login?next=%252Fmoved%253Fy%253D1%2526api%5Fkey%253Ds", true),
            (LOCATION, "/login#next=%2Fmoved%3Fapi_key%3Ds", true),
            (LOCATION, "/x?a%26b=1", true),
            (LOCATION, "/login?next=%2Fx%3Fa%2526b%3D1", true),
            (LOCATION, "/x#api_key", false),
            (LOCATION, "/login?next=%2Fmoved%3Fy%3D1", false),
            (LOCATION, "/x?100%", false),
            (http::header::LINK, "</x?api_key=s>; rel=next", false),
        ] {
            let response = HeaderMap::from_iter([(name, HeaderValue::from_static(url))]);
            assert_eq!(ignored.are_in(&response), is_found, "{url}");
            assert!(!IgnoredParameters::default().are_in(&response));
        }
    }

    #[test]
    fn only_parameters_are_found_if_all_are_ignored() {
        let ignored = ignoring(&["*"]);
        for (url, is_found) in [
            ("http://a/x", false),
            ("/x#top", false),
            ("/x?", false),
            ("/x?y", true),
            ("/x#y=1", true),
        ] {
            let response = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(url))]);
            assert_eq!(ignored.are_in(&response), is_found, "{url}");
        }
    }

    #[test]
    fn a_url_that_is_encoded_too_often_counts_as_one_with_an_ignored_parameter() {
        let ignored = ignoring(&["api_key"]);
        for (times, is_found) in [(1, false), (MAX_ENCODINGS - 2, false), (1_000, true)] {
            let url = format!("/x?y=%{}41", "25".repeat(times));
            let response = HeaderMap::from_iter([(LOCATION, url.parse().unwrap())]);
            assert_eq!(ignored.are_in(&response), is_found, "{times}");
        }
    }
}
