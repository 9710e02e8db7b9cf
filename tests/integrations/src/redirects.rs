//! Redirects that are followed inside or outside of the cache, and the URLs that are stored.

use axum::{Router, response::Redirect, routing};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use larder::{CacheLayer, CacheOptions, Key, RequestBody, store::Memory};
use reqwest::{Client, redirect};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::{
    auth::AddAuthorizationLayer,
    follow_redirect::{FollowRedirectLayer, RequestUri},
};

use crate::{
    reqwest::cached,
    support::{Origin, Reply, client, get, private, send},
};

/// `/a` redirects to `/b` for a minute, and `/b` to `/c`.
async fn hops() -> Origin {
    let minute = [("cache-control", "max-age=60")];
    let routes = Router::new()
        .route("/a", routing::get(async move || (minute, Redirect::permanent("/b"))))
        .route("/b", routing::get(async || Redirect::temporary("/c")))
        .route("/c", routing::get(async || "there"));
    Origin::new(routes).await
}

/// A private cache that stores redirects too.
fn with_redirects() -> CacheLayer<Memory> {
    let [permanent, temporary] = [StatusCode::PERMANENT_REDIRECT, StatusCode::TEMPORARY_REDIRECT];
    private().statuses([StatusCode::OK, permanent, temporary]).unwrap()
}

const WAY: [&str; 3] = ["GET /a", "GET /b", "GET /c"];

#[tokio::test]
async fn redirects_followed_outside_store_each_hop() {
    let origin = hops().await;
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(with_redirects())
        .service(client::<RequestBody<Full<Bytes>>>());
    assert_eq!(get(&client, origin.url("/a")).await.text(), "there");
    assert_eq!(origin.asked(), WAY);
    // No hop is requested again, from the first URL or from one in the middle. The last URL is
    // known.
    for path in ["/a", "/b", "/c"] {
        let reply = get(&client, origin.url(path)).await;
        assert!(reply.is_hit() && reply.text() == "there");
        let last = reply.extensions.get::<RequestUri>().unwrap();
        assert_eq!(last.0.path(), "/c");
    }
    assert_eq!(origin.asked(), WAY);
}

#[tokio::test]
async fn redirects_followed_outside_are_repeated_if_not_stored() {
    let origin = hops().await;
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(private())
        .service(client::<RequestBody<Full<Bytes>>>());
    get(&client, origin.url("/a")).await;
    assert!(get(&client, origin.url("/a")).await.is_hit(), "the last hop");
    assert_eq!(origin.asked(), [&WAY[..], &WAY[..2]].concat());
}

/// Under the HTTP rules, a redirect is stored for the time in its fields.
#[tokio::test]
async fn redirects_followed_outside_are_stored_by_the_http_rules() {
    let origin = hops().await;
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(private().http_rules().expire_after(std::time::Duration::from_secs(60)))
        .service(client::<RequestBody<Full<Bytes>>>());
    get(&client, origin.url("/a")).await;
    assert!(get(&client, origin.url("/a")).await.is_hit());
    assert_eq!(origin.asked(), [&WAY[..], &["GET /b"]].concat());
}

/// The redirect layer removes credentials before it follows to another host. A layer below it adds
/// them again.
#[tokio::test]
async fn token_reaches_another_host_only_if_added_below_the_redirects() {
    let token = async |headers: HeaderMap| match headers.get("authorization") {
        Some(_) => "token",
        None => "none",
    };
    let other = Origin::new(Router::new().route("/", routing::get(token))).await;
    let url = other.url("/");
    let redirect = async move || Redirect::permanent(&url);
    let origin = Origin::new(Router::new().route("/", routing::get(redirect))).await;
    let (follow, add) = (FollowRedirectLayer::new(), AddAuthorizationLayer::bearer("token"));
    let inner = || private().layer(client::<RequestBody<Full<Bytes>>>());
    let above = ServiceBuilder::new().layer(add.clone()).layer(follow.clone()).service(inner());
    assert_eq!(get(&above, origin.url("/")).await.text(), "none");
    let below = ServiceBuilder::new().layer(follow).layer(add).service(inner());
    assert_eq!(get(&below, origin.url("/")).await.text(), "token");
}

#[tokio::test]
async fn redirects_followed_inside_store_the_last_answer_for_the_first_url() {
    let origin = hops().await;
    let client =
        ServiceBuilder::new().layer(private()).layer(FollowRedirectLayer::new()).service(client());
    let ask = async |path| get::<_, Full<Bytes>, _>(&client, origin.url(path)).await;
    assert_eq!(ask("/a").await.extensions.get::<RequestUri>().unwrap().0.path(), "/c");
    let again = ask("/a").await;
    assert!(again.is_hit() && again.text() == "there");
    assert!(again.extensions.get::<RequestUri>().is_none(), "extensions are not stored");
    assert_eq!(origin.asked(), WAY);
    // The cache has not seen the other hops.
    assert!(!ask("/b").await.is_hit());
    assert!(!ask("/c").await.is_hit());
}

#[tokio::test]
async fn redirects_of_reqwest_are_followed_inside() {
    let origin = hops().await;
    let client = cached(&private(), Client::new());
    for hit in [false, true] {
        let reply = get(&client, origin.url("/a")).await;
        assert_eq!((reply.is_hit(), reply.text()), (hit, "there"));
    }
    assert_eq!(origin.asked(), WAY);
    assert!(!get(&client, origin.url("/c")).await.is_hit());
}

#[tokio::test]
async fn layer_outside_follows_redirects_if_reqwest_does_not() {
    let origin = hops().await;
    let plain = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .service(cached(&with_redirects(), plain));
    for path in ["/a", "/a", "/b", "/c"] {
        assert_eq!(get(&client, origin.url(path)).await.text(), "there");
    }
    assert_eq!(origin.asked(), WAY);
}

/// The outer layer passes the extensions of the request on to every hop of the same origin,
/// including the options.
#[tokio::test]
async fn options_apply_to_every_hop() {
    let origin = hops().await;
    let layer = with_redirects();
    let follow = FollowRedirectLayer::new();
    let client = |follow: FollowRedirectLayer| {
        ServiceBuilder::new()
            .layer(follow)
            .layer(layer.clone())
            .service(client::<RequestBody<Full<Bytes>>>())
    };
    let tagged = Request::get(origin.url("/a")).extension(CacheOptions::new().add_tag("way"));
    send(&client(follow.clone()), tagged).await;
    assert_eq!(layer.entries().remove_tag("way").await.unwrap(), 3);

    // A custom key would be the key of every hop. So the first redirect answers all of them, until
    // the policy gives up.
    let keyed = || {
        let options = CacheOptions::new().key(Key::from_bytes([7; 32]));
        Request::get(origin.url("/a")).extension(options).body(Full::default()).unwrap()
    };
    let ended = Reply::read(client(follow.clone()).oneshot(keyed()).await.unwrap()).await;
    assert_eq!(ended.status, StatusCode::PERMANENT_REDIRECT);
    layer.entries().clear().await.unwrap();
    let apart = client(follow.preserve_extensions(false));
    for _ in 0..2 {
        let reply = Reply::read(apart.clone().oneshot(keyed()).await.unwrap()).await;
        assert_eq!(reply.text(), "there");
    }
}
