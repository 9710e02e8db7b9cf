//! [`Entries`]: the management handle: look at what is stored, add to it, remove from it, copy it elsewhere.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{Method, Request, Response, StatusCode, Uri, request};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    cache::{CacheLayer, Missed, Place},
    entry::Head,
    error::{BoxError, ConfigError},
    key::{Content, Key, URL_TAG_PREFIX},
    options::CacheOptions,
    pattern::UrlPatterns,
    policy::{self, Expiration, Scope},
    stats::Stats,
    status::{CacheStatus, Miss},
    store::{Error, ErrorKind, Hit, Result, Scanned, Store, StoredBody, Writer},
    time::Timestamp,
};

/// A handle to what a layer has stored. It stays good when the layer has moved into a stack, and works whether the cache
/// is switched on, read-only or neither.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use larder::{CacheLayer, store::Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), larder::store::Error> {
/// let layer = CacheLayer::new(Memory::default());
/// let entries = layer.entries();
///
/// let request = Request::get("http://example.com/hello").body(()).unwrap();
/// entries.insert(&request, Response::new(Full::new(Bytes::from("made by hand")))).await?;
/// assert!(entries.contains("http://example.com/hello").await?);
/// assert_eq!(entries.remove("http://example.com/hello").await?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Entries<B> {
    layer: CacheLayer<B>,
}

// ===== What is meant =====

/// Which entry is meant: by [`Key`], by URL (a `GET` without headers), or by a request.
///
/// Made from a `Key`, a `&str`, a `&Uri`, a `&Request<()>` or, for requests whose body is part of the key, a
/// `&Request<Bytes>`.
#[derive(Debug)]
pub struct Target(Meant);

#[derive(Debug)]
enum Meant {
    Key(Key),
    Url(Box<request::Parts>),
    Request(Box<request::Parts>, Bytes),
    /// No URL at all; said when the target is used.
    Invalid(String),
}

impl From<Key> for Target {
    fn from(key: Key) -> Self {
        Self(Meant::Key(key))
    }
}

impl From<&str> for Target {
    fn from(url: &str) -> Self {
        match url.parse::<Uri>() {
            Ok(uri) => Self::from(&uri),
            Err(error) => Self(Meant::Invalid(format!("{url:?} is no URL ({error})"))),
        }
    }
}

impl From<&String> for Target {
    fn from(url: &String) -> Self {
        Self::from(url.as_str())
    }
}

impl From<&Uri> for Target {
    fn from(uri: &Uri) -> Self {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = uri.clone();
        Self(Meant::Url(Box::new(parts)))
    }
}

impl From<&Request<()>> for Target {
    fn from(request: &Request<()>) -> Self {
        let parts = request.clone().into_parts().0;
        Self(Meant::Request(Box::new(parts), Bytes::new()))
    }
}

impl From<&Request<Bytes>> for Target {
    fn from(request: &Request<Bytes>) -> Self {
        let (parts, body) = request.clone().into_parts();
        Self(Meant::Request(Box::new(parts), body))
    }
}

/// Which entries are meant: those that meet every condition. Without one, all.
///
/// ```
/// use std::time::Duration;
/// use larder::Filter;
///
/// let old_errors = Filter::new().url("*.example.com/**")?.status(http::StatusCode::NOT_FOUND)
///     .older_than(Duration::from_secs(3600));
/// # Ok::<(), larder::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a filter does nothing by itself"]
pub struct Filter {
    url: Option<UrlPatterns>,
    status: Option<StatusCode>,
    older_than: Option<Duration>,
    expired: Option<bool>,
}

impl Filter {
    /// All entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries whose URL matches this pattern, written as for [`expire_urls`](CacheLayer::expire_urls).
    ///
    /// # Errors
    ///
    /// Where the pattern is empty, has a scheme, or is no glob.
    pub fn url(mut self, pattern: &str) -> Result<Self, ConfigError> {
        self.url = Some(UrlPatterns::new("url", [pattern])?);
        Ok(self)
    }

    /// Entries of this status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Entries that were stored longer ago than this.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Entries that have expired (`true`), or have not (`false`).
    pub fn expired(mut self, expired: bool) -> Self {
        self.expired = Some(expired);
        self
    }

    fn matches(&self, head: &Head, now: Timestamp) -> bool {
        let url = || self.url.as_ref().is_none_or(|url| url.first_match(head.url()).is_some());
        if head.variant_names().is_some() {
            // A list leads to variants that a condition on responses may well spare.
            return self.status.is_none()
                && self.older_than.is_none()
                && self.expired.is_none()
                && url();
        }
        self.status.is_none_or(|status| head.status() == status)
            && self.older_than.is_none_or(|age| now.saturating_since(head.stored_at()) > age)
            && self.expired.is_none_or(|expired| head.is_expired(now) == expired)
            && url()
    }
}

/// One stored response, as [`Entries::stream`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The key it is stored under.
    pub key: Key,
    /// The method of the request.
    pub method: Method,
    /// The normalised URL of the request, without what is never stored.
    pub url: String,
    /// The status of the response.
    pub status: StatusCode,
    /// The length of the body in bytes.
    pub size: u64,
    /// When the response arrived.
    pub created: SystemTime,
    /// When it expires; `None` is never.
    pub expires: Option<SystemTime>,
    /// Its tags.
    pub tags: Vec<String>,
}

impl EntryInfo {
    /// What is listed of an entry; nothing of a list of variants.
    fn of(scanned: &Scanned) -> Option<Self> {
        let head = &scanned.head;
        if head.variant_names().is_some() {
            return None;
        }
        Some(Self {
            key: scanned.key,
            method: head.method().clone(),
            url: head.url().to_owned(),
            status: head.status(),
            size: head.body_len(),
            created: head.stored_at().into(),
            expires: head.expires_at().map(Into::into),
            tags: head
                .tags()
                .iter()
                .filter(|tag| !tag.starts_with(URL_TAG_PREFIX))
                .map(ToString::to_string)
                .collect(),
        })
    }
}

// ===== The handle =====

impl<B: Store> Entries<B> {
    pub(crate) fn new(layer: CacheLayer<B>) -> Self {
        Self { layer }
    }

    fn store(&self) -> &B {
        &self.layer.shared.store
    }

    fn now(&self) -> Timestamp {
        self.layer.settings.clock.now()
    }

    /// The stored response, expired or not; its [`CacheStatus`] is in the extensions.
    ///
    /// A URL means a `GET` without headers; of a URL with variants, the one that such a request selects.
    ///
    /// # Errors
    ///
    /// For a target that is no URL, and where the store fails or the entry is damaged.
    pub async fn get(&self, target: impl Into<Target>) -> Result<Option<Response<StoredBody>>> {
        let Some((key, hit)) = self.find(&target.into()).await?.1 else { return Ok(None) };
        let head = hit.head;
        let mut response = Response::new(hit.body.with_trailers(head.trailers().cloned()));
        *response.status_mut() = head.status();
        *response.version_mut() = head.version();
        *response.headers_mut() = head.headers().clone();
        response.extensions_mut().insert(CacheStatus::hit(key, &head, self.now()));
        Ok(Some(response))
    }

    /// Whether a response is stored, expired or not. Of a URL with variants: whether there are any.
    ///
    /// # Errors
    ///
    /// For a target that is no URL, and where the store fails or the entry is damaged.
    pub async fn contains(&self, target: impl Into<Target>) -> Result<bool> {
        let target = target.into();
        let (missed, found) = self.find(&target).await?;
        Ok(found.is_some() || (matches!(target.0, Meant::Url(_)) && missed.variants.is_some()))
    }

    /// Stores a response that was made by hand or fetched elsewhere, in place of what is there, and returns its key.
    ///
    /// The expiration is chosen as for any response, [`CacheOptions`] in the request's extensions included; which
    /// methods, statuses and sizes are kept is not asked.
    ///
    /// # Errors
    ///
    /// Where the target is a key alone; where the response is not to be stored (`Vary: *`, an expiration that says so,
    /// none at all in a shared cache); where its body fails, or has another length than its `Content-Length`; and where
    /// the store fails.
    pub async fn insert<R>(&self, target: impl Into<Target>, response: Response<R>) -> Result<Key>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let target = target.into();
        let (missed, _) = self.find(&target).await?;
        let (Meant::Url(request) | Meant::Request(request, _)) = target.0 else {
            return Err(invalid("a response is inserted for a request or a URL, not for a key"));
        };
        let settings = &*self.layer.settings;
        let url = settings.recipe.url(&request).map_err(|_| invalid("the Host is no authority"))?;
        let options = CacheOptions::of(&request.extensions);
        let now = self.now();

        let (parts, body) = response.into_parts();
        let chosen =
            settings.rules.expiration.choose(options.expire_after, &url.text, &request, &parts);
        let expiration = match (chosen, settings.rules.scope) {
            (Some(expiration), _) => expiration,
            (None, Scope::Private) => Expiration::Never,
            (None, Scope::Shared) => return Err(invalid("no expiration has been chosen for it")),
        };
        let Some(expires_at) = expiration.expires_at(now) else {
            return Err(invalid("the expiration chosen for it says not to store it"));
        };
        let tag = settings.recipe.url_tag(&url.text);
        let place = Place { request: &request, url: &url.text, tag: &tag, missed: &missed };
        let (key, variants) = place
            .of(settings, &parts, expires_at, now)
            .map_err(|_| invalid("it varies by more than request headers"))?;

        let expected =
            policy::content_length(&parts.headers).filter(|_| request.method != Method::HEAD);
        let mut tags = options.tags.clone();
        tags.push(tag.clone());
        let (mut stored, ()) = Response::new(()).into_parts();
        (stored.status, stored.version, stored.headers) =
            (parts.status, parts.version, parts.headers);
        policy::remove_hop_by_hop(&mut stored.headers);
        let head = Head::new(request.method.clone(), url.text.as_str(), stored, now)
            .with_expires_at(expires_at)
            .with_tags(tags);

        let mut writer = self.store().put(&key, head).await?;
        let (mut body, mut len, mut trailers) = (pin!(body), 0_u64, None);
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|error| invalid("its body failed").with_source(error))?;
            match frame.into_data() {
                Ok(chunk) => {
                    len += chunk.len() as u64;
                    writer.write(chunk).await?;
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        if expected.is_some_and(|expected| expected != len) {
            return Err(invalid("its body has another length than its Content-Length says"));
        }
        writer.finish(trailers).await?;
        if let Some((primary, list)) = variants {
            self.store().put(&primary, list).await?.finish(None).await?;
        }
        Ok(key)
    }

    /// Removes what is meant, and returns how many entries that were: the entry of a key, the one that a request
    /// selects, or everything that is stored for a URL (every method, variant, body and user).
    ///
    /// # Errors
    ///
    /// For a target that is no URL, and where the store fails.
    pub async fn remove(&self, target: impl Into<Target>) -> Result<u64> {
        let target = target.into();
        match &target.0 {
            Meant::Key(key) => Ok(self.store().remove(key).await?.into()),
            Meant::Url(parts) => {
                let recipe = &self.layer.settings.recipe;
                let url = recipe.url(parts).map_err(|_| invalid("the Host is no authority"))?;
                self.store().remove_tagged(&recipe.url_tag(&url.text)).await
            }
            Meant::Request(..) | Meant::Invalid(_) => {
                let (missed, found) = self.find(&target).await?;
                let key = found.map_or(missed.key, |(key, _)| key);
                Ok(self.store().remove(&key).await?.into())
            }
        }
    }

    /// Removes the entries that carry `tag`, by index, and returns how many there were.
    ///
    /// # Errors
    ///
    /// Where the store fails.
    pub async fn remove_tag(&self, tag: &str) -> Result<u64> {
        self.store().remove_tagged(tag).await
    }

    /// Removes the entries that `filter` matches, and returns how many there were. It reads every head; `progress` is
    /// told how many it has read.
    ///
    /// # Errors
    ///
    /// Where the store fails; what was removed until then stays removed. Damaged entries are removed as well.
    pub async fn remove_where(
        &self,
        filter: &Filter,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        let now = self.now();
        let mut removed = 0;
        let mut scan = pin!(self.store().scan());
        let mut read = 0;
        while let Some(item) = poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            read += 1;
            progress(read);
            let item = match item {
                Ok(item) => item,
                Err(error) if error.kind() == ErrorKind::Corrupt => continue,
                Err(error) => return Err(error),
            };
            if filter.matches(&item.head, now) && self.store().remove(&item.key).await? {
                removed += u64::from(item.head.variant_names().is_none());
            }
        }
        Ok(removed)
    }

    /// Removes the entries that have expired, by index, and returns how many there were.
    ///
    /// # Errors
    ///
    /// Where the store fails.
    pub async fn remove_expired(&self) -> Result<u64> {
        self.store().remove_expired(self.now()).await
    }

    /// Removes everything.
    ///
    /// # Errors
    ///
    /// Where the store fails.
    pub async fn clear(&self) -> Result<()> {
        self.store().clear().await
    }

    /// Every stored response, in no particular order, expired or not. A damaged entry is an `Err`, and the stream goes
    /// on after it.
    pub fn stream(&self) -> impl Stream<Item = Result<EntryInfo>> + Send + use<B> {
        Listing { scan: self.store().scan() }
    }

    /// How many entries there are, expired ones included. A URL whose responses vary has one more than it has responses:
    /// the list of its variants.
    ///
    /// # Errors
    ///
    /// Where the store fails.
    pub async fn len(&self) -> Result<u64> {
        self.store().len().await
    }

    /// Whether nothing is stored.
    ///
    /// # Errors
    ///
    /// Where the store fails.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// How many bytes the entries take, as the store counts them.
    ///
    /// # Errors
    ///
    /// Where the store fails.
    pub async fn size_bytes(&self) -> Result<u64> {
        self.store().size_bytes().await
    }

    /// Gives every stored response a new expiry, counted from when it was stored, and returns how many there were.
    /// [`Expiration::DoNotStore`] removes them. It reads every head; `progress` is told how many it has read.
    ///
    /// # Errors
    ///
    /// Where the store fails; what was changed until then stays changed.
    pub async fn reset_expiration(
        &self,
        expiration: impl Into<Expiration>,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        let expiration = expiration.into();
        let mut changed = 0;
        let mut scan = pin!(self.store().scan());
        let mut read = 0;
        while let Some(item) = poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            read += 1;
            progress(read);
            let item = match item {
                Ok(item) => item,
                Err(error) if error.kind() == ErrorKind::Corrupt => continue,
                Err(error) => return Err(error),
            };
            let done = match expiration.expires_at(item.head.stored_at()) {
                None => self.store().remove(&item.key).await?,
                Some(expires_at) if item.head.variant_names().is_some() => {
                    // The list stays as long as any variant may, whenever that was stored.
                    let end = expires_at.map(|end| {
                        end.max(
                            self.now().saturating_add(end.saturating_since(item.head.stored_at())),
                        )
                    });
                    let head = Head::clone(&item.head).with_expires_at(end);
                    self.store().update(&item.key, item.version, head).await?
                }
                Some(expires_at) => {
                    let head = Head::clone(&item.head).with_expires_at(expires_at);
                    self.store().update(&item.key, item.version, head).await?
                }
            };
            changed += u64::from(done && item.head.variant_names().is_none());
        }
        Ok(changed)
    }

    /// Copies every entry that has not expired into `other`, any other store, in place of what is there under the same
    /// key, and returns how many responses were copied. Bodies stream. `progress` is told that number as it grows.
    ///
    /// The keys are the same, so a layer over `other` with equal key settings finds what a layer over this one does.
    ///
    /// # Errors
    ///
    /// Where either store fails; what was copied until then stays copied. Damaged entries are passed over.
    pub async fn copy_to<C: Store>(&self, other: &C, mut progress: impl FnMut(u64)) -> Result<u64> {
        let now = self.now();
        let mut copied = 0;
        let mut scan = pin!(self.store().scan());
        while let Some(item) = poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            let copy = match item {
                Ok(item) if item.head.is_expired(now) => Ok(false),
                Ok(item) => self.copy_entry(&item.key, other).await,
                Err(error) => Err(error),
            };
            match copy {
                Ok(false) => {}
                Ok(true) => {
                    copied += 1;
                    progress(copied);
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok(copied)
    }

    /// Copies one entry; whether it is still there, and a response.
    async fn copy_entry<C: Store>(&self, key: &Key, other: &C) -> Result<bool> {
        let Some(Hit { head, mut body, .. }) = self.store().get(key).await? else {
            return Ok(false);
        };
        let mut writer = other.put(key, Head::clone(&head)).await?;
        while let Some(chunk) = poll_fn(|cx| body.poll_chunk(cx)).await {
            writer.write(chunk?).await?;
        }
        writer.finish(head.trailers().cloned()).await?;
        Ok(head.variant_names().is_none())
    }

    /// What the layer has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.layer.stats()
    }

    /// The entry that `target` means, and where it would be.
    async fn find(&self, target: &Target) -> Result<(Missed, Option<(Key, Hit)>)> {
        let recipe = &self.layer.settings.recipe;
        let nothing: &[Bytes] = &[];
        let (primary, parts) = match &target.0 {
            Meant::Invalid(message) => return Err(invalid(message)),
            Meant::Key(key) => (*key, None),
            Meant::Url(parts) | Meant::Request(parts, _) => {
                let chunks = match &target.0 {
                    Meant::Request(_, body) if !body.is_empty() => std::slice::from_ref(body),
                    _ => nothing,
                };
                let url = recipe.url(parts).map_err(|_| invalid("the Host is no authority"))?;
                let content = Content { chunks, trailers: None };
                let own = CacheOptions::of(&parts.extensions).key;
                let made = || recipe.primary(&parts.method, &url, parts, content);
                (own.unwrap_or_else(made), Some(parts))
            }
        };
        let mut missed = Missed { reason: Miss::Absent, key: primary, primary, variants: None };
        let mut hit = self.store().get(&primary).await?;
        if let Some(found) = &hit
            && let Some(names) = found.head.variant_names()
        {
            missed.variants = Some(found.head.clone());
            hit = match parts {
                None => None,
                Some(parts) => {
                    missed.key = recipe.variant(&primary, names, &parts.headers);
                    self.store().get(&missed.key).await?
                }
            };
        }
        let hit = hit.filter(|hit| hit.head.variant_names().is_none());
        Ok((missed.clone(), hit.map(|hit| (missed.key, hit))))
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, "entries", message)
}

impl<B: fmt::Debug> fmt::Debug for Entries<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("layer", &self.layer).finish()
    }
}

pin_project! {
    /// A scan without the lists of variants.
    struct Listing<S> {
        #[pin]
        scan: S,
    }
}

impl<S: Stream<Item = Result<Scanned>>> Stream for Listing<S> {
    type Item = Result<EntryInfo>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut scan = self.project().scan;
        loop {
            return Poll::Ready(match ready!(scan.as_mut().poll_next(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(item)) => match EntryInfo::of(&item) {
                    None => continue,
                    Some(info) => Some(Ok(info)),
                },
            });
        }
    }
}
