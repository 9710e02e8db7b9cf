//! [`Entries`]: the management handle: look at what is stored, add to it, remove from it, copy it elsewhere.

use std::{future::poll_fn, pin::pin};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, Method, Response, request};
use http_body::Body;

use self::{listing::Listing, target::Meant};
use crate::{
    cache::{CacheLayer, Candidate, From, LookupKey, both, read},
    error::BoxError,
    key::{Content, Key},
    options::CacheOptions,
    policy::{self, Exchange},
    stats::Stats,
    status::{CacheStatus, Refusal},
    store::{Error, ErrorKind, Hit, Result, Store, StoredBody, Writer},
    time::Timestamp,
};

mod bulk;
mod filter;
mod listing;
mod target;

pub use self::{filter::Filter, listing::EntryInfo, target::Target};

/// A handle to what a layer has stored. It stays good when the layer has moved into a stack, and works whether the cache
/// is switched on, read-only or neither.
///
/// Where removed entries are counted by an index ([`remove`](Entries::remove) by URL, [`remove_tag`](Entries::remove_tag),
/// [`remove_expired`](Entries::remove_expired)), the list of a URL's variants counts as one, as it does for
/// [`len`](Entries::len).
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
#[derive(Clone, Debug)]
pub struct Entries<B> {
    layer: CacheLayer<B>,
}

impl<B: Store> CacheLayer<B> {
    /// A handle to look at, add and remove what is stored. It stays good when the layer has moved into a
    /// stack.
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

    /// The stored response, expired or not; its [`CacheStatus`] is in the extensions.
    ///
    /// A URL means a `GET` without headers; of a URL with variants, the one that such a request selects. A damaged entry
    /// counts as none, and so do a part of the response and what answers only by another URL's `No-Vary-Search`.
    ///
    /// # Errors
    ///
    /// If the target is not a URL, and if the store fails.
    pub async fn get(&self, target: impl Into<Target>) -> Result<Option<Response<StoredBody>>> {
        let (key, Some(hit)) = self.find(&target.into()).await? else { return Ok(None) };
        let status = CacheStatus::hit(key.key, &hit.head, self.now());
        let mut response = hit.into_response();
        response.extensions_mut().insert(status);
        Ok(Some(response))
    }

    /// Whether a response is stored, expired or not. Of a URL with variants: whether there are any. What counts as none does
    /// so for [`get`](Entries::get) as well.
    ///
    /// # Errors
    ///
    /// If the target is not a URL, and if the store fails.
    pub async fn contains(&self, target: impl Into<Target>) -> Result<bool> {
        let target = target.into();
        let (key, found) = self.find(&target).await?;
        Ok(found.is_some() || (matches!(target.0, Meant::Url(_)) && key.record.is_some()))
    }

    /// Stores a response that was made by hand or fetched elsewhere, in place of what is there, and returns its key.
    ///
    /// The expiration is chosen as for any response, [`CacheOptions`] in the request's extensions included; which
    /// methods, statuses and sizes are kept is not asked. It is newer than what is on its way
    /// from an origin, and than a removal that comes before this has returned, which need not remove it.
    ///
    /// # Errors
    ///
    /// If the target is a key alone; if the response must not be stored (a 206, a 304 or a 1xx,
    /// `Vary: *`, an expiration that says so, in a shared cache none at all or a `Set-Cookie`, more
    /// tags than an entry can have); if its body fails, or has another length than its
    /// `Content-Length`; and if the store fails. What was stored before is left then.
    pub async fn insert<R>(&self, target: impl Into<Target>, response: Response<R>) -> Result<Key>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let target = target.into();
        let (lookup_key, _) = self.find(&target).await?;
        let (Meant::Url(request) | Meant::Request(request, _)) = target.0 else {
            return Err(invalid("the target is a key; pass a URL or a request"));
        };
        let settings = &self.layer.inner.settings;
        let url = settings
            .recipe
            .url(&request)
            .map_err(|_| invalid("the target's URL or Host is invalid"))?;
        let options = CacheOptions::of(&request.extensions);
        let now = self.now();

        let (parts, body) = response.into_parts();
        let refused =
            |refusal: Refusal| invalid(format!("the response must not be stored ({refusal})"));
        let exchange = Exchange {
            options,
            url: &url.text,
            request: &request,
            response: &parts,
            requested_at: now,
            now,
        };
        let candidate =
            Candidate { settings, url: &url, exchange, key: &lookup_key, from: From::User };
        let plan = candidate.storable().map_err(refused)?;
        let key = plan.key;
        let expected = if request.method == Method::HEAD {
            None
        } else {
            policy::content_length(&parts.headers).map_err(refused)?
        };

        // The responses in flight are older.
        self.layer.inner.shared.calls.invalidate_key(&key).await;
        let mut writer = self.store().put(&key, plan.head).await?;
        let (mut body, mut len, mut trailers) = (pin!(body), 0_u64, None);
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|error| invalid("the body failed").with_source(error))?;
            match frame.into_data() {
                Ok(chunk) => {
                    len += chunk.len() as u64;
                    writer.write(chunk).await?;
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        if expected.is_some_and(|expected| expected != len) {
            return Err(invalid("the length of the body differs from its Content-Length"));
        }
        writer.finish(trailers).await?;
        if let Some(record) = plan.record {
            let stored = record.stored(&self.layer.inner.handle).await;
            record.write(&self.layer.inner.handle, stored).await?;
        }
        self.layer.inner.handle.put_annotations(plan.annotations).await;
        Ok(key)
    }

    /// Removes what is meant, and returns how many entries that were: the entry of a key, the one that a request
    /// selects, or everything that is stored for a URL (every method, variant, body and user; and, for a URL or a request,
    /// where it is [heeded](CacheLayer::no_vary_search), the responses of its path that say `No-Vary-Search`, each of which
    /// may be one that answers it).
    ///
    /// Nothing that is on its way as this begins brings back what was removed: calls for the URL, or for
    /// what the request selects, are not stored and not joined by later requests. A key alone may turn out to be that of any call
    /// that has no response yet; see [`remove_tag`](Entries::remove_tag) for what that costs.
    ///
    /// Which variant a request selects is said by the list of the URL's variants. Where a store has evicted that alone,
    /// the variant is not found by a request until another one has laid the list anew: what must not come back even then
    /// is removed by URL.
    ///
    /// # Errors
    ///
    /// For a target that is no URL, and where the store fails.
    pub async fn remove(&self, target: impl Into<Target>) -> Result<u64> {
        let target = target.into();
        match &target.0 {
            Meant::Key(key) => self.layer.inner.remove_key(key).await,
            Meant::Url(parts) => {
                let recipe = &self.layer.inner.settings.recipe;
                let url = recipe
                    .url(parts)
                    .map_err(|_| invalid("the target's URL or Host is invalid"))?;
                self.layer.inner.remove_url(recipe, &url.text, None).await
            }
            Meant::Request(parts, _) => self.remove_selected(self.primary(&target)?, parts).await,
            Meant::Invalid(message) => Err(invalid(message)),
        }
    }

    /// Removes the entries that carry `tag`, by index, and returns how many there were.
    ///
    /// What is on its way and turns out to carry it is not stored. Whether it does is known when its head comes, so that
    /// requests which begin after this has returned do not join a call that has none by then: they make one of their own,
    /// and the other requests join that one. For each key that is being fetched at the moment, a removal costs one more
    /// call at most; what is stored is served on.
    ///
    /// # Errors
    ///
    /// Where the store fails.
    pub async fn remove_tag(&self, tag: &str) -> Result<u64> {
        self.layer.inner.remove_tagged(tag).await
    }

    /// Removes the entries that have expired and are of no more use, by index, and returns how many there were. What
    /// may be [revalidated](CacheLayer::keep_expired) or served beyond its expiry goes when that time is over as well.
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
        self.layer.inner.clear().await
    }

    /// Every stored response, in no particular order, expired or not. A damaged entry is an `Err`, and the stream goes
    /// on after it.
    pub fn stream(&self) -> impl Stream<Item = Result<EntryInfo>> + Send + use<B> {
        Listing { scan: self.store().scan() }
    }

    /// How many entries there are, expired ones included. A URL whose responses vary has one more than it has responses:
    /// the list of its variants. A response with `No-Vary-Search` has two more, the notes that lead to it.
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

    /// What the layer has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.layer.inner.stats()
    }

    /// Removes what answers the request whose primary key this is: the entry that it selects, a part of that, and what
    /// says that it answers other queries.
    async fn remove_selected(&self, primary: Key, parts: &request::Parts) -> Result<u64> {
        let settings = &self.layer.inner.settings;
        let (rules, recipe) = (&settings.rules, &settings.recipe);
        let url = recipe.url(parts).map_err(|_| invalid("the target's URL or Host is invalid"))?;
        let mut removed = self.remove_under(primary, parts).await;
        if rules.keeps_parts() {
            removed = both(removed, self.remove_under(recipe.part(&primary), parts).await);
        }
        if settings.uses_no_vary_search() {
            removed = both(removed, self.layer.inner.remove_path(recipe, &url.text, None).await);
        }
        removed
    }

    /// Removes the entry that a request with this head selects under `primary`.
    async fn remove_under(&self, primary: Key, parts: &request::Parts) -> Result<u64> {
        let (recipe, calls) = (&self.layer.inner.settings.recipe, &self.layer.inner.shared.calls);
        let key = self.find_under(primary, Some(parts)).await?.0.key;
        let variant = |names: &[HeaderName]| recipe.variant(&primary, names, &parts.headers);
        calls.invalidate_selected(&primary, &key, variant).await;
        // A response that was just being published is stored by now, and its record too.
        let key = self.find_under(primary, Some(parts)).await?.0.key;
        self.layer.inner.remove_entry(&key).await
    }

    /// The entry that `target` means, and where it would be.
    async fn find(&self, target: &Target) -> Result<(LookupKey, Option<Hit>)> {
        let parts = match &target.0 {
            Meant::Url(parts) | Meant::Request(parts, _) => Some(&**parts),
            Meant::Key(_) | Meant::Invalid(_) => None,
        };
        self.find_under(self.primary(target)?, parts).await
    }

    /// The primary key that `target` means.
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
                let mut url = recipe
                    .url(parts)
                    .map_err(|_| invalid("the target's URL or Host is invalid"))?;
                if matches!(&target.0, Meant::Url(_)) {
                    // A URL means what is stored for it in its one spelling.
                    url.sent_host = None;
                }
                let content = Content { chunks, trailers: None };
                let own = CacheOptions::of(&parts.extensions).key;
                let made = || recipe.primary(&parts.method, &url, parts, content);
                Ok(own.unwrap_or_else(made))
            }
        }
    }

    /// The entry that a request with this head selects under `primary`, and where it would be.
    async fn find_under(
        &self,
        primary: Key,
        parts: Option<&request::Parts>,
    ) -> Result<(LookupKey, Option<Hit>)> {
        let read = read(&self.layer.inner, primary, parts.map(|parts| &parts.headers)).await;
        match read.found {
            Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
            found => Ok((read.key, found.ok().flatten())),
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, "entries", message)
}
