//! [`Entries`]: the management handle: look at what is stored, add to it, remove from it, copy it elsewhere.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{Method, Response};
use http_body::Body;

use self::{listing::Listing, target::Meant};
use crate::{
    cache::{CacheLayer, Missed, Place, remove_url},
    entry::Head,
    error::BoxError,
    key::{Content, Key},
    options::CacheOptions,
    policy::{self, Expiration},
    stats::Stats,
    status::{CacheStatus, Miss, Refusal},
    store::{Error, ErrorKind, Hit, Result, Scanned, Store, StoredBody, Writer},
    time::Timestamp,
};

mod filter;
mod listing;
mod target;

pub use self::{filter::Filter, listing::EntryInfo, target::Target};

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
        let status = CacheStatus::hit(key, &hit.head, self.now());
        let mut response = hit.into_response();
        response.extensions_mut().insert(status);
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
        let refused = |refusal: Refusal| invalid(format!("it is not to be stored ({refusal})"));
        let expires_at = settings
            .rules
            .expires_at(options, &url.text, &request, &parts, now)
            .map_err(refused)?;
        let place = Place { request: &request, url: &url.text, missed: &missed };
        let (key, variants) = place.keys(settings, &parts, expires_at, now).map_err(refused)?;
        let head = place.head(&settings.recipe, &key, &parts, expires_at, now);
        let expected = if request.method == Method::HEAD {
            None
        } else {
            policy::content_length(&parts.headers).map_err(refused)?
        };

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
                remove_url(self.store(), recipe, &url.text).await
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
    /// Where the store fails; what was removed until then stays removed. Damaged entries are passed over.
    pub async fn remove_where(
        &self,
        filter: &Filter,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        let now = self.now();
        let mut removed = 0;
        let mut scan = pin!(self.store().scan());
        let mut read = 0;
        while let Some(item) = next_sound(scan.as_mut()).await? {
            read += 1;
            progress(read);
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
        while let Some(item) = next_sound(scan.as_mut()).await? {
            read += 1;
            progress(read);
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
        while let Some(item) = next_sound(scan.as_mut()).await? {
            if item.head.is_expired(now) {
                continue;
            }
            match self.copy_entry(&item.key, other).await {
                Ok(true) => {
                    copied += 1;
                    progress(copied);
                }
                Ok(false) => {}
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

/// The next entry of a scan whose head is not damaged.
async fn next_sound(
    mut scan: Pin<&mut impl Stream<Item = Result<Scanned>>>,
) -> Result<Option<Scanned>> {
    loop {
        match poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            Some(Err(error)) if error.kind() == ErrorKind::Corrupt => {}
            other => return other.transpose(),
        }
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
