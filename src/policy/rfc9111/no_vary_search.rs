//! `No-Vary-Search`: the parameters of a query that do not matter to a response
//! ([draft-ietf-httpbis-no-vary-search](https://datatracker.ietf.org/doc/draft-ietf-httpbis-no-vary-search/),
//! in its text of July 2026).
//!
//! A malformed field is ignored: the whole query matters then, and the cache has fewer hits. The
//! draft's text contradicts its examples for `key-order` alone. The examples count here.

use http::{HeaderMap, HeaderName};

use crate::{
    fields::{Value, dictionary},
    key::decode_parameter,
};

/// The name of the field.
pub(crate) const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// The parameters that matter, and whether their order matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlVariation {
    is_ordered: bool,
    names: Names,
}

/// Names of parameters, decoded and sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    AllBut(Vec<String>),
    Only(Vec<String>),
}

/// The other queries that the response also answers. `None` if it answers only its own.
pub(crate) fn url_variation(response: &HeaderMap) -> Option<UrlVariation> {
    const KNOWN: [&str; 3] = ["key-order", "params", "except"];
    if !response.contains_key(NO_VARY_SEARCH) {
        return None;
    }
    let members = dictionary(response, &NO_VARY_SEARCH, &KNOWN)?;
    let last = |key| members.iter().rfind(|(member, _)| *member == key).map(|(_, value)| value);
    let ignores_order = match last("key-order") {
        None => false,
        Some(Value::Boolean(ignores_order)) => *ignores_order,
        Some(_) => return None,
    };
    let names = match (last("params"), last("except")) {
        (None, None) => Names::AllBut(Vec::new()),
        (Some(Value::Strings(Some(names))), None) => Names::AllBut(decoded(names)),
        (None, Some(Value::Strings(Some(names)))) => Names::Only(decoded(names)),
        _ => return None,
    };
    let variation = UrlVariation { is_ordered: !ignores_order, names };
    // A field with all its defaults must not count as a rule: any rule makes different spellings of
    // a query equal.
    let is_default = variation.is_ordered && variation.names == Names::AllBut(Vec::new());
    (!is_default).then_some(variation)
}

/// Decodes names, which the field writes as a query does, and sorts them.
fn decoded(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| decode_parameter(name)).collect();
    names.sort_unstable();
    names
}

impl UrlVariation {
    /// The part of `query` that matters, in one spelling. It is equal for two queries if and only
    /// if a response with this variation answers both.
    pub(crate) fn simplified(&self, query: Option<&str>) -> String {
        let parameters = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut parameters: Vec<(String, String)> = parameters
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode_parameter(name), decode_parameter(value)))
            .filter(|(name, _)| self.matters(name))
            .collect();
        if !self.is_ordered {
            // The sort is stable, since the order of equal names matters.
            parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        let mut text = String::new();
        for (name, value) in parameters {
            if !text.is_empty() {
                text.push('&');
            }
            push_encoded(&mut text, &name);
            text.push('=');
            push_encoded(&mut text, &value);
        }
        text
    }

    fn matters(&self, name: &String) -> bool {
        match &self.names {
            Names::AllBut(names) => names.binary_search(name).is_err(),
            Names::Only(names) => names.binary_search(name).is_ok(),
        }
    }
}

fn push_encoded(out: &mut String, text: &str) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(line: &'static str) -> Option<UrlVariation> {
        url_variation(&HeaderMap::from_iter([(NO_VARY_SEARCH, HeaderValue::from_static(line))]))
    }

    #[test]
    fn malformed_fields_are_ignored() {
        for line in [
            "",
            "unknown-key",
            "key-order=\"not a boolean\"",
            "params=\"not an inner list\"",
            "params=(not-a-string)",
            "params=(\"a\" b)",
            "params=?0",
            "params=?1",
            "params",
            "params=?1, except=(\"x\")",
            "params=(\"a\"), except=(\"x\")",
            "params=(), except=()",
            "except=\"not an inner list\"",
            "except=(not-a-string)",
            "except=?1",
            "params=()",
            "key-order=?0",
            "except=(\"x\"",
            "Params=(\"a\")",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        assert_eq!(url_variation(&HeaderMap::new()), None);
        assert_eq!(of("except=(), unknown"), of("except=()"));
        assert_eq!(of("key-order=?1"), of("key-order;x=1"));
        assert_eq!(of("except=(\"x\"), key-order"), of("key-order, except=(\"x\")"));
        assert!(of("except=()").is_some() && of("key-order").is_some());
    }

    #[track_caller]
    fn check(line: &'static str, equal: &[&str], others: &[&str]) {
        let variation = of(line).unwrap();
        let normal = |query: &str| variation.simplified(Some(query));
        for query in equal {
            assert_eq!(normal(query), normal(equal[0]), "{line}: {query}");
        }
        for query in others {
            assert_ne!(normal(query), normal(equal[0]), "{line}: {query}");
        }
    }

    #[test]
    fn ignored_parameters_make_queries_equal() {
        check("key-order", &["a=1&b=2", "b=2&a=1"], &["a=1", "a=2&b=1", "a=1&b=2&c=3"]);
        check("key-order", &["a=1&a=2&b=3", "a=1&b=3&a=2"], &["a=2&a=1&b=3"]);
        check("except=()", &["", "a=1", "b=2&c"], &[]);
        check("params=(\"a\")", &["b=1", "a=5&b=1", "b=1&a"], &["b=2", "", "a=1", "b=1&A=1"]);
        check("except=(\"id\")", &["id=1", "x=2&id=1"], &["id=2", "id=1&id=1", ""]);
        check("params=(\"a\"), key-order", &["b=1&c=2", "c=2&a=1&b=1"], &["b=2&c=1"]);
        check("params=(\"a\")", &["b=1&c=2"], &["c=2&b=1"]);
        let encoded = "params=(\"%C3%A9+%E6%B0%97\")";
        check(encoded, &["", "%C3%A9%20%E6%B0%97=3", "\u{e9}+\u{6c17}=1"], &["%C3%A9=3"]);
        assert_eq!(of("key-order").unwrap().simplified(None), "");
    }

    /// The examples of the draft.
    #[test]
    fn spellings_are_equal_under_any_rule() {
        for equal in [
            &["", "&"][..],
            &["a=x", "%61=%78", "a=x&&&&", "&a=x"],
            &["a=\u{e9}", "a=%C3%A9"],
            &["a=%f6", "a=%ef%bf%bd"],
            &["a=", "a"],
            &["a=%20", "a=+", "a= &"],
        ] {
            check("key-order", equal, &["b=y"]);
        }
        check("key-order", &["a=1%262"], &["a=1&2", "a=1%3D2"]);
    }

    proptest! {
        #[test]
        fn simplified_queries_stay_the_same(query in "[ab=&%2+é]{0,20}", line in prop_oneof![
            Just("key-order"), Just("except=()"), Just("params=(\"a\")"), Just("except=(\"b\")"),
        ]) {
            let variation = of(line).unwrap();
            let normal = variation.simplified(Some(&query));
            prop_assert_eq!(variation.simplified(Some(&normal)), normal);
        }
    }
}
