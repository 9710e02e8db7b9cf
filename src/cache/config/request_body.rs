//! Request bodies: how they are compared, and how much of them is held.

use crate::{CacheLayer, ConfigError};

/// # Request bodies
impl<B> CacheLayer<B> {
    /// Whether request bodies are normalised before they become part of the key. Default: `false`.
    /// It applies to three media types. Requests share a response then that did not before:
    ///
    /// - `application/json` and `+json` (RFC 6839): JSON that differs in whitespace, in the order
    ///   of the members of objects, or in the spelling of strings (`"\u0061"` is `"a"`). The order
    ///   of array elements counts, and so does the order of members whose names are equal or differ
    ///   only in case. Numbers count as they are written: `1.0` is not `1`.
    /// - `application/x-www-form-urlencoded`: forms that differ in the order of fields of different
    ///   names, or in the percent-encoding of characters that need none (`%41` is `A`, `+` is
    ///   `%20`). Fields of one nested object (`item[][id]`, `item[][size]`) keep their order, and
    ///   so do fields whose names differ only in case, or in `.`, `_` and spaces.
    /// - `multipart/form-data`: forms that differ in the boundary, and in nothing else.
    ///
    /// If the origin tells such requests apart, for example by the order of members, leave the
    /// setting off: one of them would receive the response to the other.
    ///
    /// Content that does not parse, or that servers read differently, counts by its bytes:
    ///
    /// - content with a `Content-Encoding`, or in another charset than UTF-8;
    /// - JSON with a byte order mark, a lone surrogate, or a member named `__proto__` or with a NUL
    ///   in its name, and JSON that is nested more than 128 deep;
    /// - a form with a `;`, a space, a control character or a character beyond ASCII that is not
    ///   percent-encoded, with a field that has no `=`, with a malformed name (`a[b`), with `]=` in
    ///   a value, with a field `_charset_`, or with more than 1,000 fields;
    /// - a multipart form with the boundary within a part, with text before the first boundary or
    ///   after the last, with a boundary of other characters than letters, digits and `'+-._=`, or
    ///   with other parameters in its type than `boundary` and `charset`.
    ///
    /// The `Content-Type` stays part of the key, without the boundary. The origin receives the body
    /// as it was sent, and so does the closure of [`key_with`](CacheLayer::key_with).
    ///
    /// A body is normalised at once when it has been read, in time that grows with its length. That
    /// takes memory for a second copy, and up to twenty times as much for JSON with many short
    /// members. [`max_request_bodies`](CacheLayer::max_request_bodies) does not count it. Each
    /// thread normalises one body at a time.
    ///
    /// ```
    /// # use larder::{CacheLayer, store::Memory};
    /// # use http::Method;
    /// let layer = CacheLayer::private(Memory::default())
    ///     .methods([Method::GET, Method::POST])?
    ///     .normalize_request_body(true);
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    pub fn normalize_request_body(self, normalize: bool) -> Self {
        self.set(|settings| settings.recipe.body.is_on = normalize)
    }

    /// Ignores fields of request bodies: requests that differ only in them share a response. Adds
    /// to the fields that are ignored already. Bodies are
    /// [normalised](CacheLayer::normalize_request_body) then, even without that setting.
    ///
    /// - A text that begins with `/` is a JSON pointer (RFC 6901) to a value: `/auth/token`, or
    ///   `/items/0/id` in an array. In a name, `~0` stands for `~`, and `~1` for `/`.
    /// - Any other text is a name, without regard to the case of ASCII letters: of a form field, of
    ///   a part of a multipart form, or of a member of a JSON object at the top.
    ///
    /// It does not matter whether an ignored field is there. The origin receives it, and no request
    /// body is ever stored. A body that does not parse, or that servers read differently, counts by
    /// its bytes, with all its fields. So does one in which an ignored field occurs twice, and a
    /// multipart form in which a part has no plain name: `Content-Disposition` or a parameter of it
    /// is repeated, or one has a backslash or a `*`, as in `filename*`. A key is a digest: set a
    /// [`key_secret`](CacheLayer::key_secret), so that a reader of the store cannot test guesses of
    /// a secret in such a body.
    ///
    /// ```
    /// # use larder::{CacheLayer, store::Memory};
    /// # use http::Method;
    /// let layer = CacheLayer::private(Memory::default())
    ///     .methods([Method::GET, Method::POST])?
    ///     .add_ignored_request_body_fields(["/auth/token", "password"])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a text is empty, is not a valid pointer, or has a `/` but does not begin with one.
    pub fn add_ignored_request_body_fields<N: AsRef<str>>(
        self,
        fields: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|settings| settings.recipe.add_ignored_request_body_fields(fields))
    }

    /// The largest request body that is buffered for the key, in bytes. Default: 1 MiB. Requests
    /// with a larger body bypass the cache and stream.
    pub fn max_request_body(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_request_body = bytes)
    }

    /// The most bytes of request bodies that the layer and its clones buffer for keys at one time,
    /// in total. Default: 64 MiB. If a request's body would exceed this limit, the request bypasses
    /// the cache at once and streams
    /// ([`Bypass::RequestBodiesFull`](crate::status::Bypass::RequestBodiesFull)).
    pub fn max_request_bodies(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_request_bodies = bytes)
    }
}
