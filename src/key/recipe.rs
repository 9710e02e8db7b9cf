//! [`Recipe`]: the settings of keys, and the functions that make keys from requests.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use globset::{Glob, GlobSet};
use http::{
    HeaderMap, HeaderName, Method, Request, Uri,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE},
    request,
};

use super::{
    Domain, Field, Hasher, Key,
    selection::selecting_value,
    url::{InvalidTarget, RequestUrl, Spelling},
    written::WrittenUrl,
};

/// The user's closure, whose result replaces URL, headers and body in the key.
pub(crate) type KeyFn = Arc<dyn Fn(&request::Parts, &[u8]) -> Vec<u8> + Send + Sync>;

/// A request body that has been read completely.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Content<'a> {
    pub(crate) chunks: &'a [Bytes],
    pub(crate) trailers: Option<&'a HeaderMap>,
}

/// The methods whose plain keys a removal by URL removes without an index.
pub(crate) const PLAIN_METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// How keys are made. Equal settings make equal keys in every process, and in every release with
/// the same key version.
#[derive(Clone)]
pub(crate) struct Recipe {
    /// The headers whose values are part of the key. They are sorted, so that the order of settings
    /// does not matter.
    pub(crate) headers: Vec<HeaderName>,
    /// The headers among them that a setting names.
    pub(crate) named: Vec<HeaderName>,
    /// Whether `Authorization` and `Cookie` are among them by default.
    pub(crate) with_credentials: bool,
    pub(crate) ignored_headers: Vec<HeaderName>,
    /// The patterns as given, and all of them compiled into one set.
    pub(crate) ignored_query: (Vec<Glob>, Option<GlobSet>),
    pub(crate) sort_query: bool,
    /// Whether only the weights of languages matter, and not their order.
    pub(crate) languages_by_weight: bool,
    /// See [`Spelling::as_sent`].
    pub(crate) as_sent: bool,
    pub(crate) custom: Option<KeyFn>,
    pub(crate) secret: Option<[u8; 32]>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            headers: vec![AUTHORIZATION, COOKIE],
            named: Vec::new(),
            with_credentials: true,
            ignored_headers: Vec::new(),
            ignored_query: (Vec::new(), None),
            sort_query: false,
            languages_by_weight: false,
            as_sent: false,
            custom: None,
            secret: None,
        }
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("headers", &self.headers)
            .field("ignored_headers", &self.ignored_headers)
            .field("ignored_query", &self.ignored_query.0)
            .field("sort_query", &self.sort_query)
            .field("languages_by_weight", &self.languages_by_weight)
            .field("as_sent", &self.as_sent)
            .field("custom", &self.custom.is_some())
            .field("secret", &self.secret.is_some())
            .finish()
    }
}

impl Recipe {
    pub(crate) fn add_header(&mut self, name: HeaderName) {
        self.named.push(name);
        self.order_headers();
    }

    pub(crate) fn ignore_header(&mut self, name: HeaderName) {
        self.named.retain(|have| *have != name);
        self.ignored_headers.push(name);
        self.order_headers();
    }

    /// Leaves credentials out of the key by default: the response decides who may receive it.
    pub(crate) fn without_credentials(&mut self) {
        self.with_credentials = false;
        self.order_headers();
    }

    fn order_headers(&mut self) {
        let mut headers = self.named.clone();
        let unasked = [AUTHORIZATION, COOKIE].into_iter();
        headers.extend(
            unasked.filter(|name| self.with_credentials && !self.ignored_headers.contains(name)),
        );
        headers.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        headers.dedup();
        self.headers = headers;
    }

    pub(crate) fn url(&self, request: &request::Parts) -> Result<RequestUrl, InvalidTarget> {
        self.spelled(|spelling| RequestUrl::new(&request.uri, &request.headers, spelling))
    }

    /// Calls `read` with the way in which URLs are spelled.
    fn spelled<T>(&self, read: impl FnOnce(Spelling<'_>) -> T) -> T {
        let keep = self.ignored_query.1.as_ref().map(|globs| |name: &str| !globs.is_match(name));
        let keep = keep.as_ref().map(|keep| keep as &dyn Fn(&str) -> bool);
        read(Spelling { keep, sort: self.sort_query, as_sent: self.as_sent })
    }

    /// The primary key of a request without content. It makes no copy of a URL that was sent in its
    /// normal spelling.
    pub(crate) fn primary_without_content(
        &self,
        request: &request::Parts,
    ) -> Result<Key, InvalidTarget> {
        let (method, content) = (&request.method, Content::default());
        self.spelled(|spelling| match WrittenUrl::of(&request.uri, &request.headers, spelling) {
            Some(url) => Ok(self.primary_of(method, Url::Written(&url), request, content)),
            None => RequestUrl::new(&request.uri, &request.headers, spelling)
                .map(|url| self.primary(method, &url, request, content)),
        })
    }

    /// The primary key of `request`, as if its method were `method`.
    pub(crate) fn primary(
        &self,
        method: &Method,
        url: &RequestUrl,
        request: &request::Parts,
        content: Content<'_>,
    ) -> Key {
        self.primary_of(method, Url::Made(url), request, content)
    }

    fn primary_of(
        &self,
        method: &Method,
        url: Url<'_>,
        request: &request::Parts,
        content: Content<'_>,
    ) -> Key {
        let mut hasher = Hasher::new(Domain::Request, self.secret.as_ref());
        hasher.field(Field::Method, method.as_str().as_bytes());
        if let Some(custom) = &self.custom {
            let joined;
            let body: &[u8] = match content.chunks {
                [] => &[],
                [chunk] => chunk,
                chunks => {
                    joined = chunks.concat();
                    &joined
                }
            };
            hasher.field(Field::Custom, &custom(request, body));
            return hasher.finish();
        }
        url.add_to(&mut hasher);
        for name in &self.headers {
            self.add_present(&mut hasher, name, &request.headers);
        }
        let len: u64 = content.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        if len > 0 {
            // The same text means something else as a form than as JSON.
            self.add_present(&mut hasher, &CONTENT_TYPE, &request.headers);
            self.add_present(&mut hasher, &CONTENT_ENCODING, &request.headers);
            hasher.begin(Field::Body, len);
            content.chunks.iter().for_each(|chunk| hasher.bytes(chunk));
        }
        for (name, value) in content.trailers.into_iter().flatten() {
            hasher.field(Field::TrailerName, name.as_str().as_bytes());
            hasher.field(Field::TrailerValue, value.as_bytes());
        }
        hasher.finish()
    }

    fn add_present(&self, hasher: &mut Hasher<'_>, name: &HeaderName, headers: &HeaderMap) {
        if let Some(value) = selecting_value(name, headers, self.languages_by_weight) {
            hasher.field(Field::HeaderName, name.as_str().as_bytes());
            hasher.field(Field::HeaderValue, &value);
        }
    }

    /// What `headers` select by `names` below `primary`: calls for it are joined under this key, and
    /// its first bytes are the selector of a resident.
    pub(crate) fn variant(&self, primary: &Key, names: &[HeaderName], headers: &HeaderMap) -> Key {
        let mut hasher = Hasher::new(Domain::Variant, self.secret.as_ref());
        hasher.field(Field::Primary, primary.as_bytes());
        for name in names {
            hasher.field(Field::HeaderName, name.as_str().as_bytes());
            match selecting_value(name, headers, self.languages_by_weight) {
                Some(value) => hasher.field(Field::HeaderValue, &value),
                None => hasher.field(Field::HeaderAbsent, &[]),
            }
        }
        hasher.finish()
    }

    /// The key of the selected `variant` where it is stored beside a resident of this family.
    pub(crate) fn other(&self, variant: &Key, family: u64) -> Key {
        let mut hasher = Hasher::new(Domain::Other, self.secret.as_ref());
        hasher.field(Field::Primary, variant.as_bytes());
        hasher.field(Field::Family, &family.to_le_bytes());
        hasher.finish()
    }

    /// The primary key of the stored parts of the response whose whole is stored under `primary`.
    pub(crate) fn part(&self, primary: &Key) -> Key {
        self.below(Domain::Part, primary)
    }

    /// Whether keys are made from URLs, and not by the user's closure.
    pub(crate) fn is_by_url(&self) -> bool {
        self.custom.is_none()
    }

    /// The key of the annotation for a path, where `primary` is the key of that path. It says which
    /// query parameters do not matter.
    pub(crate) fn search_rule(&self, primary: &Key) -> Key {
        self.below(Domain::SearchRule, primary)
    }

    /// The key of the annotation for a query, where `primary` is the key of that query. It names
    /// the URL whose response answers the query.
    pub(crate) fn search(&self, primary: &Key) -> Key {
        self.below(Domain::Search, primary)
    }

    fn below(&self, domain: Domain, primary: &Key) -> Key {
        let mut hasher = Hasher::new(domain, self.secret.as_ref());
        hasher.field(Field::Primary, primary.as_bytes());
        hasher.finish()
    }

    /// Normalises `url`, which a response names, by these settings. `None` if no request can have
    /// this URL.
    pub(crate) fn url_of(&self, url: Uri) -> Option<String> {
        let request = Request::get(url).body(()).ok()?;
        Some(self.url(&request.into_parts().0).ok()?.text)
    }

    /// The key of a plain request of `method` for `url` (normalised): a request without selected
    /// headers, body or custom key material.
    pub(crate) fn plain(&self, method: &Method, url: &str) -> Key {
        let mut hasher = Hasher::new(Domain::Request, self.secret.as_ref());
        hasher.field(Field::Method, method.as_str().as_bytes());
        hasher.field(Field::Url, url.as_bytes());
        hasher.finish()
    }

    /// The tag of all entries for `url` (normalised), whatever their method, headers and body.
    /// Entries under a [plain](Recipe::plain) key do not need it.
    pub(crate) fn url_tag(&self, url: &str) -> Box<str> {
        self.tag(Domain::UrlTag, url)
    }

    /// The tag of entries for `path` (a normalised URL without its query) whose responses ignore a
    /// part of the query.
    pub(crate) fn path_tag(&self, path: &str) -> Box<str> {
        self.tag(Domain::PathTag, path)
    }

    fn tag(&self, domain: Domain, url: &str) -> Box<str> {
        let mut hasher = Hasher::new(domain, self.secret.as_ref());
        hasher.field(Field::Url, url.as_bytes());
        let digest = hasher.finish().to_string();
        // 128 bits are enough to distinguish URLs for a removal, and halve the size of the tag in
        // each entry.
        format!("{URL_TAG_PREFIX}{}", &digest[..32]).into_boxed_str()
    }
}

/// The URL of a request, as a key is made of it.
#[derive(Clone, Copy)]
enum Url<'a> {
    Written(&'a WrittenUrl<'a>),
    Made(&'a RequestUrl),
}

impl Url<'_> {
    fn add_to(self, hasher: &mut Hasher<'_>) {
        let url = match self {
            Self::Made(url) => url,
            Self::Written(url) => {
                let pieces = url.pieces();
                hasher.begin(Field::Url, pieces.iter().map(|piece| piece.len() as u64).sum());
                return pieces.iter().for_each(|piece| hasher.bytes(piece.as_bytes()));
            }
        };
        hasher.field(Field::Url, url.text.as_bytes());
        if let Some(userinfo) = &url.userinfo {
            hasher.field(Field::UserInfo, userinfo.as_bytes());
        }
        if let Some(host) = &url.other_host {
            hasher.field(Field::Host, host.as_bytes());
        }
        if let Some(host) = &url.sent_host {
            hasher.field(Field::SentHost, host.as_bytes());
        }
    }
}

/// The prefix of the cache's own tags. A user's tag never has it.
pub(crate) const OWN_TAG_PREFIX: &str = "larder:";

/// The prefix of the tags of URLs.
const URL_TAG_PREFIX: &str = "larder:url:";

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn parts(request: http::request::Builder) -> request::Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn key_of(recipe: &Recipe, request: http::request::Builder, body: &'static str) -> Key {
        let parts = parts(request);
        let url = recipe.url(&parts).unwrap();
        let chunks = [Bytes::from_static(body.as_bytes())];
        let content = Content { chunks: &chunks, trailers: None };
        recipe.primary(&parts.method, &url, &parts, content)
    }

    fn key(request: http::request::Builder) -> Key {
        key_of(&Recipe::default(), request, "")
    }

    /// The key format, version 1. These vectors never change. Another format needs another version
    /// in the domain strings.
    #[test]
    fn golden_vectors() {
        let recipe = Recipe { secret: Some([7; 32]), ..Recipe::default() };
        let get = || Request::get("http://example.com/a?b=c");
        for (name, key, expected) in [
            ("get", key(get()), "50f9f2f47a28211ae1b15b6f6ecdc55ad9f746d175a13e98dd1b1367ebbc8551"),
            (
                "authorization",
                key(get().header("authorization", "Bearer t")),
                "857fbada002ba71609d109538319aea66c43e5a693af530a0697e043fcbf7391",
            ),
            (
                "another host",
                key(get().header("host", "Other.example:81")),
                "b8a3f6d045a22eb4b68b4a7348574d02acf60744c48401f1c63436aa0dbdd78d",
            ),
            (
                "user information",
                key(Request::get("http://me:pw@example.com/a?b=c")),
                "5f17690a22c620482e659d65f788398cad8c65f99f9d6b48f311c29648a01517",
            ),
            (
                "secret",
                key_of(&recipe, get(), ""),
                "edc2251ad776d838bd2c81943ca6b8f880a268f63fed1dc838cdeb508a599d28",
            ),
            (
                "post",
                key_of(
                    &Recipe::default(),
                    Request::post("http://example.com/").header("content-type", "text/plain"),
                    "body",
                ),
                "f8ee0cb66ae85f7952cf3d0b08e60d6c3110db2553e713b27d7942664c4bb30d",
            ),
            (
                "variant",
                Recipe::default().variant(
                    &key(get()),
                    &[header::ACCEPT_ENCODING, header::ORIGIN],
                    &parts(get().header("accept-encoding", "gzip, BR")).headers,
                ),
                "ad1a9002198fe61c5bf635dede4c673a869db274d98b5fb5f7e5e0c510650e35",
            ),
            (
                "other variant",
                Recipe::default().other(&key(get()), 7),
                "f76d50b9b4e088af37449c7bf66e82a477f167b192d7e67f5148736a820f5750",
            ),
            (
                "named",
                Key::digest("name"),
                "e2b8dab017fd23e66eadef92f133855a413270af027507b13f65a3f34e144361",
            ),
        ] {
            assert_eq!(key.to_string(), expected, "{name}");
        }
        assert_eq!(
            &*Recipe::default().url_tag("http://example.com/"),
            "larder:url:3ea0ae7cb9bb63784b13a43247feff9d"
        );
    }

    #[test]
    fn requests_without_headers_and_body_have_the_plain_key() {
        for secret in [None, Some([7; 32])] {
            let recipe = Recipe { secret, ..Recipe::default() };
            let plain = recipe.plain(&Method::GET, "http://a/x");
            assert_eq!(plain, key_of(&recipe, Request::get("http://a/x"), ""));
            let with_cookie = Request::get("http://a/x").header("cookie", "a=1");
            assert_ne!(plain, key_of(&recipe, with_cookie, ""));
        }
    }

    #[test]
    fn a_key_is_the_same_with_and_without_a_copy_of_the_url() {
        for as_sent in [false, true] {
            let recipe = Recipe { as_sent, ..Recipe::default() };
            for url in
                ["http://a/x?y=z", "http://A:80/%7e/../b", "http://me:pw@a/", "https://a:8443/"]
            {
                let parts = parts(Request::get(url).header("cookie", "a=1"));
                let made = recipe.url(&parts).unwrap();
                let made = recipe.primary(&Method::GET, &made, &parts, Content::default());
                assert_eq!(recipe.primary_without_content(&parts), Ok(made), "{url}");
            }
        }
        assert_eq!(
            Recipe::default().primary_without_content(&parts(Request::get("*"))),
            Err(InvalidTarget)
        );
    }

    #[test]
    fn keys_differ_by_user_and_not_by_the_case_of_header_names() {
        let get = || Request::get("http://a/");
        assert_ne!(
            key(get().header("authorization", "Bearer alice")),
            key(get().header("authorization", "Bearer bob"))
        );
        assert_ne!(key(get().header("cookie", "a=1")), key(get()));
        assert_ne!(key(Request::get("http://alice:x@a/")), key(Request::get("http://bob:x@a/")));
        assert_eq!(
            key(get().header("AUTHORIZATION", "Bearer alice")),
            key(get().header("authorization", " Bearer alice "))
        );
    }

    #[test]
    fn bodies_differ_by_bytes_and_by_type() {
        let post = |kind: &str| Request::post("http://a/").header("content-type", kind);
        let of = |request, body| key_of(&Recipe::default(), request, body);
        assert_ne!(of(post("text/plain"), "1"), of(post("text/plain"), "\"1\""));
        assert_ne!(
            of(post("application/json"), "a=1"),
            of(post("application/x-www-form-urlencoded"), "a=1")
        );
        assert_ne!(of(post("text/plain"), ""), of(post("text/plain"), "x"));
        assert_ne!(of(post("text/plain"), "x"), of(Request::get("http://a/"), "x"));
    }

    #[test]
    fn chunking_does_not_change_the_key() {
        let parts = parts(Request::post("http://a/"));
        let recipe = Recipe::default();
        let url = recipe.url(&parts).unwrap();
        let whole = [Bytes::from_static(b"abcd")];
        let pieces = [Bytes::from_static(b"a"), Bytes::from_static(b"bcd")];
        let key = |chunks| {
            recipe.primary(&parts.method, &url, &parts, Content { chunks, trailers: None })
        };
        assert_eq!(key(&whole[..]), key(&pieces[..]));
    }

    #[test]
    fn fields_are_separate_in_the_key() {
        assert_ne!(
            key(Request::get("http://a/").header("cookie", "x")),
            key(Request::get("http://a/x"))
        );
        let with = |names: &[&'static str], request: http::request::Builder| {
            let mut recipe = Recipe::default();
            names.iter().for_each(|name| recipe.add_header(HeaderName::from_static(name)));
            key_of(&recipe, request, "")
        };
        let get = || Request::get("http://a/");
        assert_ne!(
            with(&["x-a", "x-b"], get().header("x-a", "1")),
            with(&["x-a", "x-b"], get().header("x-b", "1"))
        );
        assert_eq!(
            with(&["x-a", "x-b"], get().header("x-a", "1").header("x-b", "2")),
            with(&["x-b", "x-a"], get().header("x-b", "2").header("x-a", "1"))
        );
    }

    #[test]
    fn negotiation_fields_ignore_case_and_spaces() {
        let variant = |value: &str| {
            let headers = parts(Request::get("/").header("accept-encoding", value)).headers;
            Recipe::default().variant(&Key::digest(""), &[header::ACCEPT_ENCODING], &headers)
        };
        assert_eq!(variant("gzip, br"), variant("GZIP ,br"));
        assert_ne!(variant("gzip, br"), variant("br, gzip"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let recipe = Recipe { secret: Some([0x5e; 32]), ..Recipe::default() };
        assert!(!format!("{recipe:?}").contains("94"));
    }
}
