//! Removes secrets from the fields of a response before they are recorded, and says which fields
//! are not recorded.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LOCATION, LOCATION},
};

use super::secret::is_secret;
use crate::{key::Recipe, policy};

/// Whether no value of a field is recorded, of a request or of a response: it is ignored, or its
/// name is that of a secret.
pub(super) fn is_unrecorded(recipe: &Recipe, name: &HeaderName) -> bool {
    recipe.headers.ignored().contains(name) || is_secret(name)
}

/// The fields of a response that are recorded, of its head or its trailers: without those of the
/// connection and those that are [not recorded](is_unrecorded). Ignored parameters are removed from
/// the URLs in the values of the others, such as `Link`, and user information from `Location` and
/// `Content-Location`. The lines keep their order.
pub(super) fn recorded_fields(recipe: &Recipe, headers: &HeaderMap) -> HeaderMap {
    let mut fields = policy::end_to_end(headers);
    policy::remove_fields(&mut fields, |name| is_unrecorded(recipe, name));
    for (name, value) in fields.iter_mut() {
        let sent = String::from_utf8_lossy(value.as_bytes());
        let mut kept = recipe.ignored_parameters.removed_from(&sent);
        if [LOCATION, CONTENT_LOCATION].contains(name) {
            kept = without_userinfo(kept.as_deref().unwrap_or(&sent)).or(kept);
        }
        if let Some(kept) = kept {
            // A part of a valid value is one too.
            *value = HeaderValue::try_from(kept).unwrap_or(HeaderValue::from_static(""));
        }
    }
    fields
}

/// The URL without user information. `None` if it has none.
fn without_userinfo(url: &str) -> Option<String> {
    let start = url.find("//")? + 2;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let at = url[start..end].rfind('@')?;
    Some([&url[..start], &url[start + at + 1..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed_and_the_rest_keeps_its_order() {
        let mut recipe = Recipe::default();
        recipe.add_ignored_parameters(["api_key"]).unwrap();
        recipe.add_ignored_headers(["x-api-key"]).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("date", "now"),
            ("set-cookie", "id=secret"),
            ("location", "/next?api_key=secret&page=2"),
            ("x-api-key", "secret"),
            ("transfer-encoding", "chunked"),
            ("link", "</last?API_KEY=secret>; rel=last"),
            ("set-cookie", "other=secret"),
            ("content-location", "http://alice:secret@a/x?y=@"),
            ("vary", "*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let fields = recorded_fields(&recipe, &headers);
        let lines: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("date", "now"),
            ("location", "/next?page=2"),
            ("link", "</last>; rel=last"),
            ("content-location", "http://a/x?y=@"),
            ("vary", "*"),
        ];
        assert_eq!(lines, expected);
    }
}
