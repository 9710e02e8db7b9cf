//! [`Recipe`]: the settings of keys, and the functions that make keys from requests.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, Method, Request, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    request,
};

use super::{
    Domain, Field, Hasher, Key,
    content::{Content, NormalBody, Normalization, without_boundary},
    headers::KeyHeaders,
    parameters::IgnoredParameters,
    selection::selecting_value,
    url::{InvalidTarget, RequestUrl, Spelling},
    written::WrittenUrl,
};

/// The user's closure, whose result replaces URL, headers and body in the key.
pub(crate) type KeyFn = Arc<dyn Fn(&request::Parts, &[u8]) -> Vec<u8> + Send + Sync>;

/// The methods whose plain keys a removal by URL removes without an index.
pub(crate) const PLAIN_METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// How keys are made. Equal settings make equal keys in every process, and in every release with
/// the same key version.
#[derive(Clone, Default)]
pub(crate) struct Recipe {
    pub(crate) headers: KeyHeaders,
    pub(crate) ignored_parameters: IgnoredParameters,
    pub(crate) sort_query: bool,
    /// Whether only the weights of languages matter, and not their order.
    pub(crate) languages_by_weight: bool,
    /// See [`Spelling::as_sent`].
    pub(crate) as_sent: bool,
    pub(crate) body: Normalization,
    pub(crate) custom: Option<KeyFn>,
    pub(crate) secret: Option<[u8; 32]>,
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("headers", &self.headers)
            .field("ignored_parameters", &self.ignored_parameters)
            .field("sort_query", &self.sort_query)
            .field("languages_by_weight", &self.languages_by_weight)
            .field("as_sent", &self.as_sent)
            .field("body", &self.body)
            .field("custom", &self.custom.is_some())
            .field("secret", &self.secret.is_some())
            .finish()
    }
}

impl Recipe {
    pub(crate) fn url(&self, request: &request::Parts) -> Result<RequestUrl, InvalidTarget> {
        self.spelled(|spelling| RequestUrl::new(&request.uri, &request.headers, spelling))
    }

    /// Calls `read` with the way in which URLs are spelled.
    fn spelled<T>(&self, read: impl FnOnce(Spelling<'_>) -> T) -> T {
        let ignored = &self.ignored_parameters;
        let keep = |name: &str| !ignored.contains(name);
        let keep = (!ignored.is_empty()).then_some(&keep as &dyn Fn(&str) -> bool);
        read(Spelling { keep, sort: self.sort_query, as_sent: self.as_sent })
    }

    /// What counts instead of the bytes of a request body, if it is normalised. The user's closure
    /// receives the bytes.
    pub(crate) fn normal_body(&self, headers: &HeaderMap, chunks: &[Bytes]) -> Option<NormalBody> {
        if self.custom.is_some() {
            return None;
        }
        self.body.normal(headers, chunks, self.secret.as_ref())
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
            hasher.field(Field::Custom, &custom(request, &content.joined()));
            return hasher.finish();
        }
        url.add_to(&mut hasher);
        let headers = &request.headers;
        self.headers.each(headers, |name| self.add_present(&mut hasher, name, headers, content));
        if content.len() > 0 {
            // The same text means something else as a form than as JSON.
            self.add_present(&mut hasher, &CONTENT_TYPE, headers, content);
            self.add_present(&mut hasher, &CONTENT_ENCODING, headers, content);
            content.add_to(&mut hasher);
        }
        let ignored = self.headers.ignored();
        let trailers = content.trailers.into_iter().flatten();
        for (name, value) in trailers.filter(|(name, _)| !ignored.contains(name)) {
            hasher.field(Field::TrailerName, name.as_str().as_bytes());
            hasher.field(Field::TrailerValue, value.as_bytes());
        }
        hasher.finish()
    }

    fn add_present(
        &self,
        hasher: &mut Hasher<'_>,
        name: &HeaderName,
        headers: &HeaderMap,
        content: Content<'_>,
    ) {
        let Some(value) = selecting_value(name, headers, self.languages_by_weight) else { return };
        hasher.field(Field::HeaderName, name.as_str().as_bytes());
        if *name == CONTENT_TYPE && content.is_without_boundary() {
            return hasher.field(Field::HeaderValue, &without_boundary(&value));
        }
        hasher.field(Field::HeaderValue, &value);
    }

    /// The key of the variant of `primary` that `headers` select by `names`. Requests join calls
    /// under it, and its first bytes are the selector of a resident.
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
    pub(crate) fn url_of(&self, url: Uri) -> Option<Arc<str>> {
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
        if let Some(divided) = &url.divided {
            hasher.field(Field::DividedParameters, divided.as_bytes());
        }
        if let Some(query) = &url.sent_query {
            hasher.field(Field::SentQuery, query.as_bytes());
        }
    }
}

/// The prefix of the cache's own tags. A user's tag never has it.
pub(crate) const OWN_TAG_PREFIX: &str = "larder:";

/// The prefix of the tags of URLs.
const URL_TAG_PREFIX: &str = "larder:url:";

#[cfg(test)]
mod tests;
