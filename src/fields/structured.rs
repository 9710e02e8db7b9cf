//! The structured fields (RFC 9651) that caching needs: dictionaries with known keys, and lists of
//! strings.
//!
//! The crate `sfv` parses them. It passes the conformance tests of the HTTP working group and is as
//! strict as the RFC requires: any syntax error invalidates the whole field. This file adapts it.
//! Values are copied, since the parser takes all lines of a field as one text.

use std::convert::Infallible;

use http::{HeaderMap, HeaderName};
use sfv::{
    BareItemFromInput, KeyRef, Parser,
    visitor::{
        DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor,
        ParameterVisitor,
    },
};

/// The value of a member, without its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    Token(String),
    String(String),
    /// An inner list. `None` if not all of its items are strings.
    Strings(Option<Vec<String>>),
    /// A value of another type.
    Other,
}

/// The dictionary in the field `name`: its members with a key in `known`, in order. If a key occurs
/// twice, the last member counts (RFC 9651 §4.2.2). `None` if the field is absent, empty or no
/// dictionary.
pub(crate) fn dictionary(
    headers: &HeaderMap,
    name: &HeaderName,
    known: &'static [&'static str],
) -> Option<Vec<(&'static str, Value)>> {
    let text = joined(headers, name)?;
    let members = Members { known, is_empty: true, found: Vec::new() };
    Parser::new(&text).parse_dictionary_with_visitor(members).ok()?
}

/// The list of strings in the field `name`. `None` if it is absent or anything else.
pub(crate) fn strings(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let text = joined(headers, name)?;
    Parser::new(&text).parse_list_with_visitor(Strings(Some(Vec::new()))).ok()?
}

/// The lines of a field as one text (RFC 9651 §4.2).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = headers.get_all(name).iter();
    let mut text = lines.next()?.as_bytes().to_vec();
    #[cfg(test)]
    super::Parsed::count(|parsed| parsed.structured += 1);
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    Some(text)
}

struct Members {
    known: &'static [&'static str],
    is_empty: bool,
    found: Vec<(&'static str, Value)>,
}

impl<'de> DictionaryVisitor<'de> for Members {
    type Out = Option<Vec<(&'static str, Value)>>;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        self.is_empty = false;
        let known = self.known.iter().find(|known| **known == key.as_str());
        Ok(known.map(|key| Slot { key, found: &mut self.found }))
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok(Some(self.found).filter(|_| !self.is_empty))
    }
}

struct Slot<'a> {
    key: &'static str,
    found: &'a mut Vec<(&'static str, Value)>,
}

impl<'de> EntryVisitor<'de> for Slot<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        let Self { key, found } = self;
        Ok(move |item: BareItemFromInput<'de>| {
            found.push((key, Value::from(item)));
            Ok::<_, Infallible>(Ignored)
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        self.found.push((self.key, Value::Strings(Some(Vec::new()))));
        Ok(InnerStrings(match self.found.last_mut() {
            Some((_, Value::Strings(strings))) => Some(strings),
            _ => None,
        }))
    }
}

struct InnerStrings<'a>(Option<&'a mut Option<Vec<String>>>);

impl<'de> InnerListVisitor<'de> for InnerStrings<'_> {
    type Error = Infallible;

    fn item(&mut self) -> Result<impl ItemVisitor<'de>, Infallible> {
        let strings = self.0.as_deref_mut();
        Ok(strings.map(StringItem))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

struct Strings(Option<Vec<String>>);

impl<'de> ListVisitor<'de> for Strings {
    type Out = Option<Vec<String>>;
    type Error = Infallible;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, Infallible> {
        Ok(StringItem(&mut self.0))
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok(self.0)
    }
}

/// Adds an item. An item that is no string invalidates the list.
struct StringItem<'a>(&'a mut Option<Vec<String>>);

impl<'de> ItemVisitor<'de> for StringItem<'_> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Infallible> {
        match (Value::from(item), self.0.as_mut()) {
            (Value::String(text), Some(strings)) => strings.push(text),
            _ => *self.0 = None,
        }
        Ok(Ignored)
    }
}

impl<'de> EntryVisitor<'de> for StringItem<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        *self.0 = None;
        Ok(Ignored)
    }
}

impl From<BareItemFromInput<'_>> for Value {
    fn from(item: BareItemFromInput<'_>) -> Self {
        match item {
            BareItemFromInput::Boolean(value) => Self::Boolean(value),
            BareItemFromInput::Integer(value) => Self::Integer(value.into()),
            BareItemFromInput::Token(value) => Self::Token(value.as_str().to_owned()),
            BareItemFromInput::String(value) => Self::String(value.as_str().to_owned()),
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x");

    fn map(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn a_dictionary_is_read_by_its_known_keys() {
        let of = |lines: &[&'static str]| dictionary(&map(lines), &NAME, &["a", "b"]);
        let strings = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(of(&["a"]), Some(vec![("a", Value::Boolean(true))]));
        assert_eq!(of(&["b=?0;x=1, c=1.5, a=-5"]).unwrap().len(), 2);
        assert_eq!(of(&["a=-5"]), Some(vec![("a", Value::Integer(-5))]));
        assert_eq!(of(&["a=1.5"]), Some(vec![("a", Value::Other)]));
        assert_eq!(of(&["a=tok"]), Some(vec![("a", Value::Token("tok".into()))]));
        assert_eq!(of(&["a=\"x\\\"y\";z"]), Some(vec![("a", Value::String("x\"y".into()))]));
        let list = |lines: &[&'static str]| of(lines).unwrap().pop().unwrap().1;
        assert_eq!(list(&["a=(\"x\" \"y\";q)"]), Value::Strings(Some(strings(&["x", "y"]))));
        assert_eq!(list(&["a=()"]), Value::Strings(Some(Vec::new())));
        assert_eq!(list(&["a=(\"x\" 1 \"y\")"]), Value::Strings(None));
        assert_eq!(of(&["c"]), Some(Vec::new()), "a dictionary without known keys");
        let lines = of(&["a=1", "b=2, a=3"]).unwrap();
        assert_eq!(lines.last(), Some(&("a", Value::Integer(3))));
        for none in
            [&[][..], &[""], &["a,"], &["a", ""], &["A"], &["a b"], &["a=1, &&&&&"], &["a=(1"]]
        {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_list_is_all_strings_or_none() {
        let of = |lines: &[&'static str]| strings(&map(lines), &NAME);
        assert_eq!(of(&["\"a\", \"b\";c"]), Some(vec!["a".into(), "b".into()]));
        assert_eq!(of(&["\"a\"", "\"b\""]), Some(vec!["a".into(), "b".into()]));
        assert_eq!(of(&[""]), Some(Vec::new()));
        for none in [&[][..], &["a"], &["\"a\", b"], &["\"a\", (\"b\")"], &["\"a\","], &["\"a"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
