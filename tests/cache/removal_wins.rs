//! A call in flight does not bring back a response that is removed meanwhile.

use std::pin::{Pin, pin};

use futures_util::FutureExt;
use http::{Method, Request, Response};
use larder::{
    CacheOptions, Filter, Key, Stored,
    status::Refusal,
    store::{Memory, Store, Tiered},
};

use crate::{
    streaming::{call, stored},
    support::{
        Double, Gate, Gated, Reply, Sender, Stand, channel, chunk, empty, frames, get, line, ok,
        soon, url, with,
    },
};

/// How an entry is removed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Key,
    Url,
    Request,
    Tag,
    Where,
    Clear,
    Unsafe,
}

const WAYS: [Way; 7] =
    [Way::Key, Way::Url, Way::Request, Way::Tag, Way::Where, Way::Clear, Way::Unsafe];

async fn remove<B: Store>(stand: &Stand<B>, way: Way, key: Key) {
    let entries = stand.layer.entries();
    match way {
        Way::Key => drop(entries.remove(key).await.unwrap()),
        Way::Url => drop(entries.remove(&url("/")).await.unwrap()),
        Way::Request => drop(entries.remove(&get("/").body(()).unwrap()).await.unwrap()),
        Way::Tag => drop(entries.remove_tag("news").await.unwrap()),
        Way::Where => drop(entries.remove_where(&Filter::new(), |_| ()).await.unwrap()),
        Way::Clear => entries.clear().await.unwrap(),
        Way::Unsafe => drop(stand.ask(Request::post(url("/"))).await),
    }
}

fn asking(refresh: bool) -> http::request::Builder {
    with(CacheOptions::new().add_tag("news").refresh(refresh))
}

/// Answers the first GET with "old", the next one with the body that is sent, and later ones with
/// "newest". The second call waits at the gate.
fn origin(gate: &Gate) -> (Sender, Double) {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let inner = Double::new(move |request, call| match (request.method(), call) {
        (&Method::GET, 1) => ok("old"),
        (&Method::GET, _) => match body.lock().unwrap().take() {
            Some(body) => Response::new(body),
            None => ok("newest"),
        },
        _ => ok(""),
    });
    let inner = inner.nth_behind(2, gate);
    (sender, inner)
}

/// Asserts that the response of the second call is not stored because of the removal, and that the
/// next request makes a new call.
async fn assert_not_stored<B: Store>(stand: &Stand<B>, reply: Reply, way: Way) {
    assert_eq!(reply.text(), "new", "{way:?}: its caller still gets it");
    assert_eq!(reply.stored(), Stored::No(Refusal::Removed), "{way:?}");
    assert_eq!((stand.len().await, stand.layer.stats().in_flight), (0, 0), "{way:?}");
    let next = stand.ask(asking(false)).await;
    assert_eq!((next.text(), next.stored()), ("newest", Stored::Yes), "{way:?}");
}

async fn remove_while_the_call_is_pending<B: Store>(store: impl Fn() -> B) {
    for way in WAYS {
        let gate = Gate::closed();
        let (sender, inner) = origin(&gate);
        let stand = Stand::over(store(), inner);
        let key = stand.ask(asking(false)).await.cache.key().unwrap();
        let mut caller: Pin<Box<dyn Future<Output = Reply>>> = Box::pin(stand.ask(asking(true)));
        while stand.calls() < 2 {
            assert!(caller.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        soon(remove(&stand, way, key)).await;
        assert_eq!(stand.len().await, 0, "{way:?}");
        gate.open(1);
        sender.send("new");
        drop(sender);
        assert_not_stored(&stand, soon(caller).await, way).await;
    }
}

async fn remove_while_the_body_streams<B: Store>(store: impl Fn() -> B) {
    for way in WAYS {
        for chunks in 0..3 {
            let gate = Gate::closed();
            gate.open(1);
            let (sender, inner) = origin(&gate);
            let stand = Stand::over(store(), inner);
            let key = stand.ask(asking(false)).await.cache.key().unwrap();
            let request = asking(true).body(empty()).unwrap();
            let mut response = stand.call(request).await.unwrap();
            assert_eq!(stored(&response), Stored::Pending);
            let mut read = String::new();
            let mut send = |text: &str| {
                read.push_str(text);
                sender.send(text.to_owned());
            };
            for text in ["n", "e"].into_iter().take(chunks) {
                send(text);
                chunk(response.body_mut()).await.unwrap();
            }
            soon(remove(&stand, way, key)).await;
            for text in ["n", "e", "w"].into_iter().skip(chunks) {
                send(text);
            }
            drop(sender);
            let reply = soon(Reply::read_any(response)).await;
            assert_eq!(reply.body, &read[chunks..]);
            let reply = Reply { body: read.into(), ..reply };
            assert_not_stored(&stand, reply, way).await;
        }
    }
}

#[tokio::test]
async fn removal_wins_while_the_inner_call_is_pending() {
    remove_while_the_call_is_pending(Memory::default).await;
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn removal_wins_while_the_inner_call_is_pending_over_a_file() {
    remove_while_the_call_is_pending(|| larder::store::Redb::temporary().unwrap()).await;
}

#[tokio::test]
async fn removal_wins_while_the_inner_call_is_pending_over_tiers() {
    remove_while_the_call_is_pending(|| Tiered::new(Memory::default(), Memory::default())).await;
}

#[tokio::test]
async fn removal_wins_while_the_body_is_in_flight_over_tiers() {
    remove_while_the_body_streams(|| Tiered::new(Memory::default(), Memory::default())).await;
}

#[tokio::test]
async fn removal_wins_while_the_body_is_in_flight() {
    remove_while_the_body_streams(Memory::default).await;
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn removal_wins_while_the_body_is_in_flight_over_a_file() {
    remove_while_the_body_streams(|| larder::store::Redb::temporary().unwrap()).await;
}

/// A publication cannot be stopped. The removal waits for it, and removes the published entry.
#[tokio::test]
async fn removal_waits_for_an_entry_that_is_being_published() {
    for way in WAYS {
        let gate = Gate::closed();
        gate.open(1);
        let (sender, inner) = origin(&gate);
        let store = Gated::at_finish(Memory::default());
        let stand = Stand::over(store.clone(), inner);
        store.publish(1);
        let key = stand.ask(asking(false)).await.cache.key().unwrap();
        let mut caller = Box::pin(stand.ask(asking(true)));
        sender.send("new");
        drop(sender);
        assert!(caller.as_mut().now_or_never().is_none(), "it is being published");
        let mut removing = Box::pin(remove(&stand, way, key));
        assert!(removing.as_mut().now_or_never().is_none(), "{way:?} has to wait");
        store.publish(1);
        soon(removing).await;
        assert_eq!(stand.len().await, 0, "{way:?}");
        let reply = soon(caller).await;
        assert_eq!((reply.text(), reply.stored()), ("new", Stored::Yes), "{way:?}");
        assert_eq!((stand.len().await, stand.layer.stats().in_flight), (0, 0), "{way:?}");
    }
}

/// The reader that publishes the entry may be gone, or never be polled again. Then the removal
/// finishes the publication itself.
#[tokio::test]
async fn removal_does_not_depend_on_the_reader_of_the_body() {
    let store = Gated::at_finish(Memory::default());
    let stand = Stand::over(store.clone(), Double::new(|_, _| Response::new(frames(["a"], None))));
    let mut body = call(&stand).await.into_body();
    assert_eq!(chunk(&mut body).await.unwrap(), "a");
    let mut reading = Box::pin(chunk(&mut body));
    assert!(reading.as_mut().now_or_never().is_none());
    let entries = stand.layer.entries();
    let mut removing = pin!(entries.clear());
    assert!(removing.as_mut().now_or_never().is_none());
    store.publish(1);
    soon(removing).await.unwrap();
    assert_eq!(reading.await, None);
    assert_eq!((stand.len().await, stand.layer.stats().in_flight), (0, 0));
}

// ===== Requests after a removal =====

#[tokio::test]
async fn request_after_a_removal_does_not_join_the_removed_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let [mut leader, mut follower] = [Box::pin(stand.get("/")), Box::pin(stand.get("/"))];
    assert!(leader.as_mut().now_or_never().is_none());
    assert!(follower.as_mut().now_or_never().is_none());
    stand.layer.entries().remove(&url("/")).await.unwrap();
    let newcomer = stand.get("/").now_or_never().expect("it makes its own call");
    assert_eq!((newcomer.text(), newcomer.stored()), ("2", Stored::Yes));
    gate.open(1);
    for caller in [leader, follower] {
        let reply = soon(caller).await;
        assert_eq!((reply.text(), reply.stored()), ("1", Stored::No(Refusal::Removed)));
    }
    assert_eq!((stand.get("/").await.text(), stand.calls()), ("2", 2));
}

/// The leader is cancelled after the removal. Its follower does not take the call over, because
/// its response could not be stored.
#[tokio::test]
async fn follower_of_a_removed_call_that_fails_makes_a_new_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let [mut leader, mut follower] = [Box::pin(stand.get("/")), Box::pin(stand.get("/"))];
    assert!(leader.as_mut().now_or_never().is_none());
    assert!(follower.as_mut().now_or_never().is_none());
    stand.layer.entries().clear().await.unwrap();
    drop(leader);
    let reply = soon(follower).await;
    assert_eq!((reply.text(), reply.stored()), ("2", Stored::Yes));
    assert!(stand.get("/").await.is_from_store());
}

// ===== Which removals concern a call =====

#[tokio::test]
async fn removal_of_something_else_does_not_affect_a_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let mut caller = pin!(stand.ask(asking(false)));
    assert!(caller.as_mut().now_or_never().is_none());
    let entries = stand.layer.entries();
    entries.remove(&url("/other")).await.unwrap();
    entries.remove(Key::digest("other")).await.unwrap();
    entries.remove_tag("sport").await.unwrap();
    stand.ask(Request::post(url("/other"))).await;
    gate.open(1);
    assert_eq!(soon(caller).await.stored(), Stored::Yes);
}

/// A removal finds a variant by its own key once the response has arrived, and by the primary key
/// before.
#[tokio::test]
async fn variant_in_flight_is_removed_by_its_own_key_and_by_its_request() {
    for by_request in [false, true] {
        let (sender, body) = channel();
        let body = std::sync::Mutex::new(Some(body));
        let stand = Stand::new(Double::new(move |_, _| {
            let body = body.lock().unwrap().take().unwrap_or_else(empty);
            line(Response::new(body), "vary", "x-a")
        }));
        let request = || get("/").header("x-a", "1");
        let response = stand.call(request().body(empty()).unwrap()).await.unwrap();
        let status = response.extensions().get::<larder::CacheStatus>().unwrap().clone();
        let entries = stand.layer.entries();
        if by_request {
            entries.remove(&request().body(()).unwrap()).await.unwrap();
        } else {
            entries.remove(status.key().unwrap()).await.unwrap();
        }
        sender.send("a");
        drop(sender);
        assert_eq!(Reply::read(response).await.text(), "a");
        assert_eq!(status.stored(), Stored::No(Refusal::Removed));
        assert_eq!(stand.len().await, 0);
    }
}

/// Requests with the same custom key may have different tags and URLs. Those of the request that
/// makes the call count.
#[tokio::test]
async fn follower_that_takes_over_is_removed_by_its_own_tag_or_url() {
    for by_tag in [true, false] {
        let gate = Gate::closed();
        let stand = Stand::new(Double::counting().behind(&gate));
        let ask = |path: &'static str, tag: &'static str| {
            let options = CacheOptions::new().key(Key::digest("mine")).add_tag(tag);
            Box::pin(stand.ask(get(path).extension(options)))
        };
        let [mut leader, mut follower] = [ask("/a", "one"), ask("/b", "two")];
        assert!(leader.as_mut().now_or_never().is_none());
        assert!(follower.as_mut().now_or_never().is_none());
        drop(leader);
        assert!(follower.as_mut().now_or_never().is_none());
        assert_eq!(stand.calls(), 2);
        if by_tag {
            stand.layer.entries().remove_tag("two").await.unwrap();
        } else {
            stand.layer.entries().remove(&url("/b")).await.unwrap();
        }
        gate.open(1);
        assert_eq!(soon(follower).await.stored(), Stored::No(Refusal::Removed));
        assert_eq!(stand.len().await, 0);
    }
}
