//! Private and shared caches: what a shared cache does not store, and that no user sees another
//! user's response.

use std::{convert::Infallible, time::Duration};

use http::{Request, Uri, request};
use larder::{
    CacheLayer, CacheOptions, Expiration, Outcome, Stored,
    status::{Bypass, Refusal},
    store::Memory,
};
use tower::{Layer, service_fn};

use crate::support::{Double, Stand, get, line, ok, raw_exchange, serve, with};

const SECOND: Duration = Duration::from_secs(1);

/// An origin that answers with the user's name, which it takes from any kind of credentials.
fn personal() -> Double {
    Double::new(|request, _| {
        let of = |name| request.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        let in_url =
            || request.uri().authority()?.as_str().split_once(':').map(|it| it.0.to_owned());
        let user = of("authorization").or_else(|| of("cookie")).or_else(in_url);
        ok(user.unwrap_or("nobody".into()))
    })
}

fn as_user(name: &str, user: &str) -> request::Builder {
    match name {
        "url" => http::Request::get(format!("http://{user}:pw@example.com/")),
        _ => get("/").header(name, user),
    }
}

#[tokio::test]
async fn two_users_never_see_each_others_response_in_either_scope() {
    let shared = || Stand::shared(personal()).with(|layer| layer.expire_after(SECOND));
    for (scope, stand) in [
        ("private", Stand::new(personal())),
        ("shared", shared()),
        ("shared, credentials allowed", shared().with(|layer| layer.store_credentialed(true))),
    ] {
        for name in ["authorization", "cookie", "url"] {
            for _ in 0..2 {
                for user in ["alice", "bob"] {
                    let reply = stand.ask(as_user(name, user)).await;
                    assert_eq!(reply.text(), user, "{scope}, {name}");
                }
                assert_eq!(stand.get("/").await.text(), "nobody", "{scope}, {name}");
            }
        }
    }
}

#[tokio::test]
async fn shared_cache_stores_nothing_without_a_chosen_expiration() {
    let stand = Stand::shared(Double::counting());
    let reply = stand.get("/").await;
    assert_eq!(reply.stored(), Stored::No(Refusal::NoExpiration));
    assert!(!stand.get("/").await.is_from_store());

    let chosen: [(&str, Stand); 4] = [
        ("layer", Stand::shared(Double::counting()).with(|layer| layer.expire_after(SECOND))),
        (
            "URL",
            Stand::shared(Double::counting())
                .with(|layer| layer.expire_urls([("example.com", SECOND)]).unwrap()),
        ),
        (
            "status",
            Stand::shared(Double::counting())
                .with(|layer| layer.expire_statuses([(http::StatusCode::OK, SECOND)]).unwrap()),
        ),
        (
            "closure",
            Stand::shared(Double::counting())
                .with(|layer| layer.expire_with(|_, _| Some(Expiration::Never))),
        ),
    ];
    for (by, stand) in chosen {
        assert_eq!(stand.get("/").await.stored(), Stored::Yes, "{by}");
        assert!(stand.get("/").await.is_from_store(), "{by}");
    }
    let own = || CacheOptions::new().expire_after(SECOND);
    assert_eq!(stand.ask(with(own())).await.stored(), Stored::Yes, "request");
}

#[tokio::test]
async fn shared_cache_stores_no_response_for_a_url_that_no_pattern_matches() {
    let stand = Stand::shared(Double::counting())
        .with(|layer| layer.expire_urls([("/static/**", SECOND)]).unwrap());
    assert_eq!(stand.get("/private").await.stored(), Stored::No(Refusal::NoExpiration));
    assert_eq!(stand.get("/static/a").await.stored(), Stored::Yes);
}

#[tokio::test]
async fn requests_with_credentials_bypass_a_shared_cache() {
    let stand = Stand::shared(Double::counting()).with(|layer| layer.expire_after(SECOND));
    for name in ["authorization", "cookie", "url"] {
        for call in 0..2 {
            let reply = stand.ask(as_user(name, "alice")).await;
            assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::Credentials), "{name} {call}");
        }
    }
    assert_eq!((stand.calls(), stand.len().await), (6, 0));

    // Requests with a custom key bypass too. The key does not say who may read the response.
    let own = CacheOptions::new().key(larder::Key::digest("x"));
    let reply = stand.ask(as_user("cookie", "alice").extension(own)).await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::Credentials));
}

#[tokio::test]
async fn store_credentialed_stores_a_separate_response_for_each_user() {
    let stand =
        Stand::shared(personal()).with(|layer| layer.expire_after(SECOND).store_credentialed(true));
    for name in ["authorization", "cookie"] {
        stand.ask(as_user(name, "alice")).await;
        assert!(stand.ask(as_user(name, "alice")).await.is_from_store());
        assert!(!stand.ask(as_user(name, "bob")).await.is_from_store());
    }
}

#[tokio::test]
async fn response_that_sets_a_cookie_is_not_shared() {
    let inner =
        || Double::new(|_, call| line(ok(call.to_string()), "set-cookie", format!("sid={call}")));
    let stand = Stand::shared(inner()).with(|layer| layer.expire_after(SECOND));
    for call in ["1", "2"] {
        let reply = stand.get("/").await;
        assert_eq!(reply.stored(), Stored::No(Refusal::SetCookie));
        assert_eq!(reply.text(), call);
    }
    let stand = stand.with(|layer| layer.store_set_cookie(true));
    stand.get("/").await;
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.lines("set-cookie"), [b"sid=3"]);

    // A private cache replays the client's own cookies by default.
    let stand = Stand::new(inner());
    stand.get("/").await;
    assert_eq!(stand.get("/").await.lines("set-cookie"), [b"sid=1"]);
    let stand = Stand::new(inner()).with(|layer| layer.store_set_cookie(false));
    assert_eq!(stand.get("/").await.stored(), Stored::No(Refusal::SetCookie));
}

#[tokio::test]
async fn private_cache_can_bypass_requests_with_credentials() {
    let stand = Stand::new(personal()).with(|layer| layer.store_credentialed(false));
    let reply = stand.ask(as_user("cookie", "alice")).await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::Credentials));
    assert!(matches!(stand.get("/").await.outcome(), Outcome::Miss(_)));
}

#[tokio::test]
async fn both_scopes_see_the_same_entries_in_one_store() {
    let private = Stand::new(Double::counting());
    private.get("/").await;
    let shared =
        larder::CacheLayer::shared(private.layer.store().clone()).clock(private.clock.clone());
    let shared =
        Stand { layer: shared, inner: private.inner.clone(), clock: private.clock.clone() };
    assert!(shared.get("/").await.is_from_store());
}

/// The server routes by the path as it was sent, as axum does. All pages except `/home` repeat the
/// URL of the request.
#[tokio::test]
async fn response_cannot_be_stored_under_another_url() {
    let app = service_fn(async |request: Request<_>| {
        let uri: &Uri = request.uri();
        Ok::<_, Infallible>(match uri.path() {
            "/home" => ok("home"),
            _ => ok(format!("you said {uri}")),
        })
    });
    let layer = CacheLayer::shared(Memory::default()).expire_after(SECOND);
    let address = serve(layer.layer(app)).await;
    let ask = async |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = raw_exchange(address, &request).await;
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    for attack in ["/evil/%2e%2e/home", "/x/../home", "/%68ome", "/./home", "home", "*"] {
        assert_ne!(ask(attack).await, "home", "{attack}");
    }
    assert_eq!(ask("/home").await, "home");
    assert_eq!(ask("/*").await, "you said /*");
    assert_eq!(ask("/").await, "you said /");
}
