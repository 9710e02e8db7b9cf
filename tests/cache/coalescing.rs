//! Concurrent requests for the same key share one call. Other requests do not wait for it.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all, stream};
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use larder::{
    BoxError, CacheOptions, Outcome, Stored,
    status::Miss,
    store::{Memory, Store},
};

use crate::{
    streaming::{call, fed, pattern},
    support::{
        Broken, Double, Gate, Reply, Stand, boxed, chunk, empty, frames, get, line, ok, soon, with,
    },
    uncacheable::not_found,
};

const CALLERS: usize = 1_000;

#[tokio::test]
async fn a_thousand_misses_at_once_make_one_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().behind(&gate));
    let mut burst = pin!(join_all((0..CALLERS).map(|_| stand.get("/"))));
    assert!(burst.as_mut().now_or_never().is_none());
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (1, 1));
    gate.open(1);
    let replies = soon(burst).await;
    assert!(replies.iter().all(|reply| reply.text() == "1"));
    let coalesced = Outcome::Coalesced(Miss::Absent);
    let followers = replies.iter().filter(|reply| reply.outcome() == coalesced).count();
    assert_eq!((stand.calls(), followers), (1, CALLERS - 1));
    let stats = stand.layer.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.stored), (1, CALLERS as u64 - 1, 1));
    assert_eq!((stats.in_flight, stand.len().await), (0, 1));
}

/// The body is larger than its replay buffer, so that its start is gone for some callers.
async fn burst_from_many_threads_makes_one_call<B: Store>(store: B) {
    let (bytes, chunks) = pattern(1 << 20);
    let inner = Double::new(move |_, _| {
        let chunks = chunks.clone().into_iter().map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
        line(
            Response::new(boxed(StreamBody::new(stream::iter(chunks)))),
            "content-length",
            (1 << 20).to_string(),
        )
    });
    let gate = Gate::closed();
    let stand = Arc::new(Stand::over(store, inner.behind(&gate)));
    let caller = |_| {
        let stand = stand.clone();
        tokio::spawn(async move { stand.get("/").await })
    };
    let callers: Vec<_> = (0..CALLERS).map(caller).collect();
    gate.open(CALLERS);
    for caller in callers {
        assert!(soon(caller).await.unwrap().body == bytes, "every byte in its place");
    }
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_on_several_threads_make_one_call() {
    burst_from_many_threads_makes_one_call(Memory::default()).await;
}

#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_over_a_file_make_one_call() {
    burst_from_many_threads_makes_one_call(larder::store::Redb::temporary().unwrap()).await;
}

#[tokio::test]
async fn every_caller_gets_each_chunk_when_it_arrives() {
    let (senders, inner) = fed(1);
    let stand = Stand::new(inner);
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(call(&stand).await.into_body());
    }
    for text in ["one", "two", "three"] {
        senders[0].send(text);
        for body in &mut bodies {
            assert_eq!(chunk(body).now_or_never().expect("at once").unwrap(), text);
            assert!(chunk(body).now_or_never().is_none(), "nothing more is there yet");
        }
    }
    drop(senders);
    for body in &mut bodies {
        assert_eq!(soon(chunk(body)).await, None);
    }
    assert_eq!((stand.calls(), stand.len().await), (1, 1));
}

#[tokio::test]
async fn hits_never_wait_for_a_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().behind(&gate));
    gate.open(1);
    stand.get("/").await;
    let refresh = || CacheOptions::new().refresh(true);
    let mut refreshing = pin!(stand.ask(with(refresh())));
    let mut following = pin!(stand.ask(with(refresh())));
    assert!(refreshing.as_mut().now_or_never().is_none());
    assert!(following.as_mut().now_or_never().is_none());
    let hit = stand.get("/").now_or_never().expect("a hit does not wait");
    assert_eq!((hit.outcome(), hit.text()), (Outcome::Hit, "1"));
    gate.open(1);
    assert_eq!(soon(refreshing).await.text(), "2");
    // A response that another request has fetched meanwhile is as new as this request demands.
    assert_eq!(soon(following).await.text(), "2");
    assert_eq!(stand.calls(), 2);
}

#[tokio::test]
async fn different_keys_never_wait_for_each_other() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let mut held = pin!(stand.get("/held"));
    assert!(held.as_mut().now_or_never().is_none());
    // There are so many keys that some share a lock with the one whose call is held.
    for n in 0..500 {
        let other = stand.get(&format!("/{n}")).now_or_never();
        assert_eq!(other.expect("it does not wait").text(), (n + 2).to_string());
    }
    gate.open(1);
    assert_eq!(held.await.text(), "1");
}

// ===== Settings =====

#[tokio::test]
async fn coalescing_can_be_switched_off() {
    let gate = Gate::closed();
    let held = || Double::counting().behind(&gate);
    let off = Stand::new(held()).with(|layer| layer.coalesce(false));
    let on = Stand::new(held());
    let option = |share| move || with(CacheOptions::new().coalesce(share));
    for (stand, request, expected) in [
        (&off, Box::new(|| get("/")) as Box<dyn Fn() -> _>, 3),
        (&off, Box::new(option(true)), 1),
        (&on, Box::new(option(false)), 3),
        (&on, Box::new(|| get("/")), 1),
    ] {
        stand.layer.entries().clear().await.unwrap();
        let before = stand.calls();
        let mut burst = pin!(join_all((0..3).map(|_| stand.ask(request()))));
        assert!(burst.as_mut().now_or_never().is_none());
        assert_eq!(stand.calls() - before, expected);
        gate.open(expected);
        assert!(soon(burst).await.iter().all(|reply| reply.stored() == Stored::Yes));
    }
    assert_eq!((on.layer.stats().in_flight, off.layer.stats().in_flight), (0, 0));
}

#[tokio::test]
async fn uncoalesced_request_neither_follows_nor_is_followed() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().behind(&gate));
    let alone = || stand.ask(with(CacheOptions::new().coalesce(false)));
    let [mut first, mut third] = [Box::pin(alone()), Box::pin(alone())];
    let mut second = pin!(stand.get("/"));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    assert!(third.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 3);
    gate.open(3);
    let texts = [first.await, second.await, third.await].map(|reply| reply.text().to_owned());
    assert_eq!(texts, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn follower_waits_no_longer_than_coalesce_wait() {
    use std::time::Duration;

    use tokio::time::Instant;

    let gate = Gate::closed();
    let limit = Duration::from_secs(1);
    let stand = Stand::new(Double::counting().first_behind(&gate))
        .with(|layer| layer.coalesce_wait(limit).unwrap());
    let mut leading = pin!(stand.get("/"));
    assert!(leading.as_mut().now_or_never().is_none());
    let begin = Instant::now();
    let replies = join_all((0..3).map(|_| stand.get("/"))).await;
    assert!(begin.elapsed() >= limit && begin.elapsed() < limit * 2, "{:?}", begin.elapsed());
    assert_eq!(stand.calls(), 4, "each of the three makes a call of its own");
    assert!(replies.iter().all(|reply| reply.outcome() == Outcome::Miss(Miss::Absent)));
    gate.open(1);
    assert_eq!(leading.await.text(), "1");
    assert!(Stand::new(Double::counting()).layer.coalesce_wait(Duration::ZERO).is_err());
}

// ===== Leftovers =====

/// A call leaves nothing behind, however it ends.
#[tokio::test]
async fn hundred_thousand_calls_leave_nothing_behind() {
    const ROUNDS: usize = 100;
    let inner = Double::fallible(|request, _| match request.uri().query().unwrap_or_default() {
        "stored" => Ok(ok("stored")),
        "refused" => Ok(not_found()),
        "failed" => Err(Broken("down")),
        _ => Ok(Response::new(frames(["a", "b"], None))),
    });
    let gate = Gate::closed();
    let stand = Stand::over(
        Memory::new(1 << 20),
        inner.waiting(move |call| {
            let gate = gate.clone();
            async move {
                // Some calls never finish.
                if call % 7 == 0 {
                    gate.pass().await;
                }
            }
        }),
    );
    let token = Arc::new(());
    let ends = ["stored", "refused", "failed", "dropped"];
    for round in 0..ROUNDS {
        let requests = (0..1_000).flat_map(|n| {
            let path = format!("/{round}/{n}?{}", ends[n % ends.len()]);
            let followers = usize::from(n % 16 < 4);
            std::iter::repeat_n(path, 1 + followers)
        });
        // Each future is polled once, and is then dropped while it waits, reads or is done.
        let mut futures: Vec<_> = requests
            .map(|path| {
                let request = get(&path).extension(token.clone()).body(empty()).unwrap();
                Box::pin(stand.call(request))
            })
            .collect();
        let responses: Vec<_> = futures.iter_mut().map(|future| future.now_or_never()).collect();
        assert!(stand.layer.stats().in_flight > 0);
        drop((futures, responses));
        assert_eq!(stand.layer.stats().in_flight, 0, "round {round}");
    }
    assert!(stand.calls() >= 1_000 * ROUNDS);
    assert_eq!(Arc::strong_count(&token), 1, "no request is held anywhere");
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

/// A call whose body was read to its end leaves nothing behind, though its responses still exist.
#[tokio::test]
async fn call_is_over_when_its_response_is_stored() {
    let stand = Stand::new(Double::new(|_, _| Response::new(frames(["a", "b"], None))));
    let mut responses = join_all((0..3).map(|_| call(&stand))).await;
    assert_eq!(stand.layer.stats().in_flight, 1);
    while chunk(responses[1].body_mut()).await.is_some() {}
    assert_eq!(stand.layer.stats().in_flight, 0);
    for response in responses {
        assert!(matches!(&*Reply::read(response).await.body, b"ab" | b""));
    }
    let _kept: Bytes = stand.get("/").await.body;
}
