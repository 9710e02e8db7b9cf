//! Tests with recorded exchanges: [`Cassette`] is a layer around any client. It records what the
//! client sends and receives into a folder of readable files, and replays it in later runs, without
//! a network.
//!
//! # A test to copy
//!
//! It calls a server of its own in place of yours. The first run records, and so does the first run
//! after the folder was removed. In your test, the folder is one of your repository, such as
//! `tests/cassettes/shop`.
//!
//! ```
//! # use std::{convert::Infallible, error::Error};
//! #
//! # use bytes::Bytes;
//! # use http::{Request, Response, header::AUTHORIZATION};
//! # use http_body_util::{BodyExt, Full};
//! # use hyper::{body::Incoming, server::conn::http1, service::service_fn};
//! # use hyper_util::rt::TokioIo;
//! # use tokio::{net::TcpListener, task::JoinHandle};
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use larder::testing::{Cassette, Unrecorded};
//! use tower::Layer;
//!
//! # async fn serve() -> Result<(String, JoinHandle<()>), std::io::Error> {
//! #     let listener = TcpListener::bind("127.0.0.1:0").await?;
//! #     let url = format!("http://{}/orders", listener.local_addr()?);
//! #     let server = tokio::spawn(async move {
//! #         while let Ok((stream, _)) = listener.accept().await {
//! #             let service = service_fn(|_: Request<Incoming>| async {
//! #                 Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("tea"))))
//! #             });
//! #             let stream = TokioIo::new(stream);
//! #             tokio::spawn(http1::Builder::new().serve_connection(stream, service));
//! #         }
//! #     });
//! #     Ok((url, server))
//! # }
//! #
//! # #[cfg(any())]
//! #[tokio::test]
//! # fn unused() {}
//! # #[tokio::main(flavor = "current_thread")]
//! async fn orders_are_listed() -> Result<(), Box<dyn Error + Send + Sync>> {
//! #   let directory = tempfile::tempdir()?;
//! #   let folder = directory.path().join("shop");
//! #   let folder = &folder;
//!     let (url, server) = serve().await?;
//!     let orders = async |token: &str| {
//!         let cassette = Cassette::record_or_replay(folder)?
//!             .add_ignored_parameters(["signature"])?
//!             .add_ignored_headers(["date"])?;
//!         let client = cassette.layer(Client::builder(TokioExecutor::new()).build_http());
//!         let request = Request::get(&url)
//!             .header(AUTHORIZATION, format!("Bearer {token}"))
//!             .body(Full::<Bytes>::default())?;
//!         let response = client.request(request).await?;
//!         Ok::<_, Box<dyn Error + Send + Sync>>(response.into_body().collect().await?.to_bytes())
//!     };
//!     assert_eq!(orders("secret").await?, "tea");
//!
//!     // The server is gone, and the token is another one.
//!     server.abort();
//!     assert_eq!(orders("other").await?, "tea");
//!
//!     // A request that is not recorded fails, and says how it differs from those that are.
//!     let client = Client::builder(TokioExecutor::new()).build_http();
//!     let client = Cassette::replay(folder)?.layer(client);
//!     let request = Request::get(format!("{url}?page=2")).body(Full::<Bytes>::default())?;
//!     let error = client.request(request).await.unwrap_err();
//!     assert!(error.is::<Unrecorded>());
//!     assert!(error.to_string().contains("parameter `page`: sent \"2\", not recorded"));
//!     Ok(())
//! }
//! # fn main() { orders_are_listed().unwrap() }
//! ```
//!
//! Then keep the folder in version control. A run with `LARDER_CASSETTE=replay`, such as that of a
//! continuous integration, needs no network and fails if a request is not recorded. A run with
//! `LARDER_CASSETTE=record` records everything anew, and a diff of the folder shows what has
//! changed. `LARDER_CASSETTE=off` tests against the real server.
//!
//! The example `cassette` is a small package with a client, its tests, and the folder that they
//! replay.
//!
//! # Equal requests
//!
//! Two requests are the same if these are: the method, the URL, the body, the headers that choose a
//! response (`Accept`, `Accept-Encoding`, `Accept-Language`, `Range`, `If-Match`, `If-None-Match`
//! and the other conditions), and those that [name an operation](Cassette::add_key_headers), such
//! as `X-Amz-Target` and `SOAPAction`. The order of query parameters of different names does not
//! matter. JSON, forms and multipart forms are compared by what they say
//! ([`normalize_request_body`](crate::CacheLayer::normalize_request_body)); their `Content-Type`
//! counts too. Other headers do not matter, unless
//! [`add_key_headers`](Cassette::add_key_headers) names them.
//! [`add_ignored_headers`](Cassette::add_ignored_headers),
//! [`add_ignored_parameters`](Cassette::add_ignored_parameters) and
//! [`add_ignored_request_body_fields`](Cassette::add_ignored_request_body_fields) leave out what
//! differs in each run, such as a timestamp or a random number.
//!
//! The host and the port are part of the URL. A test server at a random port is another host in
//! each run.
//!
//! # Secrets
//!
//! What is ignored is in no key and in no file: a replay with another token finds the same
//! response. `Authorization`, `Proxy-Authorization`, `Cookie`, user information in URLs, and the
//! usual names of API keys are ignored from the start.
//!
//! No header field or trailer is recorded whose name has one of these in it: `cookie`, `token`,
//! `secret`, `password`, `passwd`, `credential`, `session`, `authorization`, `authentication-info`,
//! `api-key`, `apikey`, `auth-key`, `access-key`, `jwt`, `csrf`, `xsrf` or `signature`. CORS fields
//! and rate limits (`Access-Control-Allow-Credentials`, `X-RateLimit-Remaining-Tokens`) are
//! recorded. The caller of a recording still receives everything that the server sends. Ignored
//! parameters and user information are also removed from URLs in the headers that are recorded,
//! such as `Location`, `Link` and `Destination`: between `&` or `;`, in fragments, and in URLs that
//! are the value of a parameter (`/login?next=%2F%3Fapi_key%3D`), which then goes too.
//!
//! A client that keeps cookies receives none in a replay, and needs none. So record a login and the
//! requests that need it in one run.
//!
//! A cassette cannot know what else is secret. Look at the diff before you commit a new recording:
//!
//! - The path of a URL is recorded as it is, also if it has a token in it, unless it is a
//!   parameter (`/orders;api_key=`).
//! - In the URL of a request, only the parameters between `&` are ignored. One behind a `;`, or in
//!   a URL within the URL, is not recorded, but its value is part of the key: a replay with another
//!   one does not find the response. Anyone with the folder can test guesses of it.
//! - Name passwords, client secrets and refresh tokens in requests with
//!   `add_ignored_request_body_fields`.
//! - A request body that does not parse as its media type says is recorded as its length and its
//!   digest. Bodies of the type `text/*`, XML and GraphQL are recorded as they are.
//! - Bodies of responses are recorded as the server sent them. Edit a secret out [by
//!   hand](crate::store::files#editing-by-hand): remove the line `checksum` from the head, and
//!   change the body as you like. `record_or_replay` keeps the edited file, `record` replaces it.
//! - A request body that does not parse counts by its bytes, with all its fields. Then its key and
//!   its digest depend on them. Anyone with the folder can test guesses of such a body. The same
//!   goes for a query with more than 32 ignored parameters.
//!
//! # The files
//!
//! Each exchange is two files of a [`Files`](crate::store::Files) folder, whose names are the same
//! in each recording: `shop.test/orders.POST~77b1c02e.json` is the head, and
//! `orders.POST~77b1c02e.body.json` the body of the response. The head has the request as it counts
//! for the cassette, without what is ignored:
//!
//! ```json
//!   "request": {
//!     "method": "POST",
//!     "url": "http://shop.test/orders?page=1",
//!     "recorded": {
//!       "headers": [
//!         "content-type: application/json"
//!       ],
//!       "body": [
//!         "{",
//!         "  \"item\": \"tea\",",
//!         "  \"quantity\": 1",
//!         "}"
//!       ]
//!     }
//!   },
//! ```
//!
//! A JSON body has its members sorted, a form has one field a line, and each part of a multipart
//! form is its name, length and digest. Other bodies, those of more than 64 KiB, and JSON whose
//! lines have more than 256 KiB, are a length and a digest. The times in a head change with each
//! recording, unless the [`clock`](Cassette::clock) is fixed, and so does a `Date` from the server,
//! unless it is ignored.
//!
//! A cassette does not open a folder with a head that it cannot read, such as one with the marks of
//! a merge conflict: the recording would count as missing, and the real server would be called. The
//! error has the path. Files without an ending like `~77b1c02e.json` are left alone.
//!
//! # What is recorded
//!
//! A cassette is no cache: no rule, age or header decides. It records each response of every status
//! (also 206, 304 and 5xx) to every method, and keeps it until you remove it. A replay never
//! combines, revalidates or shortens a response: a `HEAD`, a request for a part and a conditional
//! request each have a recording of their own. A `POST` removes no recording.
//!
//! It records what the client returns. A client that follows redirects or decompresses bodies by
//! itself, as reqwest does, returns the last response, or the decompressed body.
//!
//! The body of a response is written while the caller reads it. Nothing is recorded, and a replay
//! fails with [`Unrecorded`], of:
//!
//! - a response whose body breaks off, or is dropped before its end;
//! - a request that failed, such as one whose connection was refused;
//! - a tunnel: status 101, and a `CONNECT` that succeeds;
//! - informational responses (1xx), which clients do not hand on.
//!
//! The body of a request is read to its end before the client is called, and held in memory. So a
//! request that is still streaming while its response arrives does not work.
//!
//! # Several tests at once
//!
//! Each test opens a cassette of its own. Any number of tests, in one process or several (cargo
//! nextest), may replay one folder, and may record different requests into it. If two record the
//! same request, one of the two responses stays, whole. With [`in_order`](Cassette::in_order), only
//! one test at a time may record the same requests: each begins to count at the first one. A
//! cassette that [`replay`](Cassette::replay) has opened does not see what others add later.
//!
//! Requests of one cassette at the same time are not combined: each is sent, or replayed.

// From the bottom up: `mode` is the mode, `urls` removes secrets from URLs, `redact` from fields,
// `exchange` is a request and its key, and `tape` is the folder. `cassette` has the settings.
// `nearest` compares requests for `unrecorded`, the error. `player` is the service.
mod cassette;
mod exchange;
mod mode;
mod nearest;
mod player;
mod redact;
mod secret;
mod tape;
mod unrecorded;
mod urls;

pub use self::{
    cassette::Cassette,
    player::{Player, PlayerFuture},
    unrecorded::Unrecorded,
};

/// The name of a cassette in errors, logs and metrics.
const NAME: &str = "cassette";
