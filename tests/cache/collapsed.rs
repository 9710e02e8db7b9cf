//! What followers report: their `CacheStatus`, and the field `Cache-Status`.

use std::{pin::pin, sync::Mutex};

use futures_util::{FutureExt, future::join_all};
use http::Response;
use larder::{
    CacheStatus, Outcome, Stored,
    status::{Miss, Refusal},
    store::{ErrorKind, Memory},
};

use crate::{
    streaming::{call, fed, stored},
    support::{Broken, Double, Faulty, Gate, Op, Reply, Stand, channel, chunk, frames, line, soon},
};

#[tokio::test]
async fn followers_report_whether_the_response_was_stored() {
    for end in ["stored", "failed", "dropped"] {
        let (senders, inner) = fed(1);
        let stand = Stand::new(inner);
        let leader = call(&stand).await;
        let follower = call(&stand).await;
        let status = follower.extensions().get::<CacheStatus>().unwrap().clone();
        assert_eq!(status.outcome(), Outcome::Coalesced(Miss::Absent));
        assert!(status.is_coalesced() && !status.is_from_store());
        assert_eq!(status.stored(), Stored::Pending);
        let own = leader.extensions().get::<CacheStatus>().unwrap().clone();
        assert!(!own.is_coalesced());
        assert_eq!((own.key(), own.stored_at()), (status.key(), status.stored_at()));
        senders[0].send("a");
        let expected = match end {
            "stored" => {
                drop(senders);
                drop(leader);
                assert_eq!(Reply::read(follower).await.text(), "a");
                Stored::Yes
            }
            "failed" => {
                senders[0].fail(Broken("cut"));
                assert!(Reply::read(follower).await.error.is_some());
                Stored::No(Refusal::BodyFailed)
            }
            _ => {
                drop((leader, follower));
                Stored::No(Refusal::Dropped)
            }
        };
        assert_eq!((status.stored(), own.stored()), (expected, expected), "{end}");
    }
}

#[tokio::test]
async fn cache_status_field_says_that_a_request_was_collapsed() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().behind(&gate))
        .with(|layer| layer.cache_status_header("larder").unwrap());
    let mut burst = pin!(join_all((0..3).map(|_| stand.get("/"))));
    assert!(burst.as_mut().now_or_never().is_none());
    gate.open(1);
    let replies = soon(burst).await;
    assert_eq!(replies[0].lines("cache-status"), [b"larder; fwd=uri-miss; stored"]);
    for reply in &replies[1..] {
        let lines = reply.lines("cache-status");
        assert_eq!(lines, [b"larder; fwd=uri-miss; stored; collapsed"]);
    }
    assert_eq!(stand.get("/").await.lines("cache-status"), [b"larder; hit"]);
}

#[tokio::test]
async fn follower_reports_its_miss_and_that_nothing_was_stored() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::new(|_, _| Response::new(frames(["a"], None))));
    store.fail(Op::Get, ErrorKind::Unavailable);
    let leader = call(&stand).await;
    let follower = call(&stand).await;
    store.fail(Op::Finish, ErrorKind::Full);
    let status = follower.extensions().get::<CacheStatus>().unwrap().clone();
    let failed = ErrorKind::Unavailable;
    assert_eq!(status.outcome(), Outcome::Coalesced(Miss::StoreFailed(failed)));
    let mut body = follower.into_body();
    assert_eq!(chunk(&mut body).await.unwrap(), "a");
    assert_eq!(chunk(&mut body).await, None);
    let full = Refusal::StoreFailed(ErrorKind::Full);
    assert_eq!((status.stored(), stored(&leader)), (Stored::No(full), Stored::No(full)));
}

/// The follower comes too late to read along. It waits until the response is stored, and reads it
/// from the store.
#[tokio::test]
async fn follower_that_waited_for_the_stored_copy_reports_a_coalesced_miss() {
    const CHUNK: usize = 256 << 10;
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let inner = Double::new(move |_, _| {
        let body = body.lock().unwrap().take().unwrap();
        line(Response::new(body), "content-length", (4 * CHUNK).to_string())
    });
    let stand = Stand::new(inner).with(|layer| layer.cache_status_header("larder").unwrap());
    let mut leader = call(&stand).await.into_body();
    for _ in 0..4 {
        sender.send(vec![b'x'; CHUNK]);
        assert_eq!(chunk(&mut leader).await.unwrap().len(), CHUNK);
    }
    let mut follower = pin!(stand.get("/"));
    assert!(follower.as_mut().now_or_never().is_none(), "its start is no longer in memory");
    drop(sender);
    assert_eq!(chunk(&mut leader).await, None);
    let follower = soon(follower).await;
    assert_eq!(follower.outcome(), Outcome::Coalesced(Miss::Absent));
    let lines = follower.lines("cache-status");
    assert_eq!(lines, [b"larder; fwd=uri-miss; stored; collapsed"]);
    assert_eq!((follower.body.len(), stand.calls()), (4 * CHUNK, 1));
}
