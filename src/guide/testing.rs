//! Testing your code: time that stands still, origins and stores that fail, recorded exchanges, and
//! no network.
//!
//! | to test | use |
//! |---|---|
//! | expiry | [`ManualClock`](crate::time::ManualClock), which moves only when a test moves it |
//! | hits and misses | [`CacheStatus`](crate::CacheStatus) of each response, [`Stats`](crate::Stats) of the layer |
//! | an origin | any `service_fn`, which answers, fails or panics |
//! | a store | [`Memory`](crate::store::Memory): a new one for each test shares nothing with the others |
//! | a store that fails or hangs | [`Faulty`](crate::store::conformance::Faulty) (feature `conformance`) |
//! | a client without a network | [`Cassette`](crate::testing::Cassette) (feature `testing`), which records and replays real exchanges |
//! | a cache without a network | [`only_if_cached`](crate::CacheOptions::only_if_cached), [`read_only`](crate::CacheLayer::read_only) |
//!
//! # A test to copy
//!
//! It needs `larder`, `bytes`, `http`, `http-body-util`, `tokio` (with `macros` and `rt`) and
//! `tower` (with `util`). The programs below also need `http-body`.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Empty, Full};
//! use larder::{
//!     CacheLayer, CacheStatus, Outcome, RequestBody,
//!     status::Miss,
//!     store::Memory,
//!     time::{ManualClock, Timestamp},
//! };
//! use tower::{Layer, service_fn};
//!
//! # #[cfg(any())]
//! #[tokio::test]
//! # fn unused() {}
//! # #[tokio::main(flavor = "current_thread")]
//! async fn prices_are_fetched_again_after_a_minute() {
//!     let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
//!     let layer = CacheLayer::private(Memory::default())
//!         .expire_after(Duration::from_secs(60))
//!         .clock(clock.clone());
//!     let origin = service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async {
//!         Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("12.50"))))
//!     });
//!     let client = layer.layer(origin);
//!
//!     let expected = [
//!         (0, Outcome::Miss(Miss::Absent)),
//!         (59, Outcome::Hit),
//!         (1, Outcome::Miss(Miss::Expired)),
//!     ];
//!     for (seconds, outcome) in expected {
//!         clock.advance(Duration::from_secs(seconds));
//!         let request = Request::get("http://shop.test/price").body(Empty::new()).unwrap();
//!         let response = client.request(request).await.unwrap();
//!         let status = response.extensions().get::<CacheStatus>().unwrap();
//!         assert_eq!(status.outcome(), outcome);
//!         // A body that nobody reads is not stored.
//!         let body = response.into_body().collect().await.unwrap().to_bytes();
//!         assert_eq!(body, "12.50");
//!     }
//!     assert_eq!(layer.stats().calls, 2);
//! }
//! # fn main() { prices_are_fetched_again_after_a_minute() }
//! ```
//!
//! The clock of the layer decides about ages and expiry. Time limits are tokio timers, and
//! `tokio::time::pause` controls them: [`refresh_timeout`](crate::CacheLayer::refresh_timeout),
//! [`coalesce_wait`](crate::CacheLayer::coalesce_wait) and [`Timeout`](crate::store::Timeout).
//!
//! # What to assert
//!
//! | the test says | assert |
//! |---|---|
//! | the origin was not asked | `status.is_hit()` |
//! | the origin was asked so often | `layer.stats().calls`, which leaves out requests that bypass the cache (`layer.stats().bypasses`) |
//! | the response came from the store, perhaps after a 304 | `status.is_from_store()` |
//! | the response was served although it is stale | `status.is_stale()` |
//! | the response is stored | `status.stored() == Stored::Yes`, once the body has been read |
//! | the response is not stored, and why | `status.stored() == Stored::No(Refusal::SetCookie)` |
//! | the request bypassed the cache | `status.outcome() == Outcome::Bypass(Bypass::Credentials)` |
//! | something is stored for the URL | `layer.entries().contains(url).await?` |
//! | no background refresh is running | `layer.idle().await`, then look at `layer.stats().refreshes` |
//!
//! # An origin or a store that fails
//!
//! The cache adds no error to a call. A store that fails makes a miss, and a request fails only if
//! the origin fails too. With [`stale_if_error`](crate::CacheLayer::stale_if_error), a stored
//! response replaces that failure. A stored body that fails while it is read ends in an error
//! ([`BodyErrorKind::Store`](crate::BodyErrorKind::Store)): its head is sent already.
//!
//! ```sh
//! cargo add --dev larder --features conformance --path ../larder
//! ```
//!
//! ```
//! # #[cfg(feature = "conformance")] mod program {
//! use std::{io, sync::{Arc, atomic::{AtomicBool, Ordering}}, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Empty, Full};
//! use larder::{
//!     CacheLayer, CacheStatus, Outcome, RequestBody,
//!     status::{Miss, Stale},
//!     store::{ErrorKind, Memory, conformance::{Faulty, Operation}},
//!     time::ManualClock,
//! };
//! use tower::{Layer, service_fn};
//!
//! #[tokio::main(flavor = "current_thread")]
//! # pub
//! async fn main() -> io::Result<()> {
//!     let is_down = Arc::new(AtomicBool::new(false));
//!     let switch = is_down.clone();
//!     let origin = service_fn(move |_: Request<RequestBody<Empty<Bytes>>>| {
//!         let answer = match switch.load(Ordering::SeqCst) {
//!             false => Ok(Response::new(Full::new(Bytes::from("fine")))),
//!             true => Err(io::Error::other("the origin is down")),
//!         };
//!         async { answer }
//!     });
//!     let (store, clock) = (Faulty::new(Memory::default()), ManualClock::default());
//!     let layer = CacheLayer::private(store.clone())
//!         .clock(clock.clone())
//!         .expire_after(Duration::from_secs(60))
//!         .stale_if_error(Duration::from_secs(3600));
//!     let client = layer.layer(origin);
//!     let outcome = async || {
//!         let request = Request::get("http://shop.test/").body(Empty::new()).unwrap();
//!         let response = client.request(request).await?;
//!         let outcome = response.extensions().get::<CacheStatus>().unwrap().outcome();
//!         assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
//!         io::Result::Ok(outcome)
//!     };
//!     assert_eq!(outcome().await?, Outcome::Miss(Miss::Absent));
//!
//!     // The store fails: each request is a miss.
//!     store.fail(Operation::Get, ErrorKind::Unavailable);
//!     assert_eq!(outcome().await?, Outcome::Miss(Miss::StoreFailed(ErrorKind::Unavailable)));
//!     store.heal();
//!
//!     // The origin fails: the stale response replaces the failure.
//!     clock.advance(Duration::from_secs(61));
//!     is_down.store(true, Ordering::SeqCst);
//!     assert_eq!(outcome().await?, Outcome::Stale(Stale::IfError));
//!
//!     // Both fail: the caller gets the origin's error.
//!     store.fail(Operation::Get, ErrorKind::Unavailable);
//!     assert_eq!(outcome().await.unwrap_err().to_string(), "the origin is down");
//!     Ok(())
//! }
//! # }
//! # #[cfg(feature = "conformance")] fn main() { program::main().unwrap() }
//! # #[cfg(not(feature = "conformance"))] fn main() {}
//! ```
//!
//! `Faulty` can also hang ([`hang`](crate::store::conformance::Faulty::hang)), fail at its n-th
//! operation, or lose an answer. For a store of your own, `store::conformance::all` tests every
//! promise of the contract.
//!
//! # One function for the program and its tests
//!
//! A function that takes the real client in the program, and a `service_fn` in a test, is generic
//! over the service inside of the cache. [`InnerService`](crate::InnerService) says its bounds in
//! one line; that the body has bytes must be said again.
//!
//! ```
//! use std::io;
//!
//! use bytes::Bytes;
//! use http::{Request, Response, header::AUTHORIZATION};
//! use http_body::Body;
//! use http_body_util::{BodyExt, Empty, Full};
//! use larder::{BoxError, Cache, CacheLayer, InnerService, RequestBody, store::Memory};
//! use tower::{Layer, service_fn};
//!
//! struct Shop<S> {
//!     http: Cache<S, Memory>,
//!     token: String,
//! }
//!
//! impl<S> Shop<S> {
//!     async fn orders<R, E>(&self) -> Result<Bytes, BoxError>
//!     where
//!         S: InnerService<Empty<Bytes>, R, E>,
//!         R: Body<Data = Bytes>,
//!         R::Error: Into<BoxError>,
//!         E: Into<BoxError>,
//!     {
//!         let request = Request::get("http://shop.test/orders")
//!             .header(AUTHORIZATION, format!("Bearer {}", self.token))
//!             .body(Empty::new())?;
//!         let response = self.http.request(request).await.map_err(Into::into)?;
//!         Ok(response.into_body().collect().await?.to_bytes())
//!     }
//! }
//!
//! # #[cfg(any())]
//! #[tokio::test]
//! # fn unused() {}
//! # #[tokio::main(flavor = "current_thread")]
//! async fn stored_orders_need_no_network() -> Result<(), BoxError> {
//!     let layer = CacheLayer::private(Memory::default());
//!     // Credentials are part of the key: the request has the headers that the program sends.
//!     let request = Request::get("http://shop.test/orders")
//!         .header(AUTHORIZATION, "Bearer test")
//!         .body(())?;
//!     let stored = Response::new(Full::new(Bytes::from("tea")));
//!     layer.entries().insert(&request, stored).await?;
//!
//!     let origin = service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async {
//!         Err::<Response<Full<Bytes>>, _>(io::Error::other("no network in tests"))
//!     });
//!     let shop = Shop { http: layer.layer(origin), token: "test".to_owned() };
//!     assert_eq!(shop.orders().await?, "tea");
//!     Ok(())
//! }
//! # fn main() { stored_orders_need_no_network().unwrap() }
//! ```
//!
//! # Recorded exchanges
//!
//! A test of code that calls a server need not make up that server's answers. A
//! [`Cassette`](crate::testing::Cassette) is a layer around the client, without a cache. It records
//! what the server answers into a folder, which belongs into version control, and replays it in
//! later runs. It removes credentials from what it records.
//!
//! ```sh
//! cargo add --dev larder --features testing --path ../larder
//! cargo test                            # records what is missing, and replays the rest
//! LARDER_CASSETTE=replay cargo test     # no network: fails if a request is not recorded
//! LARDER_CASSETTE=record cargo test     # records everything anew; then read the diff
//! LARDER_CASSETTE=off cargo test        # against the server
//! ```
//!
//! This test needs the crates of the first one, and `hyper-util` (with `client-legacy`, `http1` and
//! `tokio`).
//!
//! ```no_run
//! # #[cfg(feature = "testing")] mod program {
//! use bytes::Bytes;
//! use http::{Request, header::AUTHORIZATION};
//! use http_body_util::{BodyExt, Empty};
//! use hyper_util::{
//!     client::legacy::{Client, connect::HttpConnector},
//!     rt::TokioExecutor,
//! };
//! use larder::{
//!     BoxError, RequestBody,
//!     testing::{Cassette, Player},
//! };
//! use tower::Layer;
//!
//! type HttpClient = Player<Client<HttpConnector, RequestBody<Empty<Bytes>>>>;
//!
//! /// A client for one test. Each test has a folder of its own.
//! fn client(test: &str) -> Result<HttpClient, BoxError> {
//!     let cassette = Cassette::record_or_replay(format!("tests/cassettes/{test}"))?
//!         // In no file, and not compared: what is secret, and what differs in each run.
//!         .add_ignored_parameters(["signature"])?
//!         .add_ignored_request_body_fields(["password", "/auth/token"])?
//!         .add_ignored_headers(["date"])?;
//!     Ok(cassette.layer(Client::builder(TokioExecutor::new()).build_http()))
//! }
//!
//! # #[cfg(any())]
//! #[tokio::test]
//! # fn unused() {}
//! # #[tokio::main(flavor = "current_thread")]
//! # pub
//! async fn orders_are_listed() -> Result<(), BoxError> {
//!     let client = client("orders_are_listed")?;
//!     let token = std::env::var("SHOP_TOKEN").unwrap_or_default();
//!     let request = Request::get("http://shop.test/orders")
//!         .header(AUTHORIZATION, format!("Bearer {token}"))
//!         .body(Empty::new())?;
//!     let response = client.request(request).await?;
//!     assert_eq!(response.status(), 200);
//!     assert_eq!(response.into_body().collect().await?.to_bytes(), "tea");
//!     Ok(())
//! }
//! # }
//! # #[cfg(feature = "testing")] fn main() { program::orders_are_listed().unwrap() }
//! # #[cfg(not(feature = "testing"))] fn main() {}
//! ```
//!
//! The token is needed to record, and not to replay. If the code sends something else than what is
//! recorded, the test fails with [`Unrecorded`](crate::testing::Unrecorded):
//!
//! ```text
//! the cassette tests/cassettes/orders_are_listed has no response to this request:
//!   GET http://shop.test/orders?page=2
//! the nearest recorded one is shop.test/orders~3fa94c1d.json:
//!   GET http://shop.test/orders
//! they differ:
//!   parameter `page`: sent "2", not recorded
//! to record the request, use Cassette::record, or set LARDER_CASSETTE=record if the test uses Cassette::record_or_replay
//! ```
//!
//! A client of reqwest needs the adapter that it needs [under a cache](super::reqwest), with the
//! cassette in place of the cache.
//!
//! [`larder::testing`](crate::testing) says which requests are the same, what is removed, what the
//! files contain, and what cannot be recorded. To test a cache against recorded exchanges, put the
//! cache outside of the cassette: `CacheLayer::private(store).layer(cassette.layer(client))`. The
//! error of its calls is then a [`BoxError`](crate::BoxError).
//!
//! # Offline
//!
//! A test of a cache that must not reach the network uses a store that holds every response that
//! the test needs: a file that an earlier run has filled, or entries that the test
//! [inserts](crate::Entries::insert). With
//! [`only_if_cached`](crate::CacheOptions::only_if_cached), a request that finds nothing gets a
//! `504` instead of a call. With [`read_only`](crate::CacheLayer::read_only), the test changes
//! nothing in the store.
//!
//! ```
//! use std::{error::Error, io};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{Empty, Full};
//! use larder::{CacheLayer, CacheOptions, RequestBody, store::Memory};
//! use tower::{Layer, service_fn};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn Error>> {
//!     let layer = CacheLayer::private(Memory::default());
//!     let stored = Response::new(Full::new(Bytes::from("12.50")));
//!     layer.entries().insert("http://shop.test/price", stored).await?;
//!
//!     // In a program, this is the real client.
//!     let origin = service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async {
//!         Err::<Response<Full<Bytes>>, _>(io::Error::other("no network in tests"))
//!     });
//!     let client = layer.read_only(true).layer(origin);
//!     for (path, status) in [("price", 200), ("stock", 504)] {
//!         let request = Request::get(format!("http://shop.test/{path}"))
//!             .extension(CacheOptions::new().only_if_cached(true))
//!             .body(Empty::new())?;
//!         assert_eq!(client.request(request).await?.status(), status);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A stored response answers only while a setting allows it. If a recorded file is older than its
//! expiry, set [`stale_if_error(StaleLimit::Unlimited)`](crate::CacheLayer::stale_if_error) when
//! you record and when you test, or record with [`Expiration::Never`](crate::Expiration::Never).

#![cfg_attr(
    not(all(feature = "memory", feature = "conformance", feature = "testing")),
    allow(rustdoc::broken_intra_doc_links, reason = "it speaks of what is not built in")
)]
