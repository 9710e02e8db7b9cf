//! `No-Vary-Search`: which parameters of a query do not matter to a response
//! ([draft-ietf-httpbis-no-vary-search](https://datatracker.ietf.org/doc/draft-ietf-httpbis-no-vary-search/)).
//!
//! What is not exactly as the draft has it means that everything matters, which costs no more than a hit.

use http::{HeaderMap, HeaderName};

use super::structured::{Value, dictionary};
use crate::key::decode_parameter;

const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// Which parameters matter, and whether their order does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SearchVariance {
    is_ordered: bool,
    names: Names,
}

/// Decoded and in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    AllBut(Vec<String>),
    Only(Vec<String>),
}

/// What the response says of the queries that it answers as well; `None` where that is only its own.
pub(crate) fn search_variance(response: &HeaderMap) -> Option<SearchVariance> {
    const KNOWN: [&str; 3] = ["key-order", "params", "except"];
    let members = dictionary(response, &NO_VARY_SEARCH, &KNOWN)?;
    let last = |key| members.iter().rfind(|(member, _)| *member == key).map(|(_, value)| value);
    let ignores_order = match last("key-order") {
        None => false,
        Some(Value::Boolean(ignores_order)) => *ignores_order,
        Some(_) => return None,
    };
    let names = match (last("params"), last("except")) {
        (None | Some(Value::Boolean(false)), None) => Names::AllBut(Vec::new()),
        (Some(Value::Strings(Some(names))), None) => Names::AllBut(decoded(names)),
        (Some(Value::Boolean(true)), None) => Names::Only(Vec::new()),
        (Some(Value::Boolean(true)), Some(Value::Strings(Some(names)))) => {
            Names::Only(decoded(names))
        }
        _ => return None,
    };
    let variance = SearchVariance { is_ordered: !ignores_order, names };
    // The spellings of a query do not matter where anything does not; so this must not be taken for a rule.
    let is_default = variance.is_ordered && variance.names == Names::AllBut(Vec::new());
    (!is_default).then_some(variance)
}

/// In the field, names are written as they are in a query.
fn decoded(names: &[String]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| decode_parameter(name)).collect();
    names.sort_unstable();
    names
}

impl SearchVariance {
    /// What matters of `query`, in one spelling: equal for two queries where, and only where, a response with this
    /// variance answers both.
    pub(crate) fn normal_query(&self, query: Option<&str>) -> String {
        let parameters = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut parameters: Vec<(String, String)> = parameters
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode_parameter(name), decode_parameter(value)))
            .filter(|(name, _)| self.matters(name))
            .collect();
        if !self.is_ordered {
            // Stable: the order of equal names does matter.
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

    fn of(line: &'static str) -> Option<SearchVariance> {
        search_variance(&HeaderMap::from_iter([(NO_VARY_SEARCH, HeaderValue::from_static(line))]))
    }

    #[test]
    fn what_the_draft_does_not_know_says_nothing() {
        for line in [
            "",
            "unknown-key",
            "key-order=\"not a boolean\"",
            "params=\"not a boolean or inner list\"",
            "params=(not-a-string)",
            "params=(\"a\" b)",
            "params=(\"a\"), except=(\"x\")",
            "params=(), except=()",
            "params=?0, except=(\"x\")",
            "params, except=(not-a-string)",
            "params, except=\"not an inner list\"",
            "params, except=?1",
            "except=(\"x\")",
            "except=()",
            "params=?0",
            "params=()",
            "key-order=?0",
            "params, except=(\"x\"",
            "Params",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        assert_eq!(search_variance(&HeaderMap::new()), None);
        assert_eq!(of("params=?1, unknown"), of("params"));
        assert_eq!(of("key-order=?1"), of("key-order;x=1"));
        assert_eq!(
            of("params, key-order, except=(\"x\")"),
            of("key-order, params, except=(\"x\")")
        );
        assert!(of("params").is_some() && of("key-order").is_some());
    }

    #[track_caller]
    fn check(line: &'static str, equal: &[&str], others: &[&str]) {
        let variance = of(line).unwrap();
        let normal = |query: &str| variance.normal_query(Some(query));
        for query in equal {
            assert_eq!(normal(query), normal(equal[0]), "{line}: {query}");
        }
        for query in others {
            assert_ne!(normal(query), normal(equal[0]), "{line}: {query}");
        }
    }

    #[test]
    fn what_does_not_matter_makes_queries_equal() {
        check("key-order", &["a=1&b=2", "b=2&a=1"], &["a=1", "a=2&b=1", "a=1&b=2&c=3"]);
        check("key-order", &["a=1&a=2&b=3", "a=1&b=3&a=2"], &["a=2&a=1&b=3"]);
        check("params", &["", "a=1", "b=2&c"], &[]);
        check("params=(\"a\")", &["b=1", "a=5&b=1", "b=1&a"], &["b=2", "", "a=1", "b=1&A=1"]);
        check("params, except=(\"id\")", &["id=1", "x=2&id=1"], &["id=2", "id=1&id=1", ""]);
        check("params=(\"a\"), key-order", &["b=1&c=2", "c=2&a=1&b=1"], &["b=2&c=1"]);
        check("params=(\"a\")", &["b=1&c=2"], &["c=2&b=1"]);
        let encoded = "params=(\"%C3%A9+%E6%B0%97\")";
        check(encoded, &["", "%C3%A9%20%E6%B0%97=3", "\u{e9}+\u{6c17}=1"], &["%C3%A9=3"]);
        assert_eq!(of("key-order").unwrap().normal_query(None), "");
    }

    /// The examples of the draft.
    #[test]
    fn spelling_does_not_matter_where_something_does_not() {
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
        fn what_is_normal_stays_so(query in "[ab=&%2+é]{0,20}", line in prop_oneof![
            Just("key-order"), Just("params"), Just("params=(\"a\")"), Just("params, except=(\"b\")"),
        ]) {
            let variance = of(line).unwrap();
            let normal = variance.normal_query(Some(&query));
            prop_assert_eq!(variance.normal_query(Some(&normal)), normal);
        }
    }
}
