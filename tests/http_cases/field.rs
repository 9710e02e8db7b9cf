//! Header lines of the table. Their dates count from the origin's time.

use crate::case::Text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    /// Whether the client must receive what the origin sent.
    pub(crate) is_checked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Text),
    /// The date this number of seconds after the origin's time.
    Date(i64),
    /// The same in the form of RFC 850.
    Rfc850(i64),
    /// The request's own path, or a name below it.
    Beneath(&'static str),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(seconds: i64) -> Self {
        Self::Date(seconds)
    }
}

impl Field {
    /// The client may receive another value, or none.
    pub(crate) fn unchecked(self) -> Self {
        Self { is_checked: false, ..self }
    }
}

pub(crate) fn field(name: &'static str, value: impl Into<Value>) -> Field {
    Field { name, value: value.into(), is_checked: true }
}

/// A field with the request's own path (`""`), or a name below it.
pub(crate) fn beneath(name: &'static str, path: &'static str) -> Field {
    field(name, Value::Beneath(path))
}

/// A date in the form of RFC 850.
pub(crate) fn rfc850(name: &'static str, seconds: i64) -> Field {
    field(name, Value::Rfc850(seconds))
}

pub(crate) fn age(value: &'static str) -> Field {
    field("Age", value)
}

pub(crate) fn cc(value: &'static str) -> Field {
    field("Cache-Control", value)
}

pub(crate) fn cdn_cc(value: &'static str) -> Field {
    field("CDN-Cache-Control", value)
}

pub(crate) fn date(value: impl Into<Value>) -> Field {
    field("Date", value)
}

pub(crate) fn etag(value: &'static str) -> Field {
    field("ETag", value)
}

pub(crate) fn expires(value: impl Into<Value>) -> Field {
    field("Expires", value)
}

pub(crate) fn last_modified(value: impl Into<Value>) -> Field {
    field("Last-Modified", value)
}

pub(crate) fn vary(value: &'static str) -> Field {
    field("Vary", value)
}
