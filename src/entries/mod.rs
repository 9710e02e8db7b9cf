//! [`Entries`]: the management handle, which reads, adds, removes and copies stored entries.

use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, Response, request};

use self::{listing::Listing, target::Meant};
use crate::{
    cache::{CacheLayer, LookupKeys, Read, add_removed, read, unread_variants},
    entry::Head,
    error::ConfigError,
    key::{Content, Key, RequestUrl},
    options::CacheOptions,
    runtime::has_timers,
    stats::Stats,
    status::CacheStatus,
    store::{Error, ErrorKind, Hit, Result, Store, StoredBody},
    time::Timestamp,
};

mod bulk;
mod filter;
mod insert;
mod listing;
mod target;

pub use self::{
    bulk::{CopyReport, IfPresent},
    filter::Filter,
    listing::EntryInfo,
    target::Target,
};

/// A handle to the entries that a layer has stored.
///
/// It works after the layer has moved into a stack. It also works while the cache is switched off
/// or read-only.
///
/// [`remove`](Entries::remove) by URL, [`remove_tag`](Entries::remove_tag) and
/// [`remove_expired`](Entries::remove_expired) count the removed entries by an index.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use larder::{CacheLayer, store::Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), larder::store::Error> {
/// let layer = CacheLayer::private(Memory::default());
/// let entries = layer.entries();
///
/// let request = Request::get("http://example.com/hello").body(()).unwrap();
/// entries.insert(&request, Response::new(Full::new(Bytes::from("made by hand")))).await?;
/// assert!(entries.contains("http://example.com/hello").await?);
/// assert_eq!(entries.remove("http://example.com/hello").await?, 1);
/// # Ok(())
/// # }
/// ```
///
/// # From another program
///
/// The command `larder` (feature `cli`) lists, shows, removes, copies and checks entries.
///
/// A tool over the same store makes a layer of its own, and needs no service:
/// `CacheLayer::shared(store).entries()`. To find entries by URL or by request, that layer needs
/// the settings of the layer that stored them, as far as they change keys:
///
/// - [`private`](CacheLayer::private) or [`shared`](CacheLayer::shared), and
///   [`http_rules`](CacheLayer::http_rules),
/// - [`key_secret`](CacheLayer::key_secret) and [`key_with`](CacheLayer::key_with),
/// - [`add_key_headers`](CacheLayer::add_key_headers),
///   [`key_all_headers`](CacheLayer::key_all_headers) and
///   [`add_ignored_headers`](CacheLayer::add_ignored_headers),
/// - [`add_ignored_parameters`](CacheLayer::add_ignored_parameters) and
///   [`sort_query`](CacheLayer::sort_query),
/// - [`normalize_request_body`](CacheLayer::normalize_request_body) and
///   [`add_ignored_request_body_fields`](CacheLayer::add_ignored_request_body_fields),
/// - [`no_vary_search`](CacheLayer::no_vary_search) and [`grpc`](CacheLayer::grpc).
///
/// [`Filter::exact_url`] finds the entries of a URL by reading every head, whatever most of these
/// settings are. Keys, tags, [`remove_where`](Entries::remove_where) and
/// [`stream`](Entries::stream) work without any of these. A tool cannot see the calls that another
/// program has in flight: their responses are stored after its removal.
#[derive(Clone, Debug)]
pub struct Entries<B> {
    layer: CacheLayer<B>,
}

impl<B: Store> CacheLayer<B> {
    /// A handle that reads, adds and removes stored entries. It works after the layer has moved
    /// into a stack.
    #[must_use]
    pub fn entries(&self) -> Entries<B> {
        Entries { layer: self.clone() }
    }
}

impl<B: Store> Entries<B> {
    fn store(&self) -> &B {
        self.layer.inner.handle.store()
    }

    fn now(&self) -> Timestamp {
        self.layer.inner.settings.clock.now()
    }

    fn url(&self, parts: &request::Parts) -> Result<RequestUrl> {
        let url = self.layer.inner.settings.recipe.url(parts);
        url.map_err(|_| invalid("the target's URL or Host is invalid"))
    }

    /// The stored response, expired or not. Its [`CacheStatus`] is in the extensions.
    ///
    /// A key means the response that is stored under it. A URL means a `GET` without headers. If
    /// the URL has variants, this is the variant that such a request selects. If the key has
    /// [some](CacheLayer::add_key_headers) or [all](CacheLayer::key_all_headers) request headers,
    /// this is the response to a request without them: pass a request to get another one. Three
    /// things count as no entry: an entry that is damaged or of a newer version of this crate, a
    /// part of the response, and a response that answers only by another URL's `No-Vary-Search`.
    ///
    /// # Errors
    ///
    /// - If the target is not a URL.
    /// - If the URL has variants, and a `GET` without headers selects none of them. The message
    ///   names the headers that select one: pass a request that has them, or the
    ///   [key](EntryInfo::key) of an entry.
    /// - If the store fails.
    pub async fn get(&self, target: impl Into<Target>) -> Result<Option<Response<StoredBody>>> {
        let target = target.into();
        let Read { key, found, .. } = self.read(&target).await?;
        let (now, is_url) = (self.now(), matches!(target.0, Meant::Url(_)));
        let hit = match (found, key.resident) {
            (Ok(Some(hit)), _) => hit,
            (Ok(None), Some(resident)) if is_url && resident.is_kept_for_itself(now) => {
                return Err(needs_headers(&resident.head));
            }
            // A damaged entry counts as none.
            (found, _) => return unless_damaged(found).map(|_none| None),
        };
        let status = CacheStatus::hit(key.entry, &hit.head, now);
        let mut response = hit.into_response();
        response.extensions_mut().insert(status);
        Ok(Some(response))
    }

    /// Whether a response is stored, expired or not. For a URL with variants: whether any variant
    /// is stored. What counts as no entry for [`get`](Entries::get) counts as none here too.
    ///
    /// # Errors
    ///
    /// If the target is not a URL, or if the store fails.
    pub async fn contains(&self, target: impl Into<Target>) -> Result<bool> {
        let target = target.into();
        let (key, found) = self.find(&target).await?;
        Ok(found.is_some() || (matches!(target.0, Meant::Url(_)) && key.resident.is_some()))
    }

    /// Removes the entries that `target` means, and returns their number.
    ///
    /// - A key means the entry under this key.
    /// - A request means the entry that it selects.
    /// - A URL means every stored response of the URL: every method, variant, body and user.
    /// - With [`no_vary_search`](CacheLayer::no_vary_search), a URL or a request also means the
    ///   responses of the same path that have a `No-Vary-Search` field, since each of them may
    ///   answer it.
    ///
    /// No call in flight brings a removed entry back, and requests that begin after this method has
    /// returned do not receive its response. A response that is just being published cannot be
    /// stopped: the method waits for the store, which [`Timeout`](crate::store::Timeout) limits.
    ///
    /// The variant of a URL that was stored first leads to the others. If it is removed, the others
    /// may be forgotten, too: no request finds them any more. They stay in the store until they
    /// expire or are evicted, and are not part of the returned number. To remove them as well,
    /// remove the URL.
    ///
    /// # Errors
    ///
    /// If the target is not a URL, or if the store fails.
    pub async fn remove(&self, target: impl Into<Target>) -> Result<u64> {
        let target = target.into();
        match &target.0 {
            Meant::Key(key) => self.layer.inner.remove_key(key).await,
            Meant::Url(parts) => {
                let url = self.url(parts)?;
                self.layer.inner.remove_url(&url.text, None).await
            }
            Meant::Request(parts, _) => self.remove_selected(self.primary(&target)?, parts).await,
            Meant::Invalid(message) => Err(invalid(message)),
        }
    }

    /// Removes the entries with `tag`, by an index, and returns their number. If the variant of a
    /// URL that was stored first is among them, the URL's other variants may be forgotten, as after
    /// [`remove`](Entries::remove).
    ///
    /// If a response in flight turns out to have the tag, it is not stored. A request that begins
    /// after this method has returned does not receive it either: it makes a new call when it
    /// learns of the tag, unless another such request has made one.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn remove_tag(&self, tag: &str) -> Result<u64> {
        self.layer.inner.remove_carrying(tag, None).await
    }

    /// Removes the entries that have expired and cannot be used any more, by an index, and returns
    /// their number. An expired entry stays as long as it may be
    /// [revalidated](CacheLayer::keep_expired) or served stale: [`EntryInfo::keep_until`] is that
    /// time. [`remove_all_expired`](Entries::remove_all_expired) removes such entries too.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn remove_expired(&self) -> Result<u64> {
        self.layer.inner.handle.remove_expired(self.now()).await
    }

    /// Removes all entries that have expired, including those that are kept for revalidation or for
    /// stale use, and returns their number. It reads every head:
    /// [`remove_where`](Entries::remove_where) with [`Filter::expired`].
    ///
    /// # Errors
    ///
    /// If the store fails. Entries that are removed by then stay removed.
    pub async fn remove_all_expired(&self) -> Result<u64> {
        self.remove_where(&Filter::new().expired(true), |_| {}).await
    }

    /// Calls [`remove_expired`](Entries::remove_expired) in the background, each time this much
    /// time has passed. Nothing does so by default: a store with a size limit evicts what it has no
    /// room for, and `Redis` and `MongoDb` remove expired entries themselves.
    ///
    /// It ends when the last handle of the layer and its services is dropped. A removal that is
    /// under way then keeps the store open for a moment longer. It pauses while the cache is
    /// [switched off](CacheLayer::set_enabled), and removes nothing if the layer is
    /// [read-only](CacheLayer::read_only). Another call replaces the interval. A failure is an
    /// event, [`Event::StoreFailed`](crate::Event::StoreFailed), and the next interval tries again.
    ///
    /// # Errors
    ///
    /// If the interval is zero, or outside of a tokio runtime with timers.
    pub fn sweep_every(&self, interval: Duration) -> std::result::Result<(), ConfigError> {
        let refused = |message: &str| Err(ConfigError::new("sweep_every", message));
        if interval.is_zero() {
            return refused("the interval is zero; set one such as a minute");
        }
        if !has_timers() {
            return refused("there is no tokio runtime with timers; call it within one");
        }
        let handle = self.layer.inner.handle.weak();
        let settings = &self.layer.inner.settings;
        let (clock, is_read_only) = (settings.clock.clone(), settings.rules.read_only);
        let shared = self.layer.inner.shared.clone();
        self.layer.tasks.spawn_sweep(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(handle) = handle() else { return };
                if !is_read_only && shared.is_enabled() {
                    // A failure is an event.
                    drop(handle.remove_expired(clock.now()).await);
                }
            }
        });
        Ok(())
    }

    /// Removes every entry.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn clear(&self) -> Result<()> {
        self.layer.inner.clear().await
    }

    /// Lists every stored response, expired or not, in no particular order. An entry that is
    /// damaged or of a newer version of this crate is an `Err`, and the stream continues after it.
    /// Forgotten variants are listed until they expire or are evicted.
    ///
    /// [`Filter::matches`] selects entries of the list as [`remove_where`](Entries::remove_where)
    /// selects entries to remove. The method `next` is in `futures_util::StreamExt` and in
    /// `tokio_stream::StreamExt`.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use larder::{Entries, Filter, store::Memory};
    ///
    /// /// Prints what `remove_where` with this filter would remove.
    /// async fn print(entries: &Entries<Memory>, filter: &Filter) -> larder::store::Result<()> {
    ///     let mut stored = entries.stream();
    ///     while let Some(entry) = stored.next().await.transpose()? {
    ///         if filter.matches(&entry) {
    ///             println!("{} {} {}", entry.status, entry.method, entry.url);
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn stream(&self) -> impl Stream<Item = Result<EntryInfo>> + Send + Unpin + use<B> {
        let clock = self.layer.inner.settings.clock.clone();
        Listing { scan: Box::pin(self.store().scan()), clock }
    }

    /// The number of entries, including expired ones.
    ///
    /// A response with `No-Vary-Search` has two more entries: the annotations that lead to it.
    /// Forgotten variants count until they expire or are evicted.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn len(&self) -> Result<u64> {
        self.store().len().await
    }

    /// Whether the store has no entries.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// The size of the entries in bytes, as the store counts them. It is not the sum of
    /// [`EntryInfo::size`].
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn size_bytes(&self) -> Result<u64> {
        self.store().size_bytes().await
    }

    /// Returns the counters of the layer.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.layer.inner.stats()
    }

    /// Removes the responses that answer the request with this primary key: the entry that it
    /// selects, a stored part of that, and the responses of the path that may answer other queries.
    async fn remove_selected(&self, primary: Key, parts: &request::Parts) -> Result<u64> {
        let settings = &self.layer.inner.settings;
        let (rules, recipe) = (&settings.rules, &settings.recipe);
        let url = self.url(parts)?;
        let mut removed = self.remove_under(primary, parts).await;
        if rules.keeps_parts() {
            removed = add_removed(removed, self.remove_under(recipe.part(&primary), parts).await);
        }
        if settings.uses_no_vary_search() {
            removed = add_removed(removed, self.layer.inner.remove_path(&url.text, None).await);
        }
        removed
    }

    /// Removes the entry that a request with this head selects under `primary`.
    async fn remove_under(&self, primary: Key, parts: &request::Parts) -> Result<u64> {
        let (recipe, calls) = (&self.layer.inner.settings.recipe, &self.layer.inner.shared.calls);
        let key = self.find_under(primary, Some(parts)).await?.0;
        let variant = |names: &[HeaderName]| recipe.variant(&primary, names, &parts.headers);
        calls.invalidate_selected(&primary, &key.call, &key.entry, variant).await;
        // A response that was just being published is stored by now.
        let key = self.find_under(primary, Some(parts)).await?.0;
        let mut entries = unread_variants(&self.layer.inner, &key, &parts.headers);
        entries.push(key.entry);
        entries.sort_unstable();
        entries.dedup();
        let mut removed = Ok(0);
        for entry in entries {
            let entry = self.layer.inner.handle.remove(&entry).await;
            removed = add_removed(removed, entry.map(u64::from));
        }
        removed
    }

    /// What the store has of `target`.
    async fn read(&self, target: &Target) -> Result<Read> {
        let headers = match &target.0 {
            Meant::Url(parts) | Meant::Request(parts, _) => Some(&parts.headers),
            Meant::Key(_) | Meant::Invalid(_) => None,
        };
        Ok(read(&self.layer.inner, self.primary(target)?, headers).await)
    }

    /// The lookup key of `target`, and the entry under it.
    async fn find(&self, target: &Target) -> Result<(LookupKeys, Option<Hit>)> {
        let read = self.read(target).await?;
        Ok((read.key, unless_damaged(read.found)?))
    }

    /// The primary key of `target`.
    fn primary(&self, target: &Target) -> Result<Key> {
        let recipe = &self.layer.inner.settings.recipe;
        let nothing: &[Bytes] = &[];
        match &target.0 {
            Meant::Invalid(message) => Err(invalid(message)),
            Meant::Key(key) => Ok(*key),
            Meant::Url(parts) | Meant::Request(parts, _) => {
                let chunks = match &target.0 {
                    Meant::Request(_, body) if !body.is_empty() => std::slice::from_ref(body),
                    _ => nothing,
                };
                let mut url = self.url(parts)?;
                if matches!(&target.0, Meant::Url(_)) {
                    // A URL means the responses that are stored under its normalised spelling.
                    url.sent_host = None;
                }
                let own = CacheOptions::of(&parts.extensions).key;
                let made = || {
                    let normal = recipe.normal_body(&parts.headers, chunks);
                    let content = Content { chunks, normal, ..Content::default() };
                    recipe.primary(&parts.method, &url, parts, content)
                };
                Ok(own.unwrap_or_else(made))
            }
        }
    }

    /// The lookup key of a request with this head under `primary`, and the entry that it selects.
    async fn find_under(
        &self,
        primary: Key,
        parts: Option<&request::Parts>,
    ) -> Result<(LookupKeys, Option<Hit>)> {
        let read = read(&self.layer.inner, primary, parts.map(|parts| &parts.headers)).await;
        Ok((read.key, unless_damaged(read.found)?))
    }
}

/// The entry that was found. A damaged one counts as none, and so does one of a newer version.
fn unless_damaged(found: Result<Option<Hit>>) -> Result<Option<Hit>> {
    match found {
        Err(error) if error.is_of_one_entry() => Ok(None),
        found => found,
    }
}

/// The error for a URL of which only other variants are stored.
fn needs_headers(resident: &Head) -> Error {
    let names = resident.variance().map(|variance| &*variance.names).unwrap_or_default();
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    let names = names.join(", ");
    invalid(format!(
        "a GET without headers selects none of the variants of this URL; pass a request with the \
         headers that select one ({names})"
    ))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, "entries", message)
}
