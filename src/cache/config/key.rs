//! The key: what distinguishes requests, how their bodies are compared, and how much of the bodies
//! is held.

use std::sync::Arc;

use http::request;

use crate::{CacheLayer, ConfigError};

/// # The key
impl<B> CacheLayer<B> {
    /// Adds request headers to the key: requests that differ in them do not share a response. Adds
    /// to the headers that earlier calls have named. Layers over one store need the same key
    /// settings: a response whose `Vary` names a header of the key is stored as if it did not vary
    /// by it.
    ///
    /// `Authorization` and `Cookie` are part of the key already, except in a shared cache under the
    /// [HTTP rules](CacheLayer::http_rules).
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn add_key_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|settings| settings.recipe.add_key_headers(names))
    }

    /// Removes request headers from the key, including `Authorization` and `Cookie`, which are part
    /// of it by default. Adds to the headers that are ignored already. `Vary` does not select by
    /// these headers either, except by `Authorization` and `Cookie`. No value of a request header
    /// is ever stored, ignored or not.
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn add_ignored_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|settings| settings.recipe.add_ignored_headers(names))
    }

    /// Whether every request header is part of the key, and not only those that a setting names.
    /// Default: `false`. Set it in front of an origin that chooses its response by headers without
    /// saying so in `Vary`.
    ///
    /// [Ignored](CacheLayer::add_ignored_headers) headers stay out of the key. These do too, unless
    /// [`add_key_headers`](CacheLayer::add_key_headers) names them:
    ///
    /// - fields of the connection (RFC 9110 §7.6.1) and `Proxy-Authorization`, `Expect` and
    ///   `HTTP2-Settings`. A field that `Connection` names is part of the key, since a client could
    ///   otherwise take any field out of it;
    /// - `Host` and `Content-Length`, since URL and body are part of the key;
    /// - fields that say how to answer, and not with what: `Range`, `If-Match`, `If-None-Match`,
    ///   `If-Modified-Since`, `If-Unmodified-Since`, `If-Range`, `Cache-Control`, `Pragma`,
    ///   `Max-Forwards`, `Priority`, `grpc-timeout`;
    /// - `traceparent` and `tracestate` (W3C Trace Context), which differ in each request.
    ///
    /// Ignore other fields that differ in each request or for each client, such as `X-Request-Id`,
    /// `b3` or `X-Forwarded-For`: with one of them in the key, hits are rare. `Vary` selects only
    /// by headers that are not part of the key. In a shared cache under the HTTP rules,
    /// `Authorization` and `Cookie` are part of the key, too.
    ///
    /// To [read or remove](crate::Entries) one entry, pass a request with the same headers. The
    /// removal of a URL removes the responses to all of its requests, as always.
    pub fn key_all_headers(self, all: bool) -> Self {
        self.set(|settings| settings.recipe.headers.set_all(all))
    }

    /// Ignores query parameters: they are part neither of the key nor of the stored URL. Adds to
    /// the parameters that are ignored already.
    ///
    /// `*` stands for any number of characters. Names are compared percent-decoded, and without
    /// regard to the case of ASCII letters: `api_key` also means `?API_KEY=`. Name parameters that
    /// carry secrets here too: what a request has in them reaches neither the store nor an event.
    ///
    /// The origin may repeat such a parameter. If it is in `Location` or `Content-Location`, the
    /// response is [not stored](crate::status::Refusal::IgnoredParameter): it would send other
    /// users to a URL with this user's secret. It is found in the query, the fragment and the path
    /// (`;api_key=`), and in a URL that is a parameter itself (`/login?next=%2F%3Fapi_key%3D`). An
    /// origin can hide it in other ways, such as base64. Bodies and other fields are stored as the
    /// origin sent them.
    ///
    /// Some servers split a query at `;`, too. An ignored parameter with a `;` in it therefore
    /// counts for the key. The stored URL does not have it. Servers also drop parameters beyond a
    /// number. If a request has more than 32 ignored ones, its query therefore counts for the key
    /// as it was sent. The stored URL is without them.
    ///
    /// In the URL of a request, only the parameters between `&` are seen. One behind a `;`
    /// (`?a=1;api_key=`), in the path, or within the value of another parameter
    /// (`?next=%2F%3Fapi_key%3D`) counts for the key, and is in the stored URL.
    ///
    /// # Errors
    ///
    /// If a pattern is empty, or is not a valid glob.
    pub fn add_ignored_parameters<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        self.try_set(|settings| settings.recipe.add_ignored_parameters(names))
    }

    /// Whether to ignore the order of query parameters. Default: `false`. Parameters of the same
    /// name keep their order, and so do those whose names differ only in case, those of one nested
    /// object (`item[][id]`, `item[][size]`), and those that some servers read as one (`a.b` beside
    /// `a_b` or `a[b]`). A query with a `;` is not sorted, since some servers split it there, and
    /// neither is one with a malformed name (`a[b`). An empty query (`?`) and an empty parameter
    /// (`?a=1&`) still count.
    pub fn sort_query(self, sort: bool) -> Self {
        self.set(|settings| settings.recipe.sort_query = sort)
    }

    /// Makes the key from the value that `material` returns for the head and the whole body of a
    /// request. This value replaces the URL, headers and body in the key, `Authorization` and
    /// `Cookie` included. The method stays part of the key. The closure makes the key of every
    /// request.
    ///
    /// Requests with equal material share a response, so include everything that distinguishes
    /// users. A later closure replaces an earlier one. The body is buffered up to
    /// [`max_request_body`](CacheLayer::max_request_body).
    pub fn key_with<K: Into<Vec<u8>>>(
        self,
        material: impl Fn(&request::Parts, &[u8]) -> K + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| {
            settings.recipe.custom =
                Some(Arc::new(move |parts, body| material(parts, body).into()));
        })
    }

    /// Makes keys with a secret (HMAC-SHA-256). Without the secret, a reader of the store cannot
    /// test guesses of what a key was made from. Responses that were stored under another secret,
    /// or without one, are not found any more. Default: none.
    pub fn key_secret(self, secret: [u8; 32]) -> Self {
        self.set(|settings| settings.recipe.secret = Some(secret))
    }
}

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
