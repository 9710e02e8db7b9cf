//! Operations that read every entry: removal by a filter, new expiries, copies.

use std::{
    collections::HashSet,
    future::poll_fn,
    pin::{Pin, pin},
};

use futures_core::Stream;

use super::{Entries, Filter, unless_damaged};
use crate::{
    cache::Change,
    entry::{Head, Others},
    key::Key,
    options::CacheOptions,
    policy::Expiration,
    store::{ErrorKind, Hit, Result, Scanned, Store, Writer},
    time::Timestamp,
};

/// # All entries
impl<B: Store> Entries<B> {
    /// Removes the entries that `filter` matches, and returns their number. It reads every head,
    /// and calls `progress` with the number of heads that it has read.
    ///
    /// A response in flight that matches is not stored. If its head has not arrived yet, only its
    /// URL is known, and any status and any tag may follow. Such a response is not stored if its
    /// URL matches. It is stored if the filter selects [expired](Filter::expired) entries, or
    /// entries [older](Filter::older_than) than some age, since the response is new.
    ///
    /// If the variant of a URL that was stored first is removed, the URL's other variants may be
    /// forgotten, as after [`remove`](Entries::remove). A filter for expired entries forgets none:
    /// an expired variant that leads to others stays in the store, and answers no request.
    ///
    /// # Errors
    ///
    /// If the store fails. Entries that are removed by then stay removed. Entries that are damaged
    /// or of a newer version of this crate are skipped.
    pub async fn remove_where(
        &self,
        filter: &Filter,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        let now = self.now();
        let calls = &self.layer.inner.shared.calls;
        calls
            .invalidate_where(|url| filter.may_match(url), |head| filter.matches_head(head, now))
            .await;
        let mut removed = 0;
        let mut scan = pin!(self.store().scan());
        let mut read = 0;
        while let Some(item) = next_sound(scan.as_mut()).await? {
            read += 1;
            progress(read);
            let is_response = item.head.is_response();
            let changed = self.layer.inner.change(&item.key, item.version, item.head, |head| {
                if !filter.matches_head(head, now) {
                    return None;
                }
                if filter.is_for_expired() && head.is_needed_by_others(now) {
                    // It still leads to others. It is of no use itself from now on.
                    return (!head.has_ended())
                        .then(|| Change::Head(Box::new(head.clone().ended())));
                }
                Some(Change::Removal)
            });
            removed += u64::from(unless_unreadable(changed.await)? && is_response);
        }
        Ok(removed)
    }

    /// Gives every stored response a new expiry, and returns the number of responses. The expiry
    /// counts from the time when the response was stored, and
    /// [`max_ttl`](crate::CacheLayer::max_ttl) limits it. The method reads every head, and calls
    /// `progress` with the number of heads that it has read.
    ///
    /// An entry may stay in the store after its expiry. It then stays for the same time after the
    /// new expiry, or for the time that the layer's settings give now, whichever is longer.
    ///
    /// [`Expiration::DoNotStore`] removes the entries.
    ///
    /// # Errors
    ///
    /// If the store fails. Entries that are changed by then stay changed. Entries that are damaged
    /// or of a newer version of this crate are skipped.
    pub async fn reset_expiration(
        &self,
        expiration: impl Into<Expiration>,
        mut progress: impl FnMut(u64),
    ) -> Result<u64> {
        let expiration = expiration.into();
        if expiration == Expiration::DoNotStore {
            // Responses in flight are not stored either, as when everything is removed.
            self.layer.inner.shared.calls.invalidate_all().await;
        }
        let mut changed = 0;
        let mut scan = pin!(self.store().scan());
        let mut read = 0;
        while let Some(item) = next_sound(scan.as_mut()).await? {
            read += 1;
            progress(read);
            let is_response = item.head.is_response();
            let done = self.layer.inner.change(&item.key, item.version, item.head, |head| {
                let stored_at = head.stored_at();
                let limited =
                    |end| self.layer.inner.settings.rules.expiration.limited(end, stored_at);
                Some(match expiration.expires_at(stored_at).map(limited) {
                    None => Change::Removal,
                    Some(expires_at) if !head.is_response() => {
                        // An annotation stays stored as long as what it leads to may, whenever that
                        // was stored.
                        let end = expires_at.map(|end| {
                            let lifetime = end.saturating_since(stored_at);
                            end.max(self.now().saturating_add(lifetime))
                        });
                        Change::Head(Box::new(self.with_new_expiry(head, end)))
                    }
                    Some(expires_at) => {
                        Change::Head(Box::new(self.with_new_expiry(head, expires_at)))
                    }
                })
            });
            changed += u64::from(unless_unreadable(done.await)? && is_response);
        }
        Ok(changed)
    }

    /// `head` with another expiry, and with the time that it stays stored after that.
    fn with_new_expiry(&self, head: &Head, expires_at: Option<Timestamp>) -> Head {
        let stored_at = head.stored_at();
        let old = head.expires_at().map(|end| (end, head.own_keep_until()));
        let kept = match (old, expires_at) {
            (Some((end, keep_until)), Some(expires_at)) => keep_until
                .map(|keep_until| expires_at.saturating_add(keep_until.saturating_since(end))),
            (None, expires_at) => expires_at,
            (_, None) => None,
        };
        let rules = &self.layer.inner.settings.rules;
        let by_rules = if head.is_response() {
            rules.keep_until(&CacheOptions::new(), head.fields(), expires_at, head.stored_at())
        } else {
            rules.keep_annotation_until(expires_at)
        };
        // `None` means forever.
        let keep_until = kept.zip(by_rules).map(|(kept, by_rules)| kept.max(by_rules));
        let head = head.clone().with_expires_at(expires_at).with_keep_until(keep_until);
        // The others may have been stored until now, and get new expiries too.
        let others = head.others().map(|_| Others {
            until: keep_until.map(|end| self.now().saturating_add(end.saturating_since(stored_at))),
        });
        head.with_others(others)
    }

    /// Copies every entry that has not expired into `other`, which may be any other store, and
    /// returns the number of copied responses. A copy replaces the entry under the same key. Bodies
    /// stream. The method calls `progress` with the number of responses that it has copied.
    ///
    /// An expired response that leads to other variants of its URL is copied with them, and is not
    /// counted. A copy that replaces a response in `other` may forget that response's variants.
    ///
    /// The keys stay the same: a layer over `other` with equal key settings finds the same
    /// responses as a layer over this store. [`copy_with`](Entries::copy_with) can leave out what
    /// `other` has already, and reports more.
    ///
    /// # Errors
    ///
    /// If either store fails. Entries that are copied by then stay copied. Entries that are damaged
    /// or of a newer version of this crate are skipped, and so are entries that are too large for
    /// `other`.
    pub async fn copy_to<C: Store>(&self, other: &C, mut progress: impl FnMut(u64)) -> Result<u64> {
        let mut last = 0;
        let report = |report: &CopyReport| {
            if report.copied > last {
                last = report.copied;
                progress(last);
            }
        };
        Ok(self.copy_with(other, IfPresent::Replace, report).await?.copied)
    }

    /// Copies every entry that has not expired into `other`, as [`copy_to`](Entries::copy_to) does.
    /// `if_present` says what happens to the entries that `other` has already. With
    /// [`IfPresent::KeepNewer`], a copy that was interrupted goes on where it was.
    ///
    /// The method calls `progress` after each entry with the report so far. If a listed entry is
    /// not found, it lists the store once more at the end: the entry was removed meanwhile, or is
    /// damaged.
    ///
    /// # Errors
    ///
    /// If either store fails. Entries that are copied by then stay copied.
    pub async fn copy_with<C: Store>(
        &self,
        other: &C,
        if_present: IfPresent,
        mut progress: impl FnMut(&CopyReport),
    ) -> Result<CopyReport> {
        let now = self.now();
        let mut report = CopyReport::default();
        let mut gone = HashSet::new();
        let mut scan = pin!(self.store().scan());
        while let Some(item) = poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            let item = match item {
                Ok(item) => item,
                Err(error) if error.is_of_one_entry() => {
                    report.damaged += 1;
                    progress(&report);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (is_expired, is_response) = (item.head.is_expired(now), item.head.is_response());
            // A response that leads to others goes with them.
            let copied = if is_expired && !item.head.is_needed_by_others(now) {
                Ok(CopiedAs::LeftOut)
            } else {
                self.copy_entry(&item.key, other, if_present).await
            };
            let count = match copied {
                Ok(CopiedAs::Copied(bytes)) if is_response && !is_expired => {
                    report.bytes += bytes;
                    Some(&mut report.copied)
                }
                Ok(CopiedAs::Kept) if is_response && !is_expired => Some(&mut report.kept),
                Ok(CopiedAs::Copied(_) | CopiedAs::Kept | CopiedAs::LeftOut) => {
                    (is_response && is_expired).then_some(&mut report.expired)
                }
                Ok(CopiedAs::Gone) => {
                    gone.insert(item.key);
                    None
                }
                Ok(CopiedAs::Damaged) => Some(&mut report.damaged),
                Err(error) if error.kind() == ErrorKind::TooLarge => Some(&mut report.too_large),
                Err(error) => return Err(error),
            };
            if let Some(count) = count {
                *count += 1;
            }
            progress(&report);
        }
        if !gone.is_empty() {
            report.damaged += self.count_lost(&gone).await?;
            progress(&report);
        }
        Ok(report)
    }

    /// How many of these entries, which a lookup has not found, are listed once more and still not
    /// found: they were not removed meanwhile, but are damaged.
    async fn count_lost(&self, gone: &HashSet<Key>) -> Result<u64> {
        let mut lost = 0;
        let mut scan = pin!(self.store().scan());
        while let Some(item) = next_sound(scan.as_mut()).await? {
            if gone.contains(&item.key) {
                let found = unless_damaged(self.layer.inner.handle.get(&item.key).await)?;
                lost += u64::from(found.is_none());
            }
        }
        Ok(lost)
    }

    /// Copies one entry.
    async fn copy_entry<C: Store>(
        &self,
        key: &Key,
        other: &C,
        if_present: IfPresent,
    ) -> Result<CopiedAs> {
        let (head, mut body) = match self.layer.inner.handle.get(key).await {
            Ok(Some(Hit { head, body, .. })) => (head, body),
            Ok(None) => return Ok(CopiedAs::Gone),
            Err(error) if error.is_of_one_entry() => return Ok(CopiedAs::Damaged),
            Err(error) => return Err(error),
        };
        if if_present == IfPresent::KeepNewer {
            // The copy takes the place of what is older or damaged.
            let there = unless_damaged(other.get(key).await)?;
            if there.is_some_and(|there| is_as_new(&there.head, &head)) {
                return Ok(CopiedAs::Kept);
            }
        }
        let bytes = head.body_len();
        let mut writer = other.put(key, Head::clone(&head).without_notes()).await?;
        while let Some(chunk) = poll_fn(|cx| body.poll_chunk(cx)).await {
            match chunk {
                Ok(chunk) => writer.write(chunk).await?,
                Err(error) => {
                    writer.abort().await;
                    let is_unreadable = error.is_of_one_entry();
                    return if is_unreadable { Ok(CopiedAs::Damaged) } else { Err(error) };
                }
            }
        }
        writer.finish(head.trailers().cloned()).await?;
        Ok(CopiedAs::Copied(bytes))
    }
}

/// What [`Entries::copy_with`] does with an entry that the other store has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IfPresent {
    /// Replaces it.
    Replace,
    /// Keeps it if its head is the same or it was stored later. An entry that is older, or whose
    /// head is damaged, is replaced. It costs a lookup in the other store for each entry.
    ///
    /// The variant of a URL that was stored first leads to the others. If the other store keeps a
    /// newer one of its own, that one leads to the variants of the other store. Variants of this
    /// store are copied all the same: no request finds them, and they stay until they expire.
    KeepNewer,
}

/// What [`Entries::copy_with`] has done. The numbers count responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// Responses that were copied.
    pub copied: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
    /// Responses that the other store [has already](IfPresent::KeepNewer).
    pub kept: u64,
    /// Expired responses.
    pub expired: u64,
    /// Entries that are damaged or of a newer version of this crate and were not copied. An entry
    /// that is listed and that no lookup finds is damaged.
    pub damaged: u64,
    /// Entries that are too large for the other store and were not copied.
    pub too_large: u64,
}

/// What became of one entry.
enum CopiedAs {
    /// Copied, with so many bytes of body.
    Copied(u64),
    /// The other store has it.
    Kept,
    /// It has expired.
    LeftOut,
    /// It was removed since it was listed.
    Gone,
    /// It cannot be read.
    Damaged,
}

/// Whether the entry `there` need not be replaced by one with the head `new`.
fn is_as_new(there: &Head, new: &Head) -> bool {
    *there == *new || there.stored_at() > new.stored_at()
}

/// Whether an entry was changed. One that cannot be read any more was not.
fn unless_unreadable(changed: Result<bool>) -> Result<bool> {
    match changed {
        Err(error) if error.is_of_one_entry() => Ok(false),
        changed => changed,
    }
}

/// The next entry of a scan whose head can be read.
async fn next_sound(
    mut scan: Pin<&mut impl Stream<Item = Result<Scanned>>>,
) -> Result<Option<Scanned>> {
    loop {
        match poll_fn(|cx| scan.as_mut().poll_next(cx)).await {
            Some(Err(error)) if error.is_of_one_entry() => {}
            other => return other.transpose(),
        }
    }
}
