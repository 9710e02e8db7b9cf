//! Troubleshooting: each reason and each error, and what to do about it.
//!
//! # Why was this no hit?
//!
//! Three lines say it, for one response:
//!
//! ```
//! # use std::convert::Infallible;
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Empty, Full};
//! # use larder::{CacheLayer, RequestBody, store::Memory};
//! # use tower::{Layer, service_fn};
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let origin = service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async {
//! #     let response = Response::builder().status(404).body(Full::new(Bytes::from("no")));
//! #     Ok::<_, Infallible>(response.unwrap())
//! # });
//! # let client = CacheLayer::private(Memory::default()).layer(origin);
//! # let request = Request::get("http://example.com/").body(Empty::new()).unwrap();
//! # let response = client.request(request).await.unwrap();
//! let (parts, body) = response.into_parts();
//! let body = body.collect().await?.to_bytes();
//! let status = parts.extensions.get::<larder::CacheStatus>().unwrap();
//! let line = format!("{}, stored: {:?}", status.outcome(), status.stored());
//! assert_eq!(line, "miss (absent), stored: No(Status)");
//! # let _ = body;
//! # Ok::<(), larder::BodyError>(())
//! # }).unwrap();
//! ```
//!
//! [`cache_status_header`](crate::CacheLayer::cache_status_header) writes the same into a
//! `Cache-Status` field, and [`add_event_hook`](crate::CacheLayer::add_event_hook) receives it for
//! all responses. The names in the tables below are those of logs and metrics.
//!
//! # Surprises
//!
//! - **A body that nobody reads is not stored.** The response is stored while its body is read to
//!   the end. A dropped body, or a program that ends first, leaves nothing.
//! - **A new `expire_after` does not touch what is stored.** Each entry keeps the expiry that it
//!   got. [`Entries::reset_expiration`](crate::Entries::reset_expiration) changes it.
//! - **Cache headers are ignored** until [`http_rules`](crate::CacheLayer::http_rules) is set.
//! - **A shared cache stores nothing** until an expiration or the HTTP rules are set.
//! - **A response with `Vary` has several entries**, one for each value of the headers that it
//!   names. `Entries::get` of a URL finds the variant of a request without headers. If only others
//!   are stored, its error names the headers. The variant that was stored first leads to the
//!   others: when it is removed or evicted, they are misses.
//! - **Two requests differ more than they seem**: a parameter in the query, `Cookie`,
//!   `Authorization`, the scheme or the port. Compare [`status.key()`](crate::CacheStatus::key),
//!   and see [`Entries::stream`](crate::Entries::stream) for the URLs that are stored.
//! - **A request body is part of the key** for each method that
//!   [`methods`](crate::CacheLayer::methods) names.
//! - **Nothing is refreshed in the background** outside of a tokio runtime, or in one without
//!   timers (`enable_time`).
//!
//! # The stack does not compile
//!
//! `oneshot`, `ready` and the other methods of tower's `ServiceExt` say only that their bounds are
//! not satisfied. Call [`Cache::request`](crate::Cache::request) instead: the compiler then names
//! the bound.
//!
//! ```text
//! error[E0277]: `HttpClientService<Client>` cannot be the inner service of this cache
//! ```
//!
//! | the error also says | what to do |
//! |---|---|
//! | `Service<http::Request<reqwest::Body>>` is implemented | The client takes one type of body. Put a `map_request` between the cache and the client: see the page of your stack in the [guide](super). |
//! | `Service<reqwest::Request>` is implemented | A `reqwest::Client` takes its own requests. Put `tower_reqwest::HttpClientLayer` and a `map_request` between. |
//! | `Service<Request<B>>` is implemented for `Client<C, B>` | Let the compiler infer the body of hyper's client, or write `Client<C, RequestBody<B>>`. |
//! | the trait `Clone` is not implemented | Put a `tower::buffer::BufferLayer` between, or use `BoxCloneSyncService` in place of `BoxService`. |
//! | `Result<Redb, Error>` is not a store | Opening a store returns a `Result`: write `?`. |
//! | `Store` is not dyn compatible | Use [`AnyStore`](crate::store::AnyStore) in place of `dyn Store`. |
//!
//! # Misses
//!
//! [`Miss`](crate::status::Miss): why no stored response could answer.
//!
//! | reason | what to do |
//! |---|---|
//! | `absent` | Nothing is stored under this key. The first request is always one. If it repeats, look why the response is not stored, or why the key changes: by a header, a parameter, or the [bytes of a body](crate::CacheLayer::normalize_request_body). |
//! | `expired` | Normal. Set a longer expiry, or [`stale_while_revalidate`](crate::CacheLayer::stale_while_revalidate) to answer at once. |
//! | `variant` | The URL is stored for other values of the headers in `Vary`. If the origin varies by a header that does not matter, [ignore](crate::CacheLayer::add_ignored_headers) it. |
//! | `refresh` | The request asked for a fresh response: `refresh`, `force_refresh`, or its `Cache-Control`. |
//! | `corrupt` | The entry was damaged and is removed. If it repeats, check the disk, or who else writes the store. |
//! | `not-allowed` | A layer with other settings stored the response. Give layers over one store the same scope and policy. |
//! | `store-failed` | Read the error in [`Event::StoreFailed`](crate::Event::StoreFailed), and see [errors of stores](#errors-of-stores). |
//!
//! # Stale responses
//!
//! [`Stale`](crate::status::Stale): why a response was served after its expiry.
//! [`is_stale`](crate::CacheStatus::is_stale) says whether it was.
//!
//! | reason | what to do |
//! |---|---|
//! | `while-revalidate` | Normal with [`stale_while_revalidate`](crate::CacheLayer::stale_while_revalidate). If the response never becomes fresh, read [`Event::RefreshFailed`](crate::Event::RefreshFailed). |
//! | `if-error` | The origin failed. [`error_statuses`](crate::CacheLayer::error_statuses) says which statuses count as failures. |
//! | `only-if-cached` | The request forbids a call, and a stale limit allows the response. |
//! | `max-stale` | The request's `Cache-Control` accepts it. |
//!
//! # Bypasses
//!
//! [`Bypass`](crate::status::Bypass): why the request went past the cache.
//!
//! | reason | what to do |
//! |---|---|
//! | `disabled` | Switch the cache on: [`set_enabled(true)`](crate::CacheLayer::set_enabled). |
//! | `requested` | The request has [`bypass(true)`](crate::CacheOptions::bypass). |
//! | `method` | Name the method in [`methods`](crate::CacheLayer::methods), if it only reads. |
//! | `range` | No stored response covers the range. Store the whole first, or set the [HTTP rules](crate::CacheLayer::http_rules), which store parts. |
//! | `upgrade` | Normal: a WebSocket or another protocol. |
//! | `precondition` | Normal: only the origin can judge `If-Match` and its kin. |
//! | `credentials` | See [cookies and logins](super::cookies). |
//! | `invalid-target` | Send one valid `Host`, or an absolute URL. |
//! | `request-body-too-large` | Raise [`max_request_body`](crate::CacheLayer::max_request_body). |
//! | `request-bodies-full` | Raise [`max_request_bodies`](crate::CacheLayer::max_request_bodies). |
//! | `request-body-failed` | The caller's body ended in an error. |
//! | `not-grpc` | The layer is for [gRPC](crate::CacheLayer::grpc) alone. Put other routes under another layer. |
//! | `grpc-method` | Name the method in [`grpc`](crate::CacheLayer::grpc). |
//! | `not-unary` | Normal for streams. Name unary methods only. |
//!
//! # Refusals
//!
//! [`Refusal`](crate::status::Refusal): why the response was not stored.
//!
//! | reason | what to do |
//! |---|---|
//! | `bypassed` | See the bypass. |
//! | `not-fetched` | The request was `only_if_cached`, and nothing was stored: it got a 504. |
//! | `no-store` | The request says so: [`no_store(true)`](crate::CacheOptions::no_store), or its `Cache-Control`. |
//! | `read-only` | Normal for a [`read_only`](crate::CacheLayer::read_only) layer. |
//! | `status` | Name the status in [`statuses`](crate::CacheLayer::statuses) or [`expire_statuses`](crate::CacheLayer::expire_statuses). |
//! | `predicate` | Your [`store_if`](crate::CacheLayer::store_if) returned `false`. |
//! | `expiration` | The [expiry](crate::CacheLayer#expiry) for this URL, status or request is `DoNotStore`. |
//! | `no-expiration` | Set [`expire_after`](crate::CacheLayer::expire_after) or the HTTP rules: a shared cache needs one. |
//! | `no-store-directive` | The origin forbids storing. Time alone ignores that: leave out `http_rules`. |
//! | `no-cache` | The origin wants each use revalidated. It must send an `ETag` or `Last-Modified` for that. |
//! | `private` | The response is for one user. A private cache stores it. |
//! | `must-understand` | Only a cache that knows the status may store it. |
//! | `authorization` | The origin must say `public`, `must-revalidate` or `s-maxage`. |
//! | `cookie` | The origin must say `max-age` or `public`. See [cookies and logins](super::cookies). |
//! | `no-freshness` | The origin says nothing of freshness: set `expire_after` as the fallback. |
//! | `set-cookie` | See [cookies and logins](super::cookies). |
//! | `vary` | The origin says `Vary: *` or a malformed `Vary`. Such a response answers no other request. |
//! | `ignored-parameter` | The origin repeats an [ignored parameter](crate::CacheLayer::add_ignored_parameters) in `Location` or `Content-Location`, also in a URL within the URL (`/login?next=…`). |
//! | `tags` | The response has too many or malformed [tags](crate::CacheLayer#tags). |
//! | `too-large` | Raise [`max_body`](crate::CacheLayer::max_body) or the store's limit. |
//! | `part-too-small` | Request larger ranges: a small part costs a copy of the stored one. |
//! | `length` | The origin's `Content-Length` is wrong. The response is passed on. |
//! | `body-failed` | The connection to the origin broke off. |
//! | `event-stream` | Normal: such a stream does not end. |
//! | `grpc-status` | The call failed, or ended without a status. |
//! | `not-unary` | Name unary methods only. |
//! | `dropped` | Read the body to its end. A body may be read by a task of its own. |
//! | `removed` | Normal: the entry was removed while its call was in flight. |
//! | `superseded` | Normal: a later response is stored. |
//! | `ended` | Normal: a later answer of the origin ended this one. |
//! | `conflict` | Normal under load: another request or process changed the entry. The next request stores it. |
//! | `store-failed` | Read [`Event::StoreFailed`](crate::Event::StoreFailed), and see [errors of stores](#errors-of-stores). |
//!
//! # Refreshes that failed
//!
//! [`RefreshFailure`](crate::status::RefreshFailure) in `Event::RefreshFailed`. The stored response
//! stays. The next refresh begins after a pause, from 1 second up to a minute.
//!
//! | text | what to do |
//! |---|---|
//! | `the inner service failed` | The origin cannot be reached. |
//! | `the response has status 503` | See [`error_statuses`](crate::CacheLayer::error_statuses). |
//! | `the response has grpc-status 14` | The server failed. |
//! | `the body of the response failed` | The connection broke off. |
//! | `the refresh took too long` | Raise [`refresh_timeout`](crate::CacheLayer::refresh_timeout). |
//! | `the inner service panicked` | Look for the panic in the origin, a layer inside, or a closure of yours. |
//! | `the response was not stored (...)` | See [refusals](#refusals). |
//!
//! # Errors of settings
//!
//! [`ConfigError`](crate::ConfigError) names the setting, and says what is wrong and what to write.
//!
//! | text | settings | what to do |
//! |---|---|---|
//! | `has a scheme` | `expire_urls`, `add_expire_url`, `Filter::url` | Write host and path only. |
//! | `has a query` | `expire_urls`, `add_expire_url`, `Filter::url` | Leave the query out, or use `expire_with`. |
//! | `has "**" beside other characters` | `expire_urls`, `add_expire_url`, `Filter::url` | Write `*` within a segment, and `/**` for what is below. See [patterns](crate::CacheLayer#url-patterns). |
//! | `is not a URL` | `Filter::exact_url` | Write a URL with its scheme and its query. |
//! | `is empty` | patterns, lists, names | Write at least one; `**` is every URL. |
//! | `ends with a backslash` | patterns | Leave it out, or write what it escapes. |
//! | `has "**" as an alternative` | patterns | Set a pattern for each alternative. |
//! | `is not a valid glob` | patterns | Escape `[`, `{`, `*` and `?` that stand for themselves. |
//! | `is not a header name` | `add_key_headers`, `add_ignored_headers`, `add_tag_headers`, `targeted_by` | Write the name alone, without a colon. |
//! | `does not begin with "/"` | `add_ignored_request_body_fields` | Write a JSON pointer such as `/auth/token`, or a name without a slash. |
//! | `is not a JSON pointer` | `add_ignored_request_body_fields` | In a name, write `~0` for `~` and `~1` for `/`. |
//! | `CONNECT opens a tunnel` | `methods` | Leave it out. |
//! | `is not a whole response` | `statuses`, `expire_statuses` | Leave 206 and 304 out. |
//! | `is not a final status` | `statuses`, `expire_statuses` | Leave 1xx out. |
//! | `a status is a number from 100 to 999` | `statuses`, `expire_statuses`, `error_statuses` | Write a status such as 404. |
//! | `is not a failure` | `error_statuses` | Leave 1xx, 2xx and 304 out. |
//! | `must not be zero` | `coalesce_wait`, `refresh_timeout`, `Timeout::new` | Write a longer time. |
//! | `must be greater than 0 and less than 1` | `refresh_ahead` | Write a fraction such as 0.2. |
//! | `is not a cache name` | `cache_status_header` | Write printable ASCII. |
//! | `no method would be cached` | `grpc` | Name a method. |
//! | `is not the path of a method` | `grpc` | Begin with `/`. |
//! | `names no method` | `grpc` | Add the method, or `/*`. |
//! | `the interval is zero` | `sweep_every` | Write a longer time. |
//! | `there is no tokio runtime` | `sweep_every` | Call it within a runtime that has timers. |
//! | `is out of range` | `Compressed::level` | Choose a level of zstd. |
//!
//! # Errors of stores
//!
//! [`store::Error`](crate::store::Error) has a [`kind`](crate::store::Error::kind). `{error:#}`
//! prints the driver's error too. Opening a store returns it. Later it appears in
//! [`Event::StoreFailed`](crate::Event::StoreFailed), and the request goes on without the store.
//!
//! | kind | what to do |
//! |---|---|
//! | `Unavailable` | The server or disk does not answer, the file is locked by another process, or the store is closed. It may work again later. For one file and several processes, use `Redb` with `multi_process`, or `Sqlite`. A process that is stopped in the middle of a write holds up the others that use its `Files` folder: each waits for ten seconds. |
//! | `Corrupt` | One damaged entry is removed by itself. If the whole file is damaged, remove it: the cache starts empty. The files of a damaged entry of `Files` stay; if you edited one, remove the line `checksum` from its head. |
//! | `Incompatible` | Another version of larder, or another program, wrote it. Choose another path or namespace. `start_anew` empties a file of an older version. A single entry of `Files` that a newer version has written is a miss, and its files stay. |
//! | `TooLarge` | The entry does not fit. Raise the store's limit, or lower [`max_body`](crate::CacheLayer::max_body). |
//! | `Full` | Make room on the disk, raise `maxmemory`, or allow the server to evict. What is stored stays readable. |
//! | `Denied` | Check the permissions of the file or folder, whether the store is opened with `read_only(true)`, or the login and its rights. |
//! | `Invalid` | A URL, path, number or target makes no sense. The message says which. |
//! | `Unsupported` | The store does not implement the method: a store of your own lacks `scan`, `len`, `size_bytes` or `clear`. |
//! | `Other` | Read the message and its sources. |
//!
//! # Errors of bodies
//!
//! [`BodyError`](crate::BodyError) ends a body that breaks off. It is never cut short silently.
//!
//! | kind | what to do |
//! |---|---|
//! | `Inner` | The origin's body failed. Send the request again. If it fails before the first bytes of the body, [`stale_if_error`](crate::CacheLayer::stale_if_error) serves the stored response. |
//! | `Store` | The stored body could not be read to its end. A [corrupt](crate::store::ErrorKind::Corrupt) entry is removed, so the next request is a miss. Errors of other kinds last as long as the store fails. |
//! | `Coalesced` | The body of a shared response failed. Send the request again. |
//! | `Lagged` | The reader was too slow for a response that is not stored. Read faster, raise [`max_slow_reader_memory`](crate::CacheLayer::max_slow_reader_memory), or use [`coalesce(false)`](crate::CacheOptions::coalesce). |
//!
//! # Errors of cassettes
//!
//! A `testing::Cassette` (feature `testing`) and its service return these.
//!
//! | text | what to do |
//! |---|---|
//! | `has no response to this request` | The text shows the nearest recorded request and how they differ. Ignore what differs in each run (`add_ignored_parameters` and so on), or record the request: run with `LARDER_CASSETTE=record`, or unset the variable. Use the same settings as in the recording. |
//! | `it is recorded` | With `in_order`, the request was sent more often than it was recorded, or it failed when it was recorded. Each test needs a cassette of its own. |
//! | `recorded twice with different responses` | Call `in_order(true)` on the cassette, to record and to replay. The first response is recorded. If the requests do differ, name the header that tells them apart with `add_key_headers`. |
//! | `there is no folder` | Record first, or correct the path. It is relative to the package in `cargo test`. |
//! | `has a recording that cannot be read` | A head in the folder has the marks of a merge conflict, was cut short, or was edited beside its checksum. The text has its path. Restore it from version control, or remove it and its body and record the exchange again. |
//! | `LARDER_CASSETTE is` | Set it to `record`, `replay` or `off`, or unset it. |
//! | `cannot be recorded` | The request has no valid URL, or its body failed: `{error:#}` prints the cause. Nothing was sent. |
//! | `an earlier response could not be recorded` | The text says why: the disk is full, or a file or a permission is in the way. |
