//! Tests of the conformance suite: a store that breaks one promise fails the case for it.

#![cfg(all(feature = "conformance", feature = "memory"))]
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, future, stream};
use http::{HeaderMap, Method, Response};
use larder::{
    Key,
    entry::Head,
    store::{
        Hit, Memory, Result, Scanned, Store, StoredBody, Version, Writer,
        conformance::{self as suite},
    },
    time::Timestamp,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    LosesTrailers,
    MergesRepeatedLines,
    SortsLines,
    LosesTheLastByteOfLargeBodies,
    LosesSmallChunks,
    BelievesContentLength,
    IgnoresTheLastBitOfKeys,
    ShowsUnfinishedEntries,
    RemovesTheOldEntryAtPut,
    PublishesWhatIsDropped,
    PublishesWhatIsAborted,
    PublishesInSteps,
    PublishesLate,
    UpdatesLate,
    ReadsOnInTheNewBody,
    UpdatesAnyVersion,
    UpdatesWhatIsNotThere,
    RemovesWhateverIsThere,
    RewritesTheBodyInAnUpdate,
    HasOneVersionForAll,
    CountsAnewAfterRemove,
    CountsAnewAfterRemoveIf,
    CountsAnewAfterRemoveExpired,
    CountsAnewAfterRemoveTagged,
    CountsAnewAfterClear,
    CountsOnFromWhatIsThere,
    ExpiresLate,
    ExpiresWhatNeverDoes,
    RemembersOldExpiries,
    RemembersOldTags,
    TakesPrefixesOfTags,
    IgnoresTheCaseOfTags,
    CountsTagsAndNotEntries,
    ClearsNothing,
    ScansTwice,
    SkipsExpiredEntries,
    CountsOneTooMany,
    NeverShrinks,
    CopiesNothingToClones,
}

#[derive(Debug)]
struct Faulty {
    inner: Memory,
    fault: Fault,
    /// Every expiry and every tag so far, and the largest size.
    past: Arc<Mutex<Past>>,
}

#[derive(Debug, Default)]
struct Past {
    expiries: Vec<(Timestamp, Key)>,
    tags: Vec<(Box<str>, Key)>,
    size: u64,
    /// Abandoned operations, which the next read carries out.
    late: Vec<Late>,
    /// The versions that replace those of the inner store.
    shown: Shown,
}

/// The store's own versions, if the fault concerns them.
#[derive(Debug, Default)]
struct Shown {
    last: u64,
    versions: HashMap<Key, (Version, Version)>,
}

impl Shown {
    /// The version that replaces the inner store's version of an entry.
    fn version(&mut self, key: Key, inner: Version) -> Version {
        match self.versions.get(&key) {
            Some((known, shown)) if *known == inner => *shown,
            _ => {
                self.last += 1;
                let shown = Version::new(self.last);
                self.versions.insert(key, (inner, shown));
                shown
            }
        }
    }

    /// The inner store's version.
    fn inner(&self, key: Key, seen: Version) -> Version {
        match self.versions.get(&key) {
            Some((inner, shown)) if *shown == seen => *inner,
            _ => Version::new(u64::MAX),
        }
    }
}

#[derive(Debug)]
enum Late {
    Finish(<Memory as Store>::Writer),
    Update(Key, Version, Head),
}

/// An operation in progress. If it is abandoned, it is carried out late.
struct Underway {
    past: Arc<Mutex<Past>>,
    what: Option<Late>,
}

impl Underway {
    async fn arrived(mut self) -> Option<Late> {
        tokio::task::yield_now().await;
        self.what.take()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.past.lock().unwrap().late.extend(self.what.take());
    }
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { inner: Memory::default(), fault, past: Arc::default() }
    }

    /// Opens the data of `self` again, and numbers versions from the highest stored one.
    async fn reopened(&self) -> Self {
        let there = self.keys_where(|_| true).await;
        let shown = &mut self.past.lock().unwrap().shown;
        shown.versions.retain(|key, _| there.contains(key));
        shown.last = shown.versions.values().map(|(_, shown)| shown.get()).max().unwrap_or(0);
        self.clone()
    }

    /// Whether the fault concerns versions, so that they differ from the inner store's.
    fn numbers_versions(&self) -> bool {
        matches!(
            self.fault,
            Fault::CountsAnewAfterRemove
                | Fault::CountsAnewAfterRemoveIf
                | Fault::CountsAnewAfterRemoveExpired
                | Fault::CountsAnewAfterRemoveTagged
                | Fault::CountsAnewAfterClear
                | Fault::CountsOnFromWhatIsThere
        )
    }

    /// The inner store's version for the version that the caller has seen.
    fn seen(&self, key: Key, seen: Version) -> Version {
        if !self.numbers_versions() {
            return seen;
        }
        self.past.lock().unwrap().shown.inner(key, seen)
    }

    /// Starts to number versions again, if that is the fault.
    fn count_anew_if(&self, fault: Fault) {
        if self.fault == fault {
            self.past.lock().unwrap().shown.last = 0;
        }
    }

    fn key(&self, key: &Key) -> Key {
        let mut bytes = *key.as_bytes();
        if self.fault == Fault::IgnoresTheLastBitOfKeys {
            bytes[31] &= 0x7f;
        }
        Key::from_bytes(bytes)
    }

    async fn remove_all(&self, keys: impl IntoIterator<Item = Key>) -> Result<u64> {
        let mut removed = 0;
        for key in keys {
            removed += u64::from(self.inner.remove(&key).await?);
        }
        Ok(removed)
    }

    async fn finish_late_operations(&self) -> Result<()> {
        let late = std::mem::take(&mut self.past.lock().unwrap().late);
        for late in late {
            match late {
                Late::Finish(writer) => writer.finish(None).await?,
                Late::Update(key, seen, head) => {
                    self.inner.update(&key, seen, head).await?;
                }
            }
        }
        Ok(())
    }

    async fn keys_where(&self, matches: impl Fn(&Head) -> bool) -> Vec<Key> {
        let items: Vec<_> = self.inner.scan().collect().await;
        let items = items.into_iter().flatten().filter(|item| matches(&item.head));
        items.map(|item| item.key).collect()
    }
}

impl Clone for Faulty {
    fn clone(&self) -> Self {
        if self.fault == Fault::CopiesNothingToClones {
            return Self::new(self.fault);
        }
        Self { inner: self.inner.clone(), fault: self.fault, past: self.past.clone() }
    }
}

fn with_headers(head: &Head, headers: HeaderMap) -> Head {
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.version, parts.headers) = (head.status(), head.version(), headers);
    Head::new(head.method().clone(), head.url(), parts, head.stored_at())
        .with_requested_at(head.requested_at())
        .with_expires_at(head.expires_at())
        .with_tags(head.tags().to_vec())
}

async fn body_of(hit: Hit) -> Vec<u8> {
    hit.body.bytes().await.unwrap_or_default().to_vec()
}

impl Store for Faulty {
    type Writer = FaultyWriter;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.finish_late_operations().await?;
        let key = self.key(key);
        let Some(mut hit) = self.inner.get(&key).await? else {
            return Ok(None);
        };
        let len = hit.body.len();
        if self.numbers_versions() {
            hit.version = self.past.lock().unwrap().shown.version(key, hit.version);
        }
        match self.fault {
            Fault::HasOneVersionForAll => hit.version = Version::new(1),
            Fault::LosesTheLastByteOfLargeBodies if len > 1 << 20 => {
                hit.body = StoredBody::from_stream(len - 1, {
                    let (mut left, mut body) = (len - 1, hit.body);
                    stream::poll_fn(move |cx| body.poll_chunk(cx)).map(move |chunk| {
                        let chunk = chunk?;
                        let chunk = chunk.slice(..chunk.len().min(left as usize));
                        left -= chunk.len() as u64;
                        Ok(chunk)
                    })
                });
            }
            Fault::ReadsOnInTheNewBody => {
                let inner = self.inner.clone();
                let pieces = stream::iter((0..len).step_by(1 << 19)).then(move |from| {
                    let inner = inner.clone();
                    async move {
                        let body = body_of(inner.get(&key).await?.expect("still there")).await;
                        let to = body.len().min(from as usize + (1 << 19));
                        Ok(Bytes::copy_from_slice(&body[from as usize..to]))
                    }
                });
                hit.body = StoredBody::from_stream(len, pieces);
            }
            _ => {}
        }
        Ok(Some(hit))
    }

    async fn put(&self, key: &Key, mut head: Head) -> Result<FaultyWriter> {
        let key = self.key(key);
        match self.fault {
            Fault::MergesRepeatedLines => {
                let mut merged = HeaderMap::new();
                for (name, value) in head.headers() {
                    merged.insert(name, value.clone());
                }
                head = with_headers(&head, merged);
            }
            Fault::SortsLines => {
                let mut lines: Vec<_> = head.headers().iter().collect();
                lines.sort_by_key(|(name, _)| name.as_str());
                let mut sorted = HeaderMap::new();
                for (name, value) in lines {
                    sorted.append(name, value.clone());
                }
                head = with_headers(&head, sorted);
            }
            Fault::ShowsUnfinishedEntries => {
                self.inner.put(&key, head.clone()).await?.finish(None).await?;
            }
            Fault::RemovesTheOldEntryAtPut => {
                self.inner.remove(&key).await?;
            }
            _ => {}
        }
        {
            let mut past = self.past.lock().unwrap();
            past.expiries.extend(head.expires_at().map(|time| (time, key)));
            past.tags.extend(head.tags().iter().map(|tag| (tag.clone(), key)));
        }
        let length = head.headers().get("content-length").and_then(|line| line.to_str().ok());
        let length = length.and_then(|length| length.parse().ok());
        let empty = match self.fault {
            Fault::PublishesInSteps => Some(self.inner.put(&key, head.clone()).await?),
            _ => None,
        };
        let inner = Some(self.inner.put(&key, head).await?);
        let past = self.past.clone();
        Ok(FaultyWriter { inner, empty, fault: self.fault, left: length, past })
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        let key = self.key(key);
        if self.fault == Fault::UpdatesLate {
            let what = Some(Late::Update(key, seen, head.clone()));
            Underway { past: self.past.clone(), what }.arrived().await;
        }
        let Some(hit) = self.inner.get(&key).await? else {
            if self.fault == Fault::UpdatesWhatIsNotThere {
                self.inner.put(&key, head).await?.finish(None).await?;
            }
            return Ok(false);
        };
        match self.fault {
            Fault::UpdatesAnyVersion => self.inner.update(&key, hit.version, head).await,
            Fault::HasOneVersionForAll => self.inner.update(&key, hit.version, head).await,
            Fault::RewritesTheBodyInAnUpdate if hit.version == seen => {
                let mut writer = self.inner.put(&key, head).await?;
                writer.write(body_of(hit).await.into()).await?;
                writer.finish(None).await?;
                Ok(true)
            }
            _ => self.inner.update(&key, self.seen(key, seen), head).await,
        }
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.count_anew_if(Fault::CountsAnewAfterRemove);
        self.inner.remove(&self.key(key)).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        if self.fault == Fault::RemovesWhateverIsThere {
            return self.inner.remove(&self.key(key)).await;
        }
        let (key, seen) = (self.key(key), self.seen(self.key(key), seen));
        self.count_anew_if(Fault::CountsAnewAfterRemoveIf);
        self.inner.remove_if(&key, seen).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.count_anew_if(Fault::CountsAnewAfterRemoveExpired);
        match self.fault {
            Fault::ExpiresLate if now == Timestamp::MIN => Ok(0),
            Fault::ExpiresLate => {
                self.inner.remove_expired(Timestamp::from_millis(now.as_millis() - 1)).await
            }
            Fault::ExpiresWhatNeverDoes => {
                let keys = self.keys_where(|head| head.expires_at() <= Some(now)).await;
                self.remove_all(keys).await
            }
            Fault::RemembersOldExpiries => {
                let past = std::mem::take(&mut self.past.lock().unwrap().expiries);
                let (gone, kept) = past.into_iter().partition(|(time, _)| *time <= now);
                self.past.lock().unwrap().expiries = kept;
                let gone: Vec<(Timestamp, Key)> = gone;
                let removed = self.inner.remove_expired(now).await?;
                Ok(removed + self.remove_all(gone.into_iter().map(|(_, key)| key)).await?)
            }
            _ => self.inner.remove_expired(now).await,
        }
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.count_anew_if(Fault::CountsAnewAfterRemoveTagged);
        let carries = |matches: fn(&str, &str) -> bool| {
            self.keys_where(move |head| head.tags().iter().any(|other| matches(other, tag)))
        };
        match self.fault {
            Fault::TakesPrefixesOfTags => {
                let keys = carries(|other, tag| other.starts_with(tag)).await;
                self.remove_all(keys).await
            }
            Fault::IgnoresTheCaseOfTags => {
                let keys = carries(|other, tag| other.eq_ignore_ascii_case(tag)).await;
                self.remove_all(keys).await
            }
            Fault::CountsTagsAndNotEntries => {
                let items: Vec<_> = self.inner.scan().collect().await;
                let heads = items.iter().flatten().map(|item| &item.head);
                let rows = heads.flat_map(|head| head.tags()).filter(|other| ***other == *tag);
                let rows = rows.count() as u64;
                self.inner.remove_tagged(tag).await?;
                Ok(rows)
            }
            Fault::RemembersOldTags => {
                let past = std::mem::take(&mut self.past.lock().unwrap().tags);
                let (gone, kept) = past.into_iter().partition(|(other, _)| **other == *tag);
                self.past.lock().unwrap().tags = kept;
                let gone: Vec<(Box<str>, Key)> = gone;
                self.remove_all(gone.into_iter().map(|(_, key)| key)).await
            }
            _ => self.inner.remove_tagged(tag).await,
        }
    }

    async fn clear(&self) -> Result<()> {
        self.count_anew_if(Fault::CountsAnewAfterClear);
        match self.fault {
            Fault::ClearsNothing => Ok(()),
            _ => self.inner.clear().await,
        }
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        let fault = self.fault;
        let again = stream::iter((fault == Fault::ScansTwice).then(|| self.inner.scan()));
        let (numbers, past) = (self.numbers_versions(), self.past.clone());
        let items = self.inner.scan().map(move |item| {
            let mut item = item?;
            if numbers {
                item.version = past.lock().unwrap().shown.version(item.key, item.version);
            }
            Ok(item)
        });
        items.chain(again.flatten()).filter(move |item| {
            let now = Timestamp::from_millis(4_102_444_800_000);
            let expired = item.as_ref().is_ok_and(|item| item.head.is_expired(now));
            future::ready(fault != Fault::SkipsExpiredEntries || !expired)
        })
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.inner.len().await? + u64::from(self.fault == Fault::CountsOneTooMany))
    }

    async fn size_bytes(&self) -> Result<u64> {
        let size = self.inner.size_bytes().await?;
        let mut past = self.past.lock().unwrap();
        past.size = past.size.max(size);
        Ok(if self.fault == Fault::NeverShrinks { past.size } else { size })
    }
}

struct FaultyWriter {
    inner: Option<<Memory as Store>::Writer>,
    empty: Option<<Memory as Store>::Writer>,
    fault: Fault,
    left: Option<usize>,
    past: Arc<Mutex<Past>>,
}

impl Writer for FaultyWriter {
    async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        match self.fault {
            Fault::LosesSmallChunks if chunk.len() < 5 => return Ok(()),
            Fault::BelievesContentLength => {
                if let Some(left) = &mut self.left {
                    chunk.truncate(*left);
                    *left -= chunk.len();
                }
            }
            _ => {}
        }
        self.inner.as_mut().expect("not finished").write(chunk).await
    }

    async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<()> {
        let trailers = trailers.filter(|_| self.fault != Fault::LosesTrailers);
        if let Some(empty) = self.empty.take() {
            empty.finish(None).await?;
            tokio::task::yield_now().await;
        }
        if self.fault == Fault::PublishesLate {
            let what = self.inner.take().map(Late::Finish);
            let arrived = Underway { past: self.past.clone(), what }.arrived().await;
            let Some(Late::Finish(inner)) = arrived else { panic!("not finished") };
            return inner.finish(trailers).await;
        }
        self.inner.take().expect("not finished").finish(trailers).await
    }

    async fn abort(mut self) {
        if self.fault == Fault::PublishesWhatIsAborted
            && let Some(inner) = self.inner.take()
        {
            inner.finish(None).await.expect("it fits");
        }
    }
}

impl Drop for FaultyWriter {
    fn drop(&mut self) {
        if let Some(inner) =
            self.inner.take().filter(|_| self.fault == Fault::PublishesWhatIsDropped)
        {
            inner.finish(None).now_or_never().expect("memory does not wait").expect("it fits");
        }
    }
}

macro_rules! caught_by {
    ($($fault:ident: $case:ident)*) => {
        #[tokio::test]
        async fn every_fault_is_caught_by_the_case_for_it() {
            $(
                suite::$case(&Faulty::new(Fault::None)).await;
                let faulty = Faulty::new(Fault::$fault);
                let judged = AssertUnwindSafe(suite::$case(&faulty));
                let caught = judged.catch_unwind().await.is_err();
                assert!(caught, "{} must catch {:?}", stringify!($case), Fault::$fault);
            )*
        }
    };
}

caught_by! {
    LosesTrailers: trailers_come_back
    MergesRepeatedLines: heads_come_back_exactly
    SortsLines: heads_come_back_exactly
    LosesTheLastByteOfLargeBodies: a_body_of_64_mib_comes_back
    LosesSmallChunks: many_tiny_chunks_are_one_body
    BelievesContentLength: content_length_is_ignored
    IgnoresTheLastBitOfKeys: keys_that_differ_in_one_bit_are_different
    ShowsUnfinishedEntries: nothing_is_visible_before_finish
    RemovesTheOldEntryAtPut: an_entry_stays_until_its_replacement_is_finished
    PublishesWhatIsDropped: a_dropped_writer_leaves_nothing
    PublishesWhatIsAborted: an_aborted_writer_leaves_nothing
    PublishesInSteps: abandoned_operations_are_done_or_not
    PublishesLate: abandoned_writes_do_not_come_after_a_removal
    UpdatesLate: abandoned_writes_do_not_come_after_a_removal
    PublishesLate: abandoned_writes_do_not_replace_a_later_write
    ReadsOnInTheNewBody: a_reader_never_sees_a_mixture
    UpdatesAnyVersion: an_update_of_another_version_is_refused
    UpdatesAnyVersion: one_of_many_concurrent_updates_succeeds
    UpdatesWhatIsNotThere: an_update_of_nothing_is_refused
    RemovesWhateverIsThere: a_removal_of_another_version_is_refused
    RewritesTheBodyInAnUpdate: an_update_leaves_the_body_alone
    HasOneVersionForAll: every_write_gives_a_new_version
    CountsAnewAfterRemove: every_write_gives_a_new_version
    CountsAnewAfterRemoveIf: every_write_gives_a_new_version
    CountsAnewAfterRemoveExpired: every_write_gives_a_new_version
    CountsAnewAfterRemoveTagged: every_write_gives_a_new_version
    CountsAnewAfterClear: every_write_gives_a_new_version
    ExpiresLate: an_entry_expires_at_its_very_time
    ExpiresWhatNeverDoes: an_entry_expires_at_its_very_time
    ExpiresWhatNeverDoes: a_thousand_of_ten_thousand_expire
    RemembersOldExpiries: the_expiry_index_follows_replacement_update_and_removal
    RemembersOldTags: the_tag_index_follows_replacement_update_and_removal
    TakesPrefixesOfTags: tags_of_any_characters_are_told_apart
    IgnoresTheCaseOfTags: tags_of_any_characters_are_told_apart
    CountsTagsAndNotEntries: a_tag_removes_what_carries_it_and_nothing_else
    ClearsNothing: a_cleared_store_is_like_a_new_one
    ScansTwice: a_scan_sees_each_entry_once
    SkipsExpiredEntries: a_scan_sees_each_entry_once
    CountsOneTooMany: len_counts_finished_entries
    NeverShrinks: the_size_grows_and_shrinks
    CopiesNothingToClones: a_clone_is_the_same_store
}

/// A store that numbers versions from the highest one it has when it is opened.
#[tokio::test]
async fn versions_that_start_again_after_reopening_are_caught() {
    let reopen = |fault| {
        let data = Faulty::new(fault);
        AssertUnwindSafe(async move { suite::reopen(async || data.reopened().await).await })
            .catch_unwind()
    };
    reopen(Fault::None).await.unwrap();
    assert!(reopen(Fault::CountsOnFromWhatIsThere).await.is_err());
}

#[test]
fn head_with_other_headers_keeps_its_method() {
    let (parts, ()) = Response::new(()).into_parts();
    let head = Head::new(Method::HEAD, "http://example.com/", parts, Timestamp::MIN);
    assert_eq!(with_headers(&head, HeaderMap::new()), head, "a fault must change the headers only");
}
