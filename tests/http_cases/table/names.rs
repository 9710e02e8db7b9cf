//! The header fields that `headers` and `update304` test, with their properties.

use super::letters;

/// A field, and how caches must treat it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) name: &'static str,
    /// Two values for fields that do not accept any value.
    values: Option<(&'static str, &'static str)>,
    pub(crate) is_stored: bool,
    pub(crate) on_304: On304,
    /// Whether the body can match the field.
    pub(crate) has_body: bool,
}

/// The effect of a 304 with another value on the stored field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On304 {
    /// It must take the new value.
    Updates,
    /// Caches differ.
    Undecided,
    /// It must keep the old value.
    Keeps,
}

const fn name(name: &'static str) -> Name {
    Name { name, values: None, is_stored: true, on_304: On304::Undecided, has_body: true }
}

const fn values(name_: &'static str, a: &'static str, b: &'static str) -> Name {
    Name { values: Some((a, b)), ..name(name_) }
}

const fn updated(name: Name) -> Name {
    Name { on_304: On304::Updates, ..name }
}

/// A field of the connection.
const fn not_stored(name_: &'static str) -> Name {
    Name { is_stored: false, ..name(name_) }
}

pub(crate) const NAMES: [Name; 29] = [
    updated(name("Test-Header")),
    updated(name("X-Test-Header")),
    updated(name("Content-Foo")),
    updated(name("X-Content-Foo")),
    updated(values("Cache-Control", "max-age=1", "max-age=3600")),
    not_stored("Connection"),
    name("Content-Encoding"),
    Name { on_304: On304::Keeps, has_body: false, ..values("Content-Length", "36", "10") },
    values("Content-Location", "/foo", "/bar"),
    values("Content-MD5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g=="),
    name("Content-Range"),
    values("Content-Security-Policy", "default-src 'self'", "default-src 'self' cdn.example.com"),
    values("Content-Type", "text/plain", "text/plain;charset=utf-8"),
    values("Clear-Site-Data", "cache", "cookies"),
    values("ETag", r#""abcdef""#, r#""ghijkl""#),
    values("Expires", "Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"),
    not_stored("Keep-Alive"),
    not_stored("Proxy-Authenticate"),
    not_stored("Proxy-Authentication-Info"),
    not_stored("Proxy-Authorization"),
    not_stored("Proxy-Connection"),
    name("Public-Key-Pins"),
    values("Set-Cookie", "a=b", "a=c"),
    values("Set-Cookie2", "a=b", "a=c"),
    not_stored("TE"),
    not_stored("Transfer-Encoding"),
    not_stored("Upgrade"),
    values("X-Frame-Options", "deny", "sameorigin"),
    values("X-XSS-Protection", "1", "1; mode=block"),
];

impl Name {
    /// The second of the two values, or a value from the name and `part`.
    pub(crate) fn second_value(&self, part: &str) -> String {
        self.values.map_or_else(|| self.letters(part), |(_, second)| second.to_owned())
    }

    pub(crate) fn first_value(&self, part: &str) -> String {
        self.values.map_or_else(|| self.letters(part), |(first, _)| first.to_owned())
    }

    /// Letters from the name and `part`.
    pub(crate) fn letters(&self, part: &str) -> String {
        letters(&format!("{}-{part}", self.name))
    }
}
