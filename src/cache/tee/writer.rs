//! Writes an entry into the store while its body arrives.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
};

use http::HeaderMap;

use super::{
    in_flight::{EntryInFlight, Input, Tee},
    splice::Splice,
};
use crate::{
    cache::{
        handle::{Handle, refusal_of},
        variance::{ResidentId, ResidentUpdate},
    },
    entry::{Head, Others},
    event::StoreOperation,
    key::Key,
    status::Refusal,
    store::{Store, StoredBody, Writer},
};

/// What else is read and written when an entry is stored. What few entries have is boxed.
#[derive(Debug, Default)]
pub(crate) struct Related {
    /// The change of the resident that leads to it, if it lies beside one.
    pub(crate) resident_update: Option<Box<ResidentUpdate>>,
    /// The stored part around the body.
    pub(crate) splice: Option<Box<Splice>>,
    /// The annotations that lead to it from other URLs.
    pub(crate) annotations: Vec<(Key, Head)>,
}

/// What a writer asks about the call that brought the entry.
pub(crate) trait Publishing: Send + Sync + 'static {
    /// Asks whether the entry may be published, which follows at once. Keeps older responses out of
    /// it: returns when none of them can be stored any more.
    fn begin(&self) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// The other variants that were stored since the call began. If the entry becomes the resident,
    /// it has to lead to them.
    fn others(&self) -> Option<Others>;
}

/// An entry that is stored.
pub(super) struct Published {
    /// The length of its body, with the stored part around it.
    pub(super) bytes: u64,
    /// Copies of the body that arrived, for readers that fell behind. Fewer than needed if the
    /// store fails.
    pub(super) copies: Vec<StoredBody>,
}

/// What was published, or why nothing was.
pub(super) type WriteFuture = Pin<Box<dyn Future<Output = Result<Published, Refusal>> + Send>>;

/// Writes the entry with the body that its queue brings, and publishes it if `publishing` allows
/// that. The observer hears of the store's failures.
///
/// Every miss allocates this future. So it is kept small, and what few entries need is boxed.
#[expect(clippy::manual_async_fn, reason = "an `async fn` stores each argument twice")]
pub(super) fn write_entry<B: Store>(
    handle: Handle<B>,
    tee: Tee,
    mut related: Related,
    publishing: impl Publishing,
) -> impl Future<Output = Result<Published, Refusal>> + Send {
    async move {
        let head = Head::clone(&tee.head);
        let mut writer = handle.put(&tee.key, head).await.map_err(refusal_of)?;
        let body = write_body(&handle, &tee, related.splice.as_deref(), &mut writer).await?;
        publishing.begin().await?;
        if let Some(update) = &related.resident_update
            && !Box::pin(update.write(&handle)).await.map_err(refusal_of)?
        {
            // The resident is lost: no lookup would find this variant.
            return Err(Refusal::Conflict);
        }
        let finish = writer.finish(body.trailers.as_deref().cloned());
        let finish = handle.observer.asked(StoreOperation::Finish, &tee.key, finish);
        finish.await.map_err(refusal_of)?;
        let others = tee.head.variance().and_then(|_| publishing.others());
        if others.is_some() || related.splice.is_some() || !related.annotations.is_empty() {
            Box::pin(update_dependents(&handle, &tee, &mut related, others)).await;
        }
        let wanted = tee.queue.copies();
        let bytes = body.bytes;
        let copies = match wanted {
            0 => Vec::new(),
            _ => Box::pin(read_copies(&handle, &tee, related.splice, body, wanted)).await,
        };
        Ok(Published { bytes, copies })
    }
}

/// A body that is written.
struct WrittenBody {
    /// How many bytes have arrived.
    arrived: u64,
    /// How many bytes it has, with the stored part around those that arrived.
    bytes: u64,
    trailers: Option<Box<HeaderMap>>,
}

/// Writes the body that the queue brings, with the stored part around it.
async fn write_body<B: Store>(
    handle: &Handle<B>,
    EntryInFlight { key, queue, .. }: &EntryInFlight,
    splice: Option<&Splice>,
    writer: &mut B::Writer,
) -> Result<WrittenBody, Refusal> {
    if let Some(splice) = splice
        && !Box::pin(splice.copy_before(handle, writer)).await.map_err(refusal_of)?
    {
        return Err(Refusal::Conflict);
    }
    let mut arrived = 0;
    let trailers = loop {
        match poll_fn(|_| queue.poll_next()).await {
            Input::Chunk(chunk) => {
                arrived += chunk.len() as u64;
                let write = handle.observer.asked(StoreOperation::Write, key, writer.write(chunk));
                write.await.map_err(refusal_of)?;
            }
            Input::End(trailers) => break trailers,
            Input::KeptOut(why) => return Err(why),
        }
    };
    let Some(splice) = splice else {
        return Ok(WrittenBody { arrived, bytes: arrived, trailers });
    };
    if !Box::pin(splice.copy_after(handle, writer)).await.map_err(refusal_of)? {
        return Err(Refusal::Conflict);
    }
    // The trailers that arrived belong to the part, not to the whole.
    Ok(WrittenBody { arrived, bytes: splice.union.len(), trailers: None })
}

/// Updates what depends on an entry that was just published. The observer hears of failures.
async fn update_dependents<B: Store>(
    handle: &Handle<B>,
    EntryInFlight { key, head, .. }: &EntryInFlight,
    Related { splice, annotations, .. }: &mut Related,
    others: Option<Others>,
) {
    if let Some(Others { until }) = others
        && let Some(variance) = head.variance()
    {
        let resident = ResidentId { primary: *key, family: variance.family, in_flight: None };
        let update = ResidentUpdate { resident, until, now: head.stored_at() };
        // After a failure, the other variants are fetched anew.
        drop(update.write(handle).await);
    }
    if let Some(splice) = splice
        && splice.key != *key
        && !splice.leads_to_others
    {
        // The whole is complete. A failure leaves a part that is of no more use.
        drop(handle.remove_if(&splice.key, splice.version).await);
    }
    handle.put_annotations(mem::take(annotations)).await;
}

/// Reads copies of the body that arrived, for the readers that fell behind. Returns fewer than
/// `wanted` if the store fails, or if another entry has taken the place of this one.
async fn read_copies<B: Store>(
    handle: &Handle<B>,
    EntryInFlight { key, head, .. }: &EntryInFlight,
    splice: Option<Box<Splice>>,
    body: WrittenBody,
    wanted: usize,
) -> Vec<StoredBody> {
    let mut copies = Vec::with_capacity(wanted);
    let published = Head::clone(head).seal(body.bytes, body.trailers.map(|trailers| *trailers));
    while copies.len() < wanted {
        let Ok(Some(mut hit)) = handle.get(key).await else { break };
        if !hit.head.is_same_response(&published) {
            break;
        }
        hit.body = handle.evict_if_damaged(hit.body, *key, hit.version);
        let copy = hit.into_response().into_body();
        copies.push(match &splice {
            Some(splice) => copy.part(splice.union.before, body.arrived),
            None => copy,
        });
    }
    copies
}
