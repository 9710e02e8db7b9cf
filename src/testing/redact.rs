//! Removes secrets from the fields of a response before they are recorded, and says which fields
//! are not recorded.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LOCATION, CONTENT_TYPE, LOCATION},
};

use super::{
    secret::is_secret,
    urls::{Text, redacted},
};
use crate::{key::Recipe, policy};

/// The fields whose value is a URL.
pub(super) const URLS: [HeaderName; 2] = [LOCATION, CONTENT_LOCATION];

/// Whether no value of a field is recorded, of a request or of a response: it is ignored, or its
/// name is that of a secret.
pub(super) fn is_unrecorded(recipe: &Recipe, name: &HeaderName) -> bool {
    recipe.headers.ignored().contains(name) || is_secret(name)
}

/// The fields of a response that are recorded, of its head or its trailers: without those of the
/// connection and those that are [not recorded](is_unrecorded). Ignored parameters and user
/// information are removed from the URLs in the values of the others, such as `Link`. The lines
/// keep their order.
pub(super) fn recorded_fields(recipe: &Recipe, headers: &HeaderMap) -> HeaderMap {
    let mut fields = policy::end_to_end(headers);
    policy::remove_fields(&mut fields, |name| is_unrecorded(recipe, name));
    for (name, value) in fields.iter_mut() {
        if let Some(kept) = recorded_value(recipe, name, value) {
            *value = kept;
        }
    }
    fields
}

/// What is recorded of a value of a field, of a request or of a response. `None` if it is the whole
/// value.
pub(super) fn recorded_value(
    recipe: &Recipe,
    name: &HeaderName,
    value: &HeaderValue,
) -> Option<HeaderValue> {
    // The parameters of a media type are no parameters of a URL.
    if *name == CONTENT_TYPE {
        return None;
    }
    let sent = String::from_utf8_lossy(value.as_bytes());
    let kind = if URLS.contains(name) { Text::Url } else { Text::Any };
    let kept = redacted(&recipe.ignored_parameters, &sent, kind)?;
    // A part of a valid value is one too.
    Some(HeaderValue::try_from(kept).unwrap_or(HeaderValue::from_static("")))
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
            ("link", "<//alice:secret@a/?next=%2F%3Fapi_key%3Dsecret>; rel=up"),
            ("content-type", "text/html;api_key=1"),
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
            ("link", "<//a/>; rel=up"),
            ("content-type", "text/html;api_key=1"),
            ("content-location", "http://a/x?y=@"),
            ("vary", "*"),
        ];
        assert_eq!(lines, expected);
    }
}
