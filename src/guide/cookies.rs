//! Cookies and logins: whose responses are stored, and which users share them.
//!
//! # What happens by default
//!
//! | | private cache | shared cache | shared cache with [`http_rules`](crate::CacheLayer::http_rules) |
//! |---|---|---|---|
//! | request with `Cookie` | each value has its own responses | bypasses the cache ([`Credentials`](crate::status::Bypass::Credentials)) | is stored if the response says how long it is fresh, or `public`; `Vary: Cookie` separates users |
//! | request with `Authorization` | each value has its own responses | bypasses the cache | is stored if the response says `public`, `must-revalidate` or `s-maxage` |
//! | response with `Set-Cookie` | is stored, and sets the cookie on each hit | is not stored ([`SetCookie`](crate::status::Refusal::SetCookie)) | is not stored |
//!
//! So no user ever receives another user's response by default. It also means that a cookie that
//! says nothing about the response, such as one for analytics, keeps users from sharing responses.
//!
//! # A server with an analytics cookie and logins
//!
//! Visitors send `_ga=...`, members send `session=...` as well. The pages are the same for all
//! visitors. The layer ignores `Cookie`, and a layer outside sends members past the cache:
//!
//! ```
//! use std::{convert::Infallible, error::Error, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Request, Response, header::{AUTHORIZATION, COOKIE}};
//! use http_body_util::{BodyExt, Empty, Full};
//! use larder::{CacheLayer, CacheOptions, CacheStatus, RequestBody, store::Memory};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! /// Whether the request is a member's.
//! fn is_member<B>(request: &Request<B>) -> bool {
//!     let cookies = request.headers().get_all(COOKIE);
//!     request.headers().contains_key(AUTHORIZATION)
//!         || cookies.iter().any(|line| {
//!             let mut cookies = line.as_bytes().split(|&byte| byte == b';');
//!             cookies.any(|cookie| cookie.trim_ascii_start().starts_with(b"session="))
//!         })
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
//!     let layer = CacheLayer::shared(Memory::default())
//!         .expire_after(Duration::from_secs(60))
//!         // Requests with a cookie use the cache,
//!         .store_credentialed(true)
//!         // and share responses whatever the cookie is.
//!         .add_ignored_headers(["cookie"])?;
//!     let pages = service_fn(|request: Request<RequestBody<Empty<Bytes>>>| async move {
//!         let page = if is_member(&request) { "your page" } else { "the page" };
//!         Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(page))))
//!     });
//!     let mut site = ServiceBuilder::new()
//!         .map_request(|mut request: Request<Empty<Bytes>>| {
//!             if is_member(&request) {
//!                 request.extensions_mut().insert(CacheOptions::new().bypass(true));
//!             }
//!             request
//!         })
//!         .layer(layer)
//!         .service(pages);
//!
//!     for (cookie, page, is_hit) in [
//!         ("_ga=1", "the page", false),
//!         ("_ga=2", "the page", true),
//!         ("_ga=3; session=alice", "your page", false),
//!         ("_ga=4", "the page", true),
//!     ] {
//!         let request = Request::get("http://example.com/").header(COOKIE, cookie);
//!         let response = site.ready().await?.call(request.body(Empty::new())?).await?;
//!         assert_eq!(response.extensions().get::<CacheStatus>().unwrap().is_hit(), is_hit);
//!         assert_eq!(response.into_body().collect().await?.to_bytes(), page);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The layer outside decides who is a member, so it must know every cookie and header that changes
//! a page. If it cannot, leave the defaults: then each request with a cookie bypasses the cache.
//!
//! - **An origin that sets the analytics cookie itself.** Responses with `Set-Cookie` are not
//!   stored. Set the cookie in a layer outside of the cache: each visitor gets one, and the
//!   response is stored without it. Do not set
//!   [`store_set_cookie`](crate::CacheLayer::store_set_cookie): it would give one visitor's cookie
//!   to all.
//! - **An origin that says `Vary: Cookie`.** The cache obeys it even if it ignores `Cookie`: each
//!   value has its own variant. Remove the cookies that do not matter in a layer outside.
//! - **Under the HTTP rules**, `Cookie` is not part of the key in a shared cache. The origin says
//!   `public, max-age=60` for what all share, and `private` or `no-store` for what is a member's.
//!   If it says nothing, the response to a request with a cookie is
//!   [not stored](crate::status::Refusal::Cookie).
//!
//! # A client with a cookie jar
//!
//! A private cache keeps the responses to different cookies apart. If a site changes a cookie with
//! each response, nothing is ever found again. Ignore `Cookie` if the responses do not depend on
//! it:
//!
//! ```
//! # use larder::{CacheLayer, store::Memory};
//! let layer = CacheLayer::private(Memory::default()).add_ignored_headers(["cookie"])?;
//! # Ok::<(), larder::ConfigError>(())
//! ```
//!
//! The cache sees only what the request carries when it arrives. A client that adds cookies or
//! tokens inside of the cache, such as `reqwest` with `cookie_store` or `default_headers`, hides
//! them: all its logins share responses. Put the jar in a layer outside, or name the user in the
//! key.
//!
//! # One user's responses
//!
//! [`CacheOptions`](crate::CacheOptions) in the request's extensions:
//!
//! | option | effect |
//! |---|---|
//! | [`bypass(true)`](crate::CacheOptions::bypass) | the request neither reads nor writes the store |
//! | [`no_store(true)`](crate::CacheOptions::no_store) | a stored response may answer, a new one is not stored |
//! | [`key(key)`](crate::CacheOptions::key) | the response is stored under a key of yours, such as one that contains the user |
//! | [`add_tag("user:42")`](crate::CacheOptions::add_tag) | [`remove_tag("user:42")`](crate::Entries::remove_tag) removes the response at logout |
//!
//! # What is stored of a secret
//!
//! - **Request headers and bodies are never stored.** `Authorization`, `Cookie`, user information
//!   in the URL and the body are part of the key, which is a SHA-256 digest. With
//!   [`key_secret`](crate::CacheLayer::key_secret), a reader of the store cannot test guesses. If a
//!   field of a body carries a token,
//!   [`add_ignored_request_body_fields`](crate::CacheLayer::add_ignored_request_body_fields) takes
//!   it out of the key.
//! - **The URL is stored**, with its query. If a parameter carries a token, name it in
//!   [`add_ignored_parameters`](crate::CacheLayer::add_ignored_parameters): it is then neither
//!   stored nor part of the key, so requests with different tokens share responses. A response that
//!   has such a parameter in `Location` or `Content-Location`, also in a URL within that URL, is
//!   not stored.
//! - **Response headers and bodies are stored as they are**, also if the origin repeats a secret of
//!   the request in them. In a private cache that includes
//!   `Set-Cookie`; [`store_set_cookie(false)`](crate::CacheLayer::store_set_cookie) leaves such
//!   responses out. Protect the file or the server as you protect a browser's profile.
//! - **`tracing` and `metrics`** receive no URL, header or body. One exception is a damaged entry
//!   of `Files`: the warning has the path of its file, which is made of the host and the path of
//!   the URL.
