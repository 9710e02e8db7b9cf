//! Error responses that are stored for a time of their own. They do not replace a response that may
//! be served stale.

use std::time::Duration;

use http::StatusCode;
use larder::{
    Outcome, Stored,
    status::{Miss, Stale},
};

use crate::support::{Double, Stand, line, ok, status};

const SECOND: Duration = Duration::from_secs(1);

/// A cache whose responses are fresh for ten seconds, and may be served stale for five more. A 500
/// is fresh for one second.
fn stand(inner: Double) -> Stand {
    Stand::new(inner).with(|layer| {
        let layer = layer.expire_after(SECOND * 10).stale_if_error(SECOND * 5);
        layer.expire_statuses([(StatusCode::INTERNAL_SERVER_ERROR, SECOND)]).unwrap()
    })
}

#[tokio::test]
async fn error_response_is_stored_for_its_own_time() {
    let stand = stand(Double::new(|_, call| match call {
        1..3 => line(status(500), "x-call", call.to_string()),
        _ => ok(call.to_string()),
    }));
    for call in ["1", "2"] {
        let reply = stand.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.stored()), (500, Stored::Yes));
        let reply = stand.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.outcome()), (500, Outcome::Hit));
        assert_eq!(reply.headers["x-call"], call, "a stored error is not served for a later one");
        stand.clock.advance(SECOND);
    }
    assert_eq!(stand.get("/").await.text(), "3");
}

#[tokio::test]
async fn error_response_does_not_replace_one_that_may_be_served_stale() {
    let stand = stand(Double::new(|_, call| match call {
        1 => ok("old"),
        2 | 3 => line(status(500), "x-call", call.to_string()),
        _ => ok("new"),
    }));
    stand.get("/").await;
    stand.clock.advance(SECOND * 10);
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Stale(Stale::IfError), "old"));
    // Beyond the limit, the error response is stored.
    stand.clock.advance(SECOND * 5);
    for outcome in [Outcome::Miss(Miss::Expired), Outcome::Hit] {
        let reply = stand.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.outcome()), (500, outcome));
        assert_eq!(reply.headers["x-call"], "3");
    }
    stand.clock.advance(SECOND);
    assert_eq!(stand.get("/").await.text(), "new");
}

#[tokio::test]
async fn not_found_response_is_stored_for_its_own_time() {
    let stand = Stand::new(Double::new(|_, call| match call {
        1 | 2 => line(status(404), "x-call", call.to_string()),
        _ => ok("found"),
    }))
    .with(|layer| layer.expire_statuses([(StatusCode::NOT_FOUND, SECOND)]).unwrap());
    for call in ["1", "1"] {
        let reply = stand.get("/").await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.headers["x-call"], call);
    }
    stand.clock.advance(SECOND);
    assert_eq!(stand.get("/").await.headers["x-call"], "2");
    stand.clock.advance(SECOND);
    assert_eq!(stand.get("/").await.text(), "found");
    stand.clock.advance(SECOND * 1000);
    assert_eq!(
        stand.get("/").await.outcome(),
        Outcome::Hit,
        "the lifetime of the 404 does not apply"
    );
}
