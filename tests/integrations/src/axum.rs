//! axum's routers: layers around a whole router and a single route, both HTTP versions, purges, and
//! nested routers.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{OriginalUri, Path, Query, State},
    handler::Handler,
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::Redirect,
    routing,
};
use futures_util::stream;
use http::{Request, Uri, Version, uri::Scheme};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{CacheLayer, Entries, store::Memory};
use serde::Deserialize;
use tower::util::MapRequestLayer;

use crate::support::{Origin, Reply, fetch, https, len, send, shared};

/// A handler that counts its calls.
fn counting() -> routing::MethodRouter {
    let calls = Arc::new(AtomicUsize::new(1));
    routing::any(async move || calls.fetch_add(1, Ordering::SeqCst).to_string())
}

async fn get(server: &Origin, path: &str) -> Reply {
    fetch(Request::get(server.url(path))).await
}

#[tokio::test]
async fn a_whole_router_is_cached() {
    let routes = Router::new().route("/a", counting()).route("/b/{id}", counting());
    let server = Origin::new(routes.layer(shared())).await;
    for path in ["/a", "/b/1", "/b/2", "/b/2?q"] {
        let (first, again) = (get(&server, path).await, get(&server, path).await);
        assert_eq!((&*first.cache(), &*again.cache()), ("fwd=uri-miss", "hit"), "{path}");
        assert_eq!(first.text(), again.text());
        assert_eq!(again.header("content-length"), Some("1"));
    }
    // Responses without a route, without a method, and with an error pass unchanged and are not
    // stored.
    for _ in 0..2 {
        let none = get(&server, "/none").await;
        assert_eq!((none.status.as_u16(), &*none.cache()), (404, "fwd=uri-miss"));
    }
}

#[tokio::test]
async fn one_route_is_cached() {
    let routes =
        Router::new().route("/cached", counting().layer(shared())).route("/plain", counting());
    let server = Origin::new(routes).await;
    for (path, caches) in [("/cached", ["fwd=uri-miss", "hit"]), ("/plain", ["none", "none"])] {
        for cache in caches {
            assert_eq!(get(&server, path).await.cache(), cache, "{path}");
        }
    }
}

/// axum applies the layer of a handler again for each request.
#[tokio::test]
async fn one_handler_is_cached() {
    let calls = Arc::new(AtomicUsize::new(1));
    let handler = async move || calls.fetch_add(1, Ordering::SeqCst).to_string();
    let route = routing::get(handler.layer(shared())).post(async || "posted");
    let server = Origin::new(Router::new().route("/", route)).await;
    for cache in ["fwd=uri-miss", "hit", "hit"] {
        let reply = get(&server, "/").await;
        assert_eq!((&*reply.cache(), reply.text()), (cache, "1"));
    }
    let posted = fetch(Request::post(server.url("/"))).await;
    assert_eq!((&*posted.cache(), posted.text()), ("none", "posted"));
}

/// A `route_layer` is not called if no route matches, but a `layer` is.
#[tokio::test]
async fn the_routes_of_a_router_are_cached() {
    let server = Origin::new(Router::new().route("/a", counting()).route_layer(shared())).await;
    assert_eq!(get(&server, "/a").await.cache(), "fwd=uri-miss");
    assert_eq!(get(&server, "/a").await.cache(), "hit");
    assert_eq!(get(&server, "/none").await.cache(), "none");
}

#[tokio::test]
async fn extractors_and_extensions_work_through_the_cache() {
    #[derive(Clone)]
    struct User(&'static str);
    let handler =
        async |State(state): State<&'static str>,
               Extension(User(user)): Extension<User>,
               Path(id): Path<u32>,
               body: Bytes| format!("{state} {user} {id} {}", body.len());
    let routes = Router::new()
        .route("/{id}", routing::any(handler))
        .layer(shared())
        .layer(Extension(User("alice")))
        .with_state("state");
    let server = Origin::new(routes).await;
    assert_eq!(get(&server, "/7").await.text(), "state alice 7 0");
    assert_eq!(get(&server, "/7").await.text(), "state alice 7 0");
    let client = crate::support::client::<Body>();
    let post = Request::post(server.url("/7")).body(Body::from("12345")).unwrap();
    assert_eq!(Reply::read(client.request(post).await.unwrap()).await.text(), "state alice 7 5");
}

#[tokio::test]
async fn both_versions_of_http_find_the_same_entry() {
    let server = Origin::new(Router::new().route("/", counting()).layer(shared())).await;
    let h2 = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    let first = send(&h2, Request::get(server.url("/"))).await;
    assert_eq!((first.version, &*first.cache()), (Version::HTTP_2, "fwd=uri-miss"));
    let second = get(&server, "/").await;
    assert_eq!((second.version, &*second.cache()), (Version::HTTP_11, "hit"));
    assert!(send(&h2, Request::get(server.url("/"))).await.is_hit());
}

/// A server takes a missing `Content-Length` from the size of the body. So a response without a
/// body must not end up with 0.
#[tokio::test]
async fn response_without_a_body_has_the_length_of_the_get() {
    let handler = routing::get(async || ([(header::ETAG, "\"a\"")], "hello there"));
    let gone = routing::get(async || StatusCode::NO_CONTENT);
    let layer = shared().statuses([StatusCode::OK, StatusCode::NO_CONTENT]).unwrap();
    let routes = Router::new().route("/", handler).route("/none", gone).layer(layer);
    let server = Origin::new(routes).await;
    let h1 = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let h2 = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    for client in [h1, h2] {
        for _ in 0..2 {
            let head = send(&client, Request::head(server.url("/"))).await;
            assert_eq!((head.header("content-length"), head.text()), (Some("11"), ""));
        }
        let get = send(&client, Request::get(server.url("/"))).await;
        assert_eq!((get.header("content-length"), get.text()), (Some("11"), "hello there"));
        let head = send(&client, Request::head(server.url("/"))).await;
        assert_eq!((head.header("content-length"), head.text()), (Some("11"), ""));
        let unmodified = Request::get(server.url("/")).header("if-none-match", "\"a\"");
        let unmodified = send(&client, unmodified).await;
        assert_eq!(unmodified.status, StatusCode::NOT_MODIFIED);
        assert_ne!(unmodified.header("content-length"), Some("0"));
        for _ in 0..2 {
            let none = send(&client, Request::get(server.url("/none"))).await;
            assert_eq!(
                (none.status, none.header("content-length")),
                (StatusCode::NO_CONTENT, None)
            );
        }
    }
}

/// Over TLS, an HTTP/2 request has the scheme `https`. An HTTP/1.1 request has none, which counts
/// as `http`.
#[tokio::test]
async fn versions_over_tls_share_entries_only_with_one_scheme() {
    let outcomes = async |routes: Router| {
        let (server, roots) = Origin::tls(routes).await;
        let mut outcomes = Vec::new();
        for h2 in [false, true] {
            let client = https::<Body>(roots.clone(), h2);
            outcomes.push(send(&client, Request::get(server.url("/"))).await.cache());
        }
        outcomes
    };
    let layer = shared();
    let routes = Router::new().route("/", counting()).layer(layer.clone());
    assert_eq!(outcomes(routes).await, ["fwd=uri-miss", "fwd=uri-miss"]);
    assert_eq!(len(&layer).await, 2);

    fn one_scheme<B>(mut request: Request<B>) -> Request<B> {
        let mut uri = request.uri().clone().into_parts();
        uri.scheme = uri.scheme.map(|_https| Scheme::HTTP);
        *request.uri_mut() = Uri::from_parts(uri).expect("a URI with another scheme");
        request
    }
    let layer = shared();
    let routes = Router::new()
        .route("/", counting())
        .layer(layer.clone())
        .layer(MapRequestLayer::new(one_scheme));
    assert_eq!(outcomes(routes).await, ["fwd=uri-miss", "hit"]);
    assert_eq!(len(&layer).await, 1);
}

#[tokio::test]
async fn streamed_body_is_stored_when_it_was_read() {
    let routes = Router::new().route(
        "/",
        routing::get(async || {
            Body::from_stream(stream::iter(["one ", "two"].map(Ok::<_, Infallible>)))
        }),
    );
    let server = Origin::new(routes.layer(shared())).await;
    let (first, again) = (get(&server, "/").await, get(&server, "/").await);
    assert_eq!((first.text(), again.text()), ("one two", "one two"));
    assert!(again.is_hit() && again.header("content-length") == Some("7"));
}

#[tokio::test]
async fn answer_for_one_user_is_not_served_to_another() {
    let login = async || ([(header::SET_COOKIE, "session=1")], "welcome");
    let routes = Router::new().route("/me", counting()).route("/login", routing::get(login));
    let (layer, name) = (shared(), "cookie");
    let server = Origin::new(routes.layer(layer.clone())).await;
    for number in ["1", "2"] {
        let request = Request::get(server.url("/me")).header(name, "session=1");
        let reply = fetch(request).await;
        assert_eq!((&*reply.cache(), reply.text()), ("fwd=bypass", number));
        assert_eq!(get(&server, "/login").await.header("set-cookie"), Some("session=1"));
    }
    assert_eq!(len(&layer).await, 0);
}

/// A middleware that authenticates users must be outside. Inside, a hit would bypass it.
#[tokio::test]
async fn middleware_outside_runs_each_time_and_inside_only_on_misses() {
    let guard = |calls: Arc<AtomicUsize>| {
        from_fn(move |request: axum::extract::Request, next: Next| {
            calls.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        })
    };
    let (outside, inside) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let routes = Router::new()
        .route("/", counting())
        .layer(guard(inside.clone()))
        .layer(shared())
        .layer(guard(outside.clone()));
    let server = Origin::new(routes).await;
    for _ in 0..3 {
        get(&server, "/").await;
    }
    assert_eq!((outside.load(Ordering::SeqCst), inside.load(Ordering::SeqCst)), (3, 1));
}

// ===== Purges =====

#[derive(Deserialize)]
struct Purge {
    url: Option<String>,
    tag: Option<String>,
}

async fn purge(
    State(entries): State<Entries<Memory>>,
    Query(purge): Query<Purge>,
) -> Result<String, StatusCode> {
    let removed = match (purge.url, purge.tag) {
        (Some(url), None) => entries.remove(&url).await,
        (None, Some(tag)) => entries.remove_tag(&tag).await,
        _ => return Err(StatusCode::BAD_REQUEST),
    };
    removed.map(|removed| removed.to_string()).map_err(|_| StatusCode::BAD_REQUEST)
}

#[tokio::test]
async fn a_handler_purges_by_url_and_by_tag() {
    let layer = shared().add_tag_headers(["surrogate-key"]).unwrap();
    let news = async |Path(id): Path<u32>| ([("surrogate-key", "news")], id.to_string());
    let routes = Router::new()
        .route("/news/{id}", routing::get(news))
        .route("/other", counting())
        .layer(layer.clone())
        .merge(Router::new().route("/purge", routing::post(purge)).with_state(layer.entries()));
    let server = Origin::new(routes).await;
    let purge = async |query: &str| {
        fetch(Request::post(server.url(&format!("/purge?{query}")))).await.text().to_owned()
    };
    let paths = ["/news/1", "/news/2", "/other"];
    let outcomes = async || {
        let mut hits = Vec::new();
        for path in paths {
            hits.push(get(&server, path).await.is_hit());
        }
        hits
    };
    assert_eq!(outcomes().await, [false, false, false]);
    assert_eq!(purge(&format!("url={}", server.url("/news/1"))).await, "1");
    assert_eq!(outcomes().await, [false, true, true]);
    assert_eq!(purge("tag=news").await, "2");
    assert_eq!(outcomes().await, [false, false, true]);
    assert_eq!(purge("tag=none").await, "0");
    assert_eq!(fetch(Request::post(server.url("/purge?url=no%20url"))).await.status, 400);
}

/// Unsafe methods of the routes remove stored responses, as everywhere.
#[tokio::test]
async fn post_removes_the_stored_response_of_its_path() {
    let server = Origin::new(Router::new().route("/", counting()).layer(shared())).await;
    let (first, again) = (get(&server, "/").await, get(&server, "/").await);
    assert_eq!((first.text(), again.text()), ("1", "1"));
    assert_eq!(fetch(Request::post(server.url("/"))).await.text(), "2");
    assert_eq!(get(&server, "/").await.text(), "3");
}

// ===== What is nested =====

/// A nested router sees its paths without the prefix, and so does a layer inside it.
#[tokio::test]
async fn layer_belongs_around_nested_routers_and_not_inside() {
    let version =
        |version: &'static str| Router::new().route("/x", routing::get(async move || version));
    let ask = async |routes: Router| {
        let server = Origin::new(routes).await;
        [
            get(&server, "/v1/x").await.text().to_owned(),
            get(&server, "/v2/x").await.text().to_owned(),
        ]
    };
    let around =
        Router::new().nest("/v1", version("one")).nest("/v2", version("two")).layer(shared());
    assert_eq!(ask(around).await, ["one", "two"]);

    // Inside, with one store for both, the two `/x` are the same.
    let layer = shared();
    let inside = |layer: &CacheLayer<Memory>| {
        Router::new()
            .nest("/v1", version("one").layer(layer.clone()))
            .nest("/v2", version("two").layer(layer.clone()))
    };
    assert_eq!(ask(inside(&layer)).await, ["one", "one"], "the wrong response");

    // A layer inside needs a key from the original URL, which axum keeps.
    let layer = shared().key_with(|request, _body| {
        let uri = request.extensions.get::<OriginalUri>().map_or(&request.uri, |it| &it.0);
        let host = request.headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes());
        [host, uri.to_string().as_bytes()].join(&b' ')
    });
    assert_eq!(ask(inside(&layer)).await, ["one", "two"]);
}

#[tokio::test]
async fn redirect_of_a_handler_is_stored_if_its_status_is_listed() {
    let routes = Router::new().route("/", routing::get(async || Redirect::permanent("/new")));
    let layer = shared().statuses([StatusCode::OK, StatusCode::PERMANENT_REDIRECT]).unwrap();
    let server = Origin::new(routes.layer(layer)).await;
    for cache in ["fwd=uri-miss", "hit"] {
        let reply = fetch(Request::builder().method(Method::GET).uri(server.url("/"))).await;
        assert_eq!((&*reply.cache(), reply.header("location")), (cache, Some("/new")));
    }
}
