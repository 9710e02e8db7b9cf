//! The key: what distinguishes requests.

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
