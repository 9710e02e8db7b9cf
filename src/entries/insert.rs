//! Adding responses that were made by hand or fetched elsewhere.

use std::{future::poll_fn, pin::pin};

use bytes::Bytes;
use http::{Method, Request, Response, request};
use http_body::Body;

use super::{Entries, Target, invalid, target::Meant};
use crate::{
    cache::{BroughtBy, Candidate, LookupKeys, ResidentId, ResidentUpdate},
    entry::{Others, ResponseHead},
    error::BoxError,
    key::{Key, RequestUrl},
    options::CacheOptions,
    policy::{self, Exchange},
    status::Refusal,
    store::{Error, ErrorKind, Result, Store, Writer},
    time::Timestamp,
};

/// # Adding
impl<B: Store> Entries<B> {
    /// Stores a response that was made by hand or fetched elsewhere, and returns its key. It
    /// replaces the response that is stored for the target.
    ///
    /// The cache chooses the expiration as for any response, by the settings and by the
    /// [`CacheOptions`] in the request's extensions. The settings for methods, statuses and sizes
    /// do not apply.
    ///
    /// The inserted response is newer than responses in flight. It is also newer than a removal
    /// that begins before this method has returned: such a removal need not remove it.
    ///
    /// # Errors
    ///
    /// - If the target is a key alone ([`insert_at`](Entries::insert_at) takes one), or is not a
    ///   URL.
    /// - If the response must not be stored: a 206, a 304 or a 1xx, `Vary: *`, an expiration of
    ///   `DoNotStore`, or more tags than an entry can have. In a shared cache, also a response
    ///   without an expiration, or with `Set-Cookie`.
    /// - If the body fails, or differs in length from its `Content-Length`.
    /// - If the store fails.
    ///
    /// In these cases, the entry that was stored before stays.
    pub async fn insert<R>(&self, target: impl Into<Target>, response: Response<R>) -> Result<Key>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let target = target.into();
        let (lookup_key, _) = self.find(&target).await?;
        let (Meant::Url(request) | Meant::Request(request, _)) = target.0 else {
            return Err(invalid(
                "the target is a key; pass a URL or a request, or call insert_at with the key",
            ));
        };
        let url = self.url(&request)?;
        self.insert_as(lookup_key, &request, &url, response).await
    }

    /// Stores a response under a key of your own, as the answer to `GET` requests with
    /// [`CacheOptions::key`]. Otherwise it does what [`insert`](Entries::insert) does. The returned
    /// key is another one only if the response varies, and lies beside another variant.
    ///
    /// The stored response has no URL: its [`EntryInfo::url`](super::EntryInfo::url) is empty, and
    /// no removal by URL finds it. To give it one, [`insert`](Entries::insert) takes a request with
    /// `CacheOptions::key`.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Entries::insert).
    pub async fn insert_at<R>(&self, key: Key, response: Response<R>) -> Result<Key>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let (mut request, ()) = Request::new(()).into_parts();
        request.extensions.insert(CacheOptions::new().key(key));
        let (lookup_key, _) = self.find_under(key, Some(&request)).await?;
        self.insert_as(lookup_key, &request, &RequestUrl::none(), response).await
    }

    /// Stores a response to `request` under the keys of its lookup.
    async fn insert_as<R>(
        &self,
        mut lookup_key: LookupKeys,
        request: &request::Parts,
        url: &RequestUrl,
        response: Response<R>,
    ) -> Result<Key>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let settings = &self.layer.inner.settings;
        let stored_resident = lookup_key.resident.clone();
        if lookup_key.resident.is_none() {
            // A resident that is on its way is there first.
            let calls = &self.layer.inner.shared.calls;
            lookup_key.resident = calls.residents(&lookup_key.primary).into_iter().next();
        }
        let options = CacheOptions::of(&request.extensions);
        let options = settings.rules.asked(options, &request.headers);
        let now = self.now();

        let (response, body) = response.into_parts();
        let response = ResponseHead::new(response, now);
        let refused =
            |refusal: Refusal| invalid(format!("the response must not be stored ({refusal})"));
        let exchange = Exchange {
            options: &options,
            url: &url.text,
            request,
            response: &response,
            requested_at: now,
            now,
        };
        let candidate =
            Candidate { settings, url, exchange, key: &lookup_key, by: BroughtBy::User };
        let plan = candidate.storable().map_err(refused)?;
        let key = plan.entry.key;
        let expected = if request.method == Method::HEAD {
            None
        } else {
            policy::content_length(&response.headers).map_err(refused)?
        };

        // The responses in flight are older.
        let calls = &self.layer.inner.shared.calls;
        match &plan.entry.names {
            None => calls.invalidate_key(&key).await,
            Some(_) => {
                let (recipe, primary) = (&settings.recipe, &lookup_key.primary);
                let variant = |names: &[_]| recipe.variant(primary, names, &request.headers);
                calls.invalidate_selected(primary, &plan.entry.call_key, &key, variant).await;
                calls.announce_variant(primary, plan.entry.head.keep_until());
            }
        }
        let others_before = plan.entry.head.others();
        let mut writer = self.store().put(&key, plan.entry.head).await?;
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
        if let Some(resident_update) = plan.related.resident_update
            && !resident_update.write(&self.layer.inner.handle).await?
        {
            let message = "the response that leads to the variants of this URL was just removed";
            return Err(Error::new(ErrorKind::Unavailable, "entries", message));
        }
        let missed = match stored_resident.filter(|_| key == lookup_key.primary) {
            Some(resident) => {
                self.missed_variants(&key, resident.family(), others_before, now).await?
            }
            None => None,
        };
        writer.finish(trailers).await?;
        calls.ended().clear();
        if let Some(update) = missed {
            // After a failure, the other variants are fetched anew.
            drop(update.write(&self.layer.inner.handle).await);
        }
        self.layer.inner.handle.put_annotations(plan.related.annotations).await;
        Ok(key)
    }

    /// What a response must lead to that replaces the resident under `primary`: the variants that
    /// were stored beside it since its lookup, which showed `others`.
    async fn missed_variants(
        &self,
        primary: &Key,
        family: u64,
        others: Option<Others>,
        now: Timestamp,
    ) -> Result<Option<ResidentUpdate>> {
        let Some(hit) = self.layer.inner.handle.get(primary).await? else { return Ok(None) };
        let is_same = hit.head.variance().is_some_and(|variance| variance.family == family);
        let latest = hit.head.others().filter(|latest| is_same && others != Some(*latest));
        Ok(latest.map(|Others { until }| {
            let resident = ResidentId { primary: *primary, family, in_flight: None };
            ResidentUpdate { resident, until, now }
        }))
    }
}
