//! Responses that repeat an ignored parameter of the request.

use std::time::Duration;

use http::{Request, Response};
use larder::{CacheLayer, Stored, status::Refusal, store::Store};

use crate::support::{Double, Reply, Stand, empty, full, get, line, ok, status, tagged, url};

const MINUTE: Duration = Duration::from_secs(60);

fn set<B: Store>(layer: CacheLayer<B>) -> CacheLayer<B> {
    layer.expire_after(MINUTE).all_statuses().add_ignored_parameters(["api_key"]).unwrap()
}

/// An origin that redirects `/moved`, as servers do to add a slash or to change the scheme.
fn redirecting() -> Double {
    Double::new(|request, _| match request.uri().path() {
        "/moved" => {
            line(status(301), "location", request.uri().to_string().replace("/moved", "/there"))
        }
        "/account" => {
            let back = request.uri().path_and_query().unwrap().as_str();
            let back = back.replace('/', "%2F").replace('?', "%3F").replace('=', "%3D");
            line(status(302), "location", format!("/login?next={back}"))
        }
        _ => ok("text"),
    })
}

/// A user must not be redirected with the secret of another user.
#[tokio::test]
async fn a_redirect_with_an_ignored_parameter_is_not_stored() {
    for is_shared in [false, true] {
        let stand =
            if is_shared { Stand::shared(redirecting()) } else { Stand::new(redirecting()) };
        let stand = stand.with(set);
        for user in ["alice", "bob"] {
            let reply = stand.get(&format!("/moved?api_key={user}")).await;
            assert_eq!(reply.stored(), Stored::No(Refusal::IgnoredParameter));
            let location = url(&format!("/there?api_key={user}"));
            assert_eq!(reply.lines("location"), [location.as_bytes()]);
        }
        assert_eq!((stand.calls(), stand.len().await), (2, 0));
        assert!(!stand.get("/moved?x=1").await.is_from_store());
        assert!(stand.get("/moved?x=1").await.is_hit(), "other redirects are stored");
    }
}

/// A login page receives the URL to return to.
#[tokio::test]
async fn a_redirect_with_an_ignored_parameter_in_an_inner_url_is_not_stored() {
    let stand = Stand::new(redirecting()).with(set);
    for user in ["alice", "bob"] {
        let reply = stand.get(&format!("/account?api_key={user}")).await;
        assert_eq!(reply.stored(), Stored::No(Refusal::IgnoredParameter));
        let location = format!("/login?next=%2Faccount%3Fapi_key%3D{user}");
        assert_eq!(reply.lines("location"), [location.as_bytes()]);
    }
    assert!(!stand.get("/account?x=1").await.is_from_store());
    assert!(stand.get("/account?x=1").await.is_hit(), "other redirects are stored");
}

/// A server that also splits at `;` sees other parameters than the cache does.
#[tokio::test]
async fn response_to_an_ignored_parameter_with_a_semicolon_is_not_shared() {
    let stand = Stand::new(Double::counting()).with(set);
    stand.get("/?q=tea&api_key=x;q=evil").await;
    assert!(stand.get("/?q=tea&api_key=x;q=evil").await.is_hit());
    assert!(!stand.get("/?q=tea").await.is_from_store());
    assert!(stand.get("/?q=tea&api_key=y").await.is_hit());
    let entries = stand.layer.entries();
    assert_eq!(entries.remove(&url("/?q=tea")).await.unwrap(), 2);
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn redirect_with_an_ignored_parameter_is_not_shared_in_flight() {
    let (double, gate) = redirecting().gated();
    let stand = Stand::new(double).with(set);
    let ask = |user| {
        let path = format!("/moved?api_key={user}");
        tokio::spawn(stand.call(get(&path).body(empty()).unwrap()))
    };
    let (alice, bob) = (ask("alice"), ask("bob"));
    while stand.calls() == 0 {
        tokio::task::yield_now().await;
    }
    gate.open(2);
    for (user, response) in [("alice", alice), ("bob", bob)] {
        let reply = Reply::read(response.await.unwrap().unwrap()).await;
        let location = url(&format!("/there?api_key={user}"));
        assert_eq!(reply.lines("location"), [location.as_bytes()]);
    }
}

#[tokio::test]
async fn ignored_parameter_in_a_304_is_not_written_to_the_stored_response() {
    let inner = Double::new(|request, call| {
        let response = tagged(&request, "\"1\"", "text");
        match call {
            1 => response,
            _ => line(response, "content-location", request.uri().to_string()),
        }
    });
    let stand = Stand::new(inner).with(set);
    stand.get("/?api_key=secret").await;
    stand.clock.advance(2 * MINUTE);
    let reply = stand.get("/?api_key=secret").await;
    assert_eq!(reply.text(), "text");
    assert_eq!(stand.calls(), 2);
    let stored = stand.layer.entries().get(&url("/")).await.unwrap();
    let fields = format!("{:?}", stored.expect("the response stays").headers());
    assert!(!fields.contains("secret"), "{fields}");
}

#[tokio::test]
async fn inserted_redirect_with_an_ignored_parameter_is_refused() {
    let layer = Stand::new(redirecting()).with(set).layer;
    let request = Request::get(url("/moved")).body(()).unwrap();
    let response = Response::builder().status(301).header("location", "/there?API_KEY=s");
    let inserted = layer.entries().insert(&request, response.body(full("")).unwrap()).await;
    assert!(inserted.unwrap_err().to_string().contains("ignored-parameter"));
}
