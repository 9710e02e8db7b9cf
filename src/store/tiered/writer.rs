//! Writing to both tiers, or to the one that accepts the entry.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

use super::{annotation::NAME, tiers::Tiered};
use crate::{
    entry::Head,
    key::Key,
    store::{Error, ErrorKind, Result, Store, Version, Writer},
};

/// Writes the body of one entry to both tiers.
pub struct TieredWriter<Near: Store, Far: Store> {
    tiers: Tiered<Near, Far>,
    key: Key,
    head: Head,
    near: Option<Near::Writer>,
    far: Result<Far::Writer>,
    len: u64,
}

impl<N: Store, F: Store> TieredWriter<N, F> {
    pub(super) async fn begin(tiers: Tiered<N, F>, key: Key, head: Head) -> Result<Self> {
        let head = head.without_notes();
        let far = tiers.far.put(&key, head.clone()).await;
        let near = match tiers.near.put(&key, head.clone()).await {
            Ok(near) => Some(near),
            Err(error) => {
                tiers.near_failed("put", &key, &error);
                None
            }
        };
        match far {
            Err(error) if near.is_none() => Err(error),
            far => Ok(Self { tiers, key, head, near, far, len: 0 }),
        }
    }

    /// Returns the version under which the far tier has published the entry with this head. Returns
    /// `None` if that is unknown, or another entry has replaced it.
    async fn published(tiers: &Tiered<N, F>, key: &Key, head: &Head) -> Option<Version> {
        match tiers.far.get(key).await {
            Ok(Some(hit)) if *hit.head == *head => Some(hit.version),
            Ok(_) => None,
            Err(error) => {
                tiers.far_failed("get", key, &error);
                None
            }
        }
    }
}

/// The error of a writer that has failed before.
fn used_up() -> Error {
    Error::new(ErrorKind::Other, NAME, "the writer failed before")
}

impl<N: Store, F: Store> Writer for TieredWriter<N, F> {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.len = self.len.saturating_add(chunk.len() as u64);
        if self.len > self.tiers.max_body
            && let Some(near) = self.near.take()
        {
            near.abort().await;
        }
        if let Some(near) = &mut self.near
            && let Err(error) = near.write(chunk.clone()).await
        {
            self.tiers.near_failed("write", &self.key, &error);
            self.near = None;
        }
        if let Ok(far) = &mut self.far
            && let Err(error) = far.write(chunk).await
        {
            self.far = Err(error);
        }
        match &mut self.far {
            Err(error) if self.near.is_none() => Err(std::mem::replace(error, used_up())),
            _ => Ok(()),
        }
    }

    async fn abort(self) {
        if let Some(near) = self.near {
            near.abort().await;
        }
        if let Ok(far) = self.far {
            far.abort().await;
        }
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        let Self { tiers, key, head, near, far, len } = self;
        // Until the outcome is known, the near entry may be older than the far one.
        let (mut ticket, before) = tiers.generations.begin_change(&key);
        // Whether the far tier may have published the entry, whatever it returns.
        let may_be_far = far.is_ok();
        let far = match far {
            Ok(far) => far.finish(trailers.clone()).await,
            Err(error) => Err(error),
        };
        let Err(error) = far else {
            ticket.made();
            ticket.renew();
            let mut is_near = false;
            if let Some(near) = near {
                let head = head.seal(len, trailers.clone());
                if let Some(version) = Self::published(&tiers, &key, &head).await {
                    let copy = tiers.publish(&key, near, trailers, Some(version), &mut ticket);
                    is_near = copy.await.unwrap_or_else(|error| {
                        tiers.near_failed("finish", &key, &error);
                        false
                    });
                }
            }
            if !is_near {
                tiers.outdate(&key).await;
            }
            return Ok(());
        };
        if let Some(near) = near {
            ticket.made();
            ticket.renew();
            match tiers.publish(&key, near, trailers, None, &mut ticket).await {
                Ok(_) => {
                    tiers.far_failed("write", &key, &error);
                    return Ok(());
                }
                Err(refused) => tiers.near_failed("finish", &key, &refused),
            }
        }
        if may_be_far {
            ticket.made();
            tiers.outdate(&key).await;
        } else {
            ticket.not_made(&before);
        }
        Err(error)
    }
}

impl<N: Store, F: Store> fmt::Debug for TieredWriter<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredWriter")
            .field("key", &self.key)
            .field("written", &self.len)
            .field("near", &self.near.is_some())
            .field("far", &self.far.is_ok())
            .finish_non_exhaustive()
    }
}
