//! Revalidation: the cache sends the validators of an expired response, and a 304 makes it fresh
//! again.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use larder::{
    Outcome, Stored,
    status::{Miss, Refusal},
};

use crate::support::{
    Double, Origin, Reply, Stand, T0, TestBody, client, empty, get, line, not_modified, ok, status,
    tagged,
};

const SECOND: Duration = Duration::from_secs(1);
const T1: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const T2: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// An origin that answers by the request and the number of the call.
fn origin(
    answer: impl Fn(&Request<Bytes>, usize) -> Response<TestBody> + Send + Sync + 'static,
) -> Double {
    Double::new(move |request, call| answer(&request, call))
}

/// A cache whose responses are fresh for ten seconds. The response to `GET /` has just expired.
async fn expired(inner: Double) -> Stand {
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND * 10));
    expire(stand).await
}

async fn expire(stand: Stand) -> Stand {
    stand.get("/").await;
    stand.inner.take_seen();
    stand.clock.advance(SECOND * 10);
    stand
}

// ===== The conditional request =====

#[tokio::test]
async fn expired_entry_is_revalidated_with_its_validators() {
    for (lines, etag, date) in [
        (&[("etag", "\"a\"")][..], Some("\"a\""), None),
        (&[("last-modified", T1)], None, Some(T1)),
        (&[("etag", "W/\"a\""), ("last-modified", T1)], Some("W/\"a\""), Some(T1)),
    ] {
        let stand = expired(origin(move |_, call| {
            let response = if call == 1 { ok("whole") } else { not_modified() };
            lines.iter().fold(response, |response, (name, value)| line(response, name, value))
        }))
        .await;
        // The caller's own validators are not sent.
        let request = get("/").header("if-none-match", "\"mine\"").header("if-modified-since", T2);
        let reply = stand.ask(request).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "whole"));
        assert_eq!((reply.outcome(), reply.stored()), (Outcome::Revalidated, Stored::Yes));
        assert_eq!(stand.inner.take_seen()[0].conditions(), (etag, date));
        assert!(stand.get("/").await.is_from_store());
        assert_eq!(stand.calls(), 2);
    }
}

#[tokio::test]
async fn expired_entry_without_a_validator_is_fetched_again() {
    let stand = expired(Double::counting()).await;
    let reply = stand.ask(get("/").header("if-none-match", "\"mine\"")).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "2"));
    assert_eq!(stand.inner.take_seen()[0].conditions(), (None, None));
}

/// If they were sent, a 304 would be about the caller's copy, and could not be stored.
#[tokio::test]
async fn callers_conditions_are_answered_by_the_cache_and_not_sent() {
    let stand = expired(origin(|request, _| {
        line(line(tagged(request, "\"a\"", "whole"), "last-modified", T1), "date", T2)
    }))
    .await;
    for (name, value, status) in [
        ("if-none-match", "\"mine\"", 200),
        ("if-none-match", "\"mine\", W/\"a\"", 304),
        ("if-modified-since", T2, 304),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
    ] {
        let reply = stand.ask(get("/").header(name, value)).await;
        assert_eq!((reply.status.as_u16(), reply.outcome()), (status, Outcome::Revalidated));
        assert_eq!(reply.text(), if status == 200 { "whole" } else { "" }, "{value}");
        assert!(reply.headers["etag"] == "\"a\"" && reply.headers["date"] == T2);
        assert_eq!(stand.inner.take_seen()[0].conditions(), (Some("\"a\""), Some(T1)));
        stand.clock.advance(SECOND * 10);
    }
}

#[tokio::test]
async fn caller_that_already_has_the_new_response_gets_a_304() {
    let stand =
        expired(origin(|_, call| line(ok(call.to_string()), "etag", format!("\"{call}\"")))).await;
    let reply = stand.ask(get("/").header("if-none-match", "\"2\"")).await;
    assert_eq!((reply.status.as_u16(), reply.outcome()), (304, Outcome::Miss(Miss::Expired)));
    assert_eq!(stand.get("/").await.text(), "2");
    stand.clock.advance(SECOND * 10);
    let reply = stand.ask(get("/").header("if-none-match", "\"2\"")).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "3"));
}

// ===== The response =====

#[tokio::test]
async fn a_304_starts_a_new_freshness_lifetime() {
    let stand = expired(origin(|request, _| tagged(request, "\"a\"", "whole"))).await;
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    let now = T0.saturating_add(SECOND * 10);
    let reply = stand.get("/").await;
    assert_eq!(reply.cache.age(), Some(Duration::ZERO));
    assert_eq!(reply.cache.stored_at(), Some(now.into()));
    assert_eq!(reply.cache.expires_at(), Some(now.saturating_add(SECOND * 10).into()));
    assert!(reply.is_from_store() && !reply.cache.is_coalesced());
    let field = "larder; fwd=stale; fwd-status=304; stored; ttl=10";
    assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
    stand.clock.advance(SECOND * 10 - Duration::from_millis(1));
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "whole"));
    assert_eq!(reply.cache.age(), Some(SECOND * 10 - Duration::from_millis(1)));
    stand.clock.advance(Duration::from_millis(1));
    assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated);
    let stats = stand.layer.stats();
    assert_eq!((stats.hits, stats.misses, stats.revalidated, stats.stored), (1, 1, 2, 1));
    assert_eq!((stats.calls, stats.requests()), (3, 4));
}

#[tokio::test]
async fn a_304_updates_fields_except_those_of_connection_and_content() {
    let stand = expired(origin(|_, call| {
        let lines: &[(&str, &str)] = match call {
            1 => &[("x-many", "1"), ("x-many", "2"), ("x-own", "stays"), ("date", T1)],
            _ => &[
                ("x-many", "3"),
                ("date", T2),
                ("x-new", "1"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "chunked"),
                ("content-length", "0"),
                ("content-type", "text/html"),
            ],
        };
        let response = if call == 1 { ok("whole") } else { not_modified() };
        lines.iter().fold(line(response, "etag", "\"a\""), |response, &(name, value)| {
            line(response, name, value)
        })
    }))
    .await;
    for outcome in [Outcome::Revalidated, Outcome::Hit] {
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (outcome, "whole"));
        let mut lines: Vec<_> = reply
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        let expected = [
            ("content-length", "5"),
            ("date", T2),
            ("etag", "\"a\""),
            ("x-many", "3"),
            ("x-new", "1"),
            ("x-own", "stays"),
        ];
        assert_eq!(lines, expected, "{outcome}");
    }
}

#[tokio::test]
async fn a_304_with_another_etag_leads_to_an_unconditional_call() {
    let stand = expired(origin(|_, call| match call {
        1 => line(ok("old"), "etag", "\"a\""),
        2 => line(not_modified(), "etag", "\"b\""),
        _ => line(ok("new"), "etag", "\"b\""),
    }))
    .await;
    let reply = stand.ask(get("/").header("if-none-match", "\"a\"")).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "new"));
    assert_eq!(reply.stored(), Stored::Yes);
    let seen = stand.inner.take_seen();
    let conditions: Vec<_> = seen.iter().map(|seen| seen.conditions()).collect();
    assert_eq!(conditions, [(Some("\"a\""), None), (None, None)]);
    assert_eq!(stand.get("/").await.text(), "new");
    assert_eq!(stand.layer.stats().calls, 3, "every call is counted");
}

#[tokio::test]
async fn second_call_sends_the_request_body_again() {
    let inner = origin(|_, call| match call {
        2 => line(not_modified(), "etag", "\"b\""),
        _ => line(ok("x"), "etag", "\"a\""),
    });
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND));
    for _ in 0..2 {
        stand.send(get("/"), "query").await;
        stand.clock.advance(SECOND);
    }
    let seen = stand.inner.take_seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.body == "query"));
}

#[tokio::test]
async fn a_200_to_a_revalidation_replaces_the_stored_response() {
    let stand =
        expired(origin(|_, call| line(ok(call.to_string()), "etag", format!("\"{call}\"")))).await;
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "2"));
    assert_eq!(stand.inner.take_seen()[0].conditions(), (Some("\"1\""), None));
    assert_eq!((stand.get("/").await.text(), stand.len().await), ("2", 1));
    assert_eq!(stand.layer.stats().revalidated, 0);
}

#[tokio::test]
async fn unsolicited_304_is_passed_on_and_not_stored() {
    let stand = expired(origin(|_, call| if call == 1 { ok("x") } else { not_modified() })).await;
    let reply = stand.get("/").await;
    assert_eq!((reply.status.as_u16(), reply.stored()), (304, Stored::No(Refusal::Status)));
}

#[tokio::test]
async fn other_status_to_a_revalidation_is_passed_on_and_leaves_the_entry() {
    for code in [400, 500] {
        let stand = expired(origin(move |request, call| match call {
            2 => status(code),
            _ => tagged(request, "\"a\"", "whole"),
        }))
        .await;
        let reply = stand.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.stored()), (code, Stored::No(Refusal::Status)));
        assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated, "{code}");
    }
}

/// After that, no stored response is left to revalidate, or to serve stale on errors.
#[tokio::test]
async fn entry_is_removed_when_a_revalidation_gets_404_or_410() {
    for code in [404, 410] {
        let stand = expired(origin(move |request, call| match call {
            2 => status(code),
            _ => tagged(request, "\"a\"", "whole"),
        }))
        .await;
        let reply = stand.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.stored()), (code, Stored::No(Refusal::Status)));
        assert_eq!(stand.len().await, 0);
        assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Absent), "{code}");
    }
}

// ===== Over a socket =====

#[tokio::test]
async fn entry_is_revalidated_by_an_origin_on_a_socket() {
    let origin = Origin::new(async |request: Request<_>, call| {
        let response = match request.uri().path() {
            "/new" => tagged(&request, &format!("\"{call}\""), "new"),
            _ => tagged(&request, "\"a\"", "whole"),
        };
        line(response, "x-call", call.to_string())
    })
    .await;
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    let cached = tower::Layer::layer(&stand.layer, client());
    let ask = async |path: &str| {
        let request = Request::get(origin.url(path)).body(empty()).unwrap();
        Reply::read(tower::ServiceExt::oneshot(cached.clone(), request).await.unwrap()).await
    };
    for path in ["/same", "/new"] {
        ask(path).await;
        stand.clock.advance(SECOND);
        let before = origin.requests();
        let reply = ask(path).await;
        let outcome = match path {
            "/same" => Outcome::Revalidated,
            _ => Outcome::Miss(Miss::Expired),
        };
        assert_eq!((reply.status, reply.outcome()), (StatusCode::OK, outcome));
        assert_eq!(reply.text(), if path == "/same" { "whole" } else { "new" });
        let hit = ask(path).await;
        assert_eq!((hit.outcome(), origin.requests()), (Outcome::Hit, before + 1));
        assert_eq!(hit.headers["x-call"].to_str().unwrap(), (before + 1).to_string());
    }
}
