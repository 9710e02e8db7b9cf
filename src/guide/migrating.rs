//! Migrating from requests-cache, aiohttp-client-cache and http-cache: each option, and its form
//! here.
//!
//! *Absent* means that larder has no such option, and says why. The names are those of
//! requests-cache 1.3, aiohttp-client-cache 0.14 and http-cache 1.0.
//!
//! # A session
//!
//! ```python
//! session = requests_cache.CachedSession(
//!     "http_cache", backend="sqlite", expire_after=3600, stale_if_error=True,
//!     urls_expire_after={"*.example.com/live/*": 30, "*/static/*": -1},
//!     allowable_codes=(200, 404), ignored_parameters=["utm_source"], match_headers=["Accept"],
//! )
//! ```
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")] {
//! use std::time::Duration;
//!
//! use larder::{CacheLayer, Expiration, StaleLimit, store::Sqlite};
//!
//! let layer = CacheLayer::private(Sqlite::open("http_cache.sqlite")?)
//!     .expire_after(Duration::from_secs(3600))
//!     .stale_if_error(StaleLimit::Unlimited)
//!     .add_expire_url("*.example.com/live/**", Duration::from_secs(30))?
//!     .add_expire_url("**/static/**", Expiration::Never)?
//!     .statuses([200, 404])?
//!     .add_ignored_parameters(["utm_source"])?
//!     .add_key_headers(["accept"])?
//!     .sort_query(true);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What differs, although the code looks the same:
//!
//! - **A body is stored while it is read**, and not before the call returns. An unread body is not
//!   stored.
//! - **The order of the query counts**, unless [`sort_query(true)`](crate::CacheLayer::sort_query)
//!   is set. Some differences always count, which requests-cache ignores: a `&` at the end, and a
//!   `?` without a query. A layer outside can write such requests in one way.
//! - **The bytes of a body count**, unless
//!   [`normalize_request_body(true)`](crate::CacheLayer::normalize_request_body) is set. Then JSON
//!   objects are compared at every depth, and not at the top alone. JSON arrays keep their order,
//!   which requests-cache ignores at the top.
//! - **Credentials separate users.** `Authorization` and `Cookie` are part of the key. Both Python
//!   caches let two users share a response.
//! - **A successful `POST`, `PUT` or `DELETE` removes the stored responses** of its URL
//!   ([`invalidate_on_unsafe`](crate::CacheLayer::invalidate_on_unsafe)).
//! - **Requests that miss at the same time share one call**
//!   ([`coalesce`](crate::CacheLayer::coalesce)).
//! - **Redirects are responses.** A redirect layer outside follows them
//!   ([redirects](super::tower_http#redirects)); there is no table of aliases.
//! - **The file of a Python cache cannot be read.** It holds pickled Python objects. Fetch again,
//!   or [insert](crate::Entries::insert) what another program exports.
//! - **Settings cannot be read back or changed in place.** A clone of the layer takes other
//!   settings, over the same store. A service that is built already keeps the old ones: build it
//!   again from the clone, as the program below does for `shorter`.
//! - **A wrong option does not compile, or is a [`ConfigError`](crate::ConfigError).** Both Python
//!   caches ignore names that they do not know.
//!
//! ## The whole program
//!
//! `Session` has the methods that a script uses. `examples/session` of the repository is the same
//! program.
//!
//! ```sh
//! cargo add larder --path ../larder --no-default-features --features sqlite
//! cargo add futures-util http reqwest tower-reqwest
//! cargo add tokio --features macros,net,rt-multi-thread,time
//! cargo add tower --features util
//! cargo add axum    # for the server that the program below calls
//! ```
//!
//! ```rust,ignore
//! use std::{
//!     sync::atomic::{AtomicU64, Ordering},
//!     time::Duration,
//! };
//!
//! use axum::Router;
//! use futures_util::TryStreamExt;
//! use larder::{
//!     BoxError, Cache, CacheLayer, CacheOptions, CacheStatus, Expiration, RequestBody, StaleLimit,
//!     store::{self, Sqlite},
//! };
//! use reqwest::{Body, Client, Response, ResponseBuilderExt};
//! use tower::{ServiceBuilder, util::MapRequest};
//! use tower_reqwest::{HttpClientLayer, HttpClientService};
//!
//! /// `requests_cache.CachedSession`
//! struct Session {
//!     layer: CacheLayer<Sqlite>,
//!     client: Client,
//!     http: CachedClient,
//! }
//!
//! type CachedClient = Cache<MapRequest<HttpClientService<Client>, OwnBody>, Sqlite>;
//! type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;
//!
//! fn cached(client: Client, layer: CacheLayer<Sqlite>) -> CachedClient {
//!     let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::wrap));
//!     ServiceBuilder::new()
//!         .layer(layer)
//!         // The cache sends bodies of its own type. This gives reqwest its type back.
//!         .map_request(own_body)
//!         .layer(HttpClientLayer)
//!         .service(client)
//! }
//!
//! impl Session {
//!     fn new(client: Client, layer: CacheLayer<Sqlite>) -> Self {
//!         Self { http: cached(client.clone(), layer.clone()), layer, client }
//!     }
//!
//!     /// `session.get(url)`
//!     async fn get(&self, url: &str) -> reqwest::Result<Response> {
//!         self.get_with(url, CacheOptions::new()).await
//!     }
//!
//!     /// `session.get(url, expire_after=..., refresh=...)`
//!     async fn get_with(&self, url: &str, options: CacheOptions) -> reqwest::Result<Response> {
//!         let request = self.client.get(url).build()?;
//!         let url = http::Response::builder().url(request.url().clone());
//!         let mut request = http::Request::try_from(request)?;
//!         request.extensions_mut().insert(options);
//!         let mut response = self.http.request(request).await?;
//!         response.extensions_mut().extend(url.extensions_ref().cloned().unwrap_or_default());
//!         Ok(response.map(Body::wrap).into())
//!     }
//!
//!     /// `with session.cache_disabled():`, until the returned value is dropped.
//!     #[must_use]
//!     fn cache_disabled(&self) -> Disabled<'_> {
//!         self.layer.set_enabled(false);
//!         Disabled(&self.layer)
//!     }
//!
//!     /// `session.cache.urls()`
//!     async fn urls(&self) -> store::Result<Vec<String>> {
//!         self.layer.entries().stream().map_ok(|entry| entry.url).try_collect().await
//!     }
//! }
//!
//! struct Disabled<'s>(&'s CacheLayer<Sqlite>);
//!
//! impl Drop for Disabled<'_> {
//!     fn drop(&mut self) {
//!         self.0.set_enabled(true);
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let url = start_server().await?;
//!     // To keep the file between runs: `Sqlite::open("http_cache.sqlite")?`.
//!     let layer = CacheLayer::private(Sqlite::temporary()?)
//!         .expire_after(Duration::from_secs(3600))
//!         .stale_if_error(StaleLimit::Unlimited)
//!         .add_expire_url("*/live{,/**}", Duration::from_secs(30))?
//!         .add_expire_url("**/static/**", Expiration::Never)?
//!         .statuses([200, 404])?
//!         .add_ignored_parameters(["utm_source"])?
//!         .add_key_headers(["accept"])?
//!         .sort_query(true);
//!     let session = Session::new(Client::new(), layer);
//!
//!     show("get", session.get(&format!("{url}/page?a=1&b=2")).await?).await?;
//!     show("the order of parameters", session.get(&format!("{url}/page?b=2&a=1")).await?).await?;
//!     let refresh = CacheOptions::new().refresh(true);
//!     show("refresh", session.get_with(&format!("{url}/page?a=1&b=2"), refresh).await?).await?;
//!     {
//!         let _disabled = session.cache_disabled();
//!         show("cache_disabled", session.get(&format!("{url}/page?a=1&b=2")).await?).await?;
//!     }
//!     // `session.settings.expire_after = 5`: another session over the same file.
//!     let shorter = session.layer.clone().expire_after(Duration::from_secs(5));
//!     let shorter = Session::new(session.client.clone(), shorter);
//!     show("other settings", shorter.get(&format!("{url}/page?a=1&b=2")).await?).await?;
//!     println!("{:?}", session.urls().await?);
//!     Ok(())
//! }
//!
//! /// Prints what the cache did. Reading the body stores it.
//! async fn show(what: &str, response: Response) -> Result<(), BoxError> {
//!     let status = response.extensions().get::<CacheStatus>().ok_or("no cache")?;
//!     let (from_cache, age) = (status.is_from_store(), status.age());
//!     let text = response.error_for_status()?.text().await?;
//!     println!("{what}: {text}, from_cache: {from_cache}, age: {age:?}");
//!     Ok(())
//! }
//!
//! /// Starts the server that this example calls. It counts its answers.
//! async fn start_server() -> std::io::Result<String> {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     let url = format!("http://{}", listener.local_addr()?);
//!     let routes = Router::new().fallback(async || {
//!         static ANSWERS: AtomicU64 = AtomicU64::new(1);
//!         format!("answer {}", ANSWERS.fetch_add(1, Ordering::Relaxed))
//!     });
//!     tokio::spawn(axum::serve(listener, routes).into_future());
//!     Ok(url)
//! }
//! ```
//!
//! # requests-cache
//!
//! ## `CachedSession`, `CacheSettings`
//!
//! | requests-cache | larder |
//! |---|---|
//! | `cache_name`, `backend` | the constructor of the store: [stores](#stores) |
//! | `serializer` | absent: one format with a version and a checksum, which runs no code when it is read. [`Compressed`](crate::store::Compressed) compresses bodies |
//! | `expire_after` | [`expire_after`](crate::CacheLayer::expire_after): see [expiration](#expiration) |
//! | `urls_expire_after` | [`expire_urls`](crate::CacheLayer::expire_urls); for a regular expression, [`expire_with`](crate::CacheLayer::expire_with) |
//! | `cache_control` | [`http_rules`](crate::CacheLayer::http_rules), for requests and responses |
//! | `content_root_key="data"` | [`add_ignored_request_body_fields`](crate::CacheLayer::add_ignored_request_body_fields) with JSON pointers, such as `/data/token`, at any depth |
//! | `allowable_codes` | [`statuses`](crate::CacheLayer::statuses), [`all_statuses`](crate::CacheLayer::all_statuses) |
//! | `allowable_methods` | [`methods`](crate::CacheLayer::methods) |
//! | `always_revalidate` | `expire_after(Duration::ZERO)`: each use revalidates what has a validator |
//! | `ignored_parameters` | query: [`add_ignored_parameters`](crate::CacheLayer::add_ignored_parameters); headers: [`add_ignored_headers`](crate::CacheLayer::add_ignored_headers); body: [`add_ignored_request_body_fields`](crate::CacheLayer::add_ignored_request_body_fields). None is ignored by default. The case of a name does not matter, and neither does the presence of an ignored parameter |
//! | `match_headers` list | [`add_key_headers`](crate::CacheLayer::add_key_headers) |
//! | `match_headers=True` | [`key_all_headers(true)`](crate::CacheLayer::key_all_headers). It is better to name the headers: `User-Agent` alone splits every entry. `Vary` needs no setting |
//! | `filter_fn` | [`store_if`](crate::CacheLayer::store_if) over the heads, when a response is stored. For stored ones: [`remove_where`](crate::Entries::remove_where) |
//! | `key_fn` | [`key_with`](crate::CacheLayer::key_with), a closure over the request and its body. **It makes the key of every request alone**, without URL, headers, `Authorization` and `Cookie`: return those too |
//! | `read_only` | [`read_only`](crate::CacheLayer::read_only) |
//! | `stale_if_error` | [`stale_if_error`](crate::CacheLayer::stale_if_error): `True` is `StaleLimit::Unlimited`, a time is a `Duration` |
//! | `stale_while_revalidate` | [`stale_while_revalidate`](crate::CacheLayer::stale_while_revalidate), with one refresh at a time for each key |
//! | `only_if_cached` | [`CacheOptions::only_if_cached`](crate::CacheOptions::only_if_cached) on each request: a `map_request` outside |
//! | `autoclose` | absent: a store closes with its last handle. `Redb::close` and `Sqlite::close` wait for it |
//! | `disabled`, `cache_disabled()` | [`set_enabled(false)`](crate::CacheLayer::set_enabled) for all; [`bypass(true)`](crate::CacheOptions::bypass) for one request |
//! | `old_data_on_error`, `include_get_headers` | absent: old names of `stale_if_error` and `match_headers` |
//! | `session.settings`, read | absent: keep the values that you set |
//! | `session.settings`, changed later | a clone of the layer with another setting, over the same store, and the service built again |
//! | `CachedSession.wrap(session)`, `CacheMixin` | `layer.layer(client)`, or `ServiceBuilder::layer` |
//! | `install_cache`, `uninstall_cache`, `enabled`, `disabled`, `is_installed`, `get_cache`, `clear`, `delete` (module) | absent: Rust has no global session to replace. Pass the service |
//!
//! ## Expiration
//!
//! | requests-cache | larder |
//! |---|---|
//! | seconds, `timedelta` | `Duration` |
//! | `datetime` | `SystemTime` |
//! | HTTP date as a string | absent: parse it, for example with the crate `httpdate`, to a `SystemTime` |
//! | `NEVER_EXPIRE`, `-1`, `None` | [`Expiration::Never`](crate::Expiration::Never), the default of a private cache |
//! | `EXPIRE_IMMEDIATELY`, `0` | `Duration::ZERO`: what has a validator is kept for [`keep_expired`](crate::CacheLayer::keep_expired), and each use revalidates it |
//! | `DO_NOT_CACHE` | [`Expiration::DoNotStore`](crate::Expiration::DoNotStore); for reading too, [`bypass(true)`](crate::CacheOptions::bypass) |
//! | order: headers, request, URL, session | request, closure, URL, status, layer; under the HTTP rules, the headers come [before all but `DoNotStore`](crate::CacheLayer::http_rules) |
//! | `a.com/x` in `urls_expire_after` | `a.com/x{,/**}`, for `a.com/x` and what is below. Python's also matches all that begins so, such as `a.com/xyz`: that is `a.com/x*{,/**}` |
//! | `*` in a pattern | `*` within one segment, `**` across segments ([patterns](crate::CacheLayer#url-patterns)) |
//! | `/static/*`, which matches no URL, since Python's patterns begin with the host | `/static/**` is for every host. Python's `*/static/*` is `**/static/**` |
//! | `localhost/x` does not match `localhost:8080/x` | it does: a pattern without a port matches any port |
//!
//! ## One request
//!
//! Options go into the request's extensions, as [`CacheOptions`](crate::CacheOptions), and never to
//! the origin.
//!
//! | requests-cache | larder |
//! |---|---|
//! | `expire_after=` | [`expire_after`](crate::CacheOptions::expire_after) |
//! | `only_if_cached=True` | [`only_if_cached(true)`](crate::CacheOptions::only_if_cached), which answers 504 too |
//! | `refresh=True` | [`refresh(true)`](crate::CacheOptions::refresh). Without a validator, it fetches a new response |
//! | `force_refresh=True` | [`force_refresh(true)`](crate::CacheOptions::force_refresh) |
//! | `Cache-Control` of the request | under the HTTP rules: `no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale`, `only-if-cached`; `max-age` is the oldest age that the request accepts |
//! | `Cache-Control: stale-if-error`, `stale-while-revalidate` of the request | the options of these names |
//! | `X-HTTP-Method-Override` and its kin | absent: a request has the method that it is sent with |
//!
//! ## A response
//!
//! [`CacheStatus`](crate::CacheStatus) is in the response's extensions.
//!
//! | requests-cache | larder |
//! |---|---|
//! | `from_cache` | [`is_from_store`](crate::CacheStatus::is_from_store); [`is_hit`](crate::CacheStatus::is_hit) if no call was made |
//! | `created_at` | [`stored_at`](crate::CacheStatus::stored_at) |
//! | `expires`, `expires_unix`, `expires_delta` | [`expires_at`](crate::CacheStatus::expires_at) |
//! | `is_expired` | [`is_stale`](crate::CacheStatus::is_stale) |
//! | `is_older_than()` | [`age`](crate::CacheStatus::age) |
//! | `cache_key` | [`key`](crate::CacheStatus::key) |
//! | `revalidated` | the outcome [`Revalidated`](crate::Outcome::Revalidated) |
//! | `reset_expiration()` | absent for one response: send it again with `refresh(true).expire_after(..)` |
//! | `size` | `size` and `body_len` of [`EntryInfo`](crate::EntryInfo) |
//! | `history`, `next`, `url` | absent: a redirect layer has them |
//! | `elapsed` | absent: a timing layer inside measures calls |
//! | `encoding`, `cookies`, `links`, `reason` | the headers, which come back line by line |
//! | `request` | method and URL in `EntryInfo`; request headers and bodies are never stored |
//! | `raw`, `iter_content()`, `iter_lines()` | the body streams, on a miss too |
//! | `hooks` | a layer outside of the cache |
//!
//! ## The cache
//!
//! [`Entries`](crate::Entries), from [`layer.entries()`](crate::CacheLayer::entries).
//!
//! | requests-cache | larder |
//! |---|---|
//! | `contains(key, request, url)` | [`contains`](crate::Entries::contains) of a key, a URL or a request |
//! | `get_response(key)` | [`get`](crate::Entries::get) |
//! | `save_response(response, key, expires)` | [`insert`](crate::Entries::insert), with `CacheOptions` in the request for the expiry and the key; [`insert_at`](crate::Entries::insert_at) for a key alone |
//! | `create_key(request)` | `key` of the status; [`Key::digest`](crate::Key::digest) makes a key of your own |
//! | `delete(*keys)`, `delete(urls=, requests=)` | [`remove`](crate::Entries::remove) of each. A URL removes every method and variant of it |
//! | `delete(expired=True)` | [`remove_all_expired`](crate::Entries::remove_all_expired); [`remove_expired`](crate::Entries::remove_expired) leaves what can still be revalidated |
//! | `delete(older_than=)` | `remove_where` with [`older_than`](crate::Filter::older_than) |
//! | `delete(invalid=True)` | absent: a damaged entry is removed when it is found |
//! | `delete(vacuum=)`, `vacuum()` | `Sqlite::vacuum`; a `Redb` file is compacted by `close` |
//! | `verify=` | absent: TLS is the client's. Give clients with other settings another store |
//! | `filter()`, `responses.values()`, `.items()`, `.keys()`, `urls()` | [`stream`](crate::Entries::stream) |
//! | `sorted(key, reversed, limit)` | collect the stream, and sort it |
//! | `len(responses)`, `count()`, `size()` | [`len`](crate::Entries::len), [`size_bytes`](crate::Entries::size_bytes); `count(expired=False)` filters the stream |
//! | `clear()` | [`clear`](crate::Entries::clear) |
//! | `close()` | drop the handles, or `close` of the store |
//! | `update(other)` | [`copy_to`](crate::Entries::copy_to), between any stores |
//! | `reset_expiration(value)` | [`reset_expiration`](crate::Entries::reset_expiration). A duration counts from when a response was stored, not from now |
//! | `remove_expired_responses()` | as `delete(expired=True)` |
//! | `recreate_keys()` | absent: keys have a version and stay the same |
//! | `redirects` | absent: each redirect is a response, if its status is stored |
//! | `db_path`, `cache_dir`, `paths()` | `path` of the store |
//! | `bulk_commit()` | absent: the writer groups commits by itself |
//! | `get_ttl()`, `set_ttl()` of MongoDB | absent: the index exists always, and follows each entry's expiry |
//!
//! ## Stores
//!
//! | requests-cache | larder |
//! |---|---|
//! | `memory` | [`Memory`](crate::store::Memory), bounded in bytes |
//! | `sqlite` | `Sqlite` (feature `sqlite`) |
//! | `db_path`, `use_cache_dir`, `use_temp`, `use_memory` | `Sqlite::open`, `in_cache_dir`, `temporary`, `in_memory` |
//! | `busy_timeout` | `busy_timeout` of the builder |
//! | `fast_save` | `durability` of the builder; by default, the last half second may be lost in a power cut |
//! | `wal` | absent: always on |
//! | other arguments of `sqlite3.connect` | absent: the store opens its connections itself |
//! | `filesystem`: `extension`, `lock`, `decode_content`, `use_temp`, `use_cache_dir` | `Files` (feature `files`): `temporary`, `in_cache_dir`. It needs no lock of yours, names the ending of a body by its media type, and stores bodies byte by byte |
//! | `max_cache_bytes` | `max_bytes` of `Redb`, `Sqlite` and `Files`, `Memory::new(bytes)` |
//! | `max_file_bytes` | [`max_body`](crate::CacheLayer::max_body) |
//! | `block_bytes`, `sync_index` | absent: the size is counted with the entries, in one transaction |
//! | `redis`: `namespace`, `connection` | `Redis::builder(url).namespace(..)`, `redis::Builder::from_client` |
//! | `ttl`, `ttl_offset` | always on; `grace` of the builder |
//! | `mongodb`, `gridfs`: `db_name`, `connection` | `MongoDb` for both, with large bodies in GridFS; `database` of the builder, `Builder::from_client` |
//! | `dynamodb`: `table_name`, `create_table`, `ttl`, `connection` | absent: implement [`Store`](crate::store::Store), and run `store::conformance` on it |
//! | subclasses of `BaseCache`, `BaseStorage` | [`Store`](crate::store::Store) and [`Writer`](crate::store::Writer) |
//!
//! ## Serializers
//!
//! | requests-cache | larder |
//! |---|---|
//! | `pickle`, `json`, `ujson`, `orjson`, `yaml`, `bson`, `SerializerPipeline`, `Stage` | absent: one format for all stores |
//! | `safe_pickle_serializer(secret_key, salt)` | absent: no code runs from what is stored. [`key_secret`](crate::CacheLayer::key_secret) hides what keys are made from |
//! | a gzip stage | `Compressed`, with zstd |
//! | an encryption stage | absent: encrypt the disk, or wrap a store |
//!
//! # aiohttp-client-cache
//!
//! ## `CachedSession`
//!
//! | aiohttp-client-cache | larder |
//! |---|---|
//! | `base_url` | absent: a layer outside completes URLs |
//! | `cache=` | the store of the layer |
//! | arguments of `ClientSession` | the client inside |
//! | `expire_after=`, `refresh=` of a request | [`expire_after`](crate::CacheOptions::expire_after), [`refresh`](crate::CacheOptions::refresh) |
//! | `disabled()` | `bypass(true)`, or `set_enabled(false)` |
//! | `delete_expired_responses()` | [`remove_all_expired`](crate::Entries::remove_all_expired) |
//! | `close()` | drop the handles |
//! | `CacheMixin` | `layer.layer(client)` |
//!
//! ## `CacheBackend`
//!
//! | aiohttp-client-cache | larder |
//! |---|---|
//! | `cache_name` | the path, namespace or database of the store |
//! | `expire_after` | [`expire_after`](crate::CacheLayer::expire_after). `-1` is `Never`, `0` is `DoNotStore` |
//! | `urls_expire_after` | [`expire_urls`](crate::CacheLayer::expire_urls) |
//! | `allowed_codes`, `allowed_methods` | [`statuses`](crate::CacheLayer::statuses), [`methods`](crate::CacheLayer::methods) |
//! | `include_headers` | [`add_key_headers`](crate::CacheLayer::add_key_headers), by name, or [`key_all_headers(true)`](crate::CacheLayer::key_all_headers); `Vary` needs no setting |
//! | `ignored_params` | [`add_ignored_parameters`](crate::CacheLayer::add_ignored_parameters), and [`add_ignored_request_body_fields`](crate::CacheLayer::add_ignored_request_body_fields) for bodies |
//! | `autoclose` | absent: a store closes with its last handle |
//! | `cache_control` | [`http_rules`](crate::CacheLayer::http_rules) |
//! | `filter_fn` | [`store_if`](crate::CacheLayer::store_if). It is not async: a layer inside can await, and mark the response with a header |
//! | `serializer`, `secret_key`, `salt` | absent, as [above](#serializers) |
//! | `disabled` | [`set_enabled`](crate::CacheLayer::set_enabled), [`is_enabled`](crate::CacheLayer::is_enabled) |
//! | `is_cacheable()`, `create_cache_actions()`, `request()` | absent: [`CacheStatus`](crate::CacheStatus) says what was done and why |
//! | `get_response()`, `save_response()`, `create_key()` | [`get`](crate::Entries::get), [`insert`](crate::Entries::insert), `key` of the status |
//! | `delete()`, `delete_url()`, `bulk_delete()` | [`remove`](crate::Entries::remove) |
//! | `delete_expired_responses()` | [`remove_all_expired`](crate::Entries::remove_all_expired) |
//! | `has_url()`, `responses.contains()` | [`contains`](crate::Entries::contains) |
//! | `get_urls()`, `responses.keys()`, `.values()` | [`stream`](crate::Entries::stream) |
//! | `responses.size()` | [`len`](crate::Entries::len) |
//! | `responses.read()`, `.write()`, `.delete()`, `.pop()` | `get`, `insert`, `remove` |
//! | `clear()`, `close()` | [`clear`](crate::Entries::clear); drop the handles |
//! | `redirects` | absent: each redirect is a response |
//!
//! ## `CachedResponse`
//!
//! | aiohttp-client-cache | larder |
//! |---|---|
//! | `from_cache`, `created_at`, `expires`, `is_expired` | [as above](#a-response) |
//! | `last_used` | absent: stores keep their own record for eviction |
//! | `method`, `url`, `status`, `version`, `headers`, `raw_headers` | the `http::Response`; method and URL in `EntryInfo` |
//! | `history`, `real_url`, `host`, `request_info`, `request_headers`, `request_raw_headers` | absent: a redirect layer and the request have them |
//! | `ok`, `raise_for_status()`, `reason`, `encoding`, `cookies`, `links`, `content_disposition` | the client's own response type over the headers |
//! | `content`, `read()`, `text()`, `json()`, `reset()` | the body: collect it once |
//! | cookies of a hit go into the session's jar | a jar in a layer outside, which sees hits too |
//!
//! ## Backends
//!
//! | aiohttp-client-cache | larder |
//! |---|---|
//! | `CacheBackend`, `DictCache` | [`Memory`](crate::store::Memory) |
//! | `SQLiteBackend`: `use_temp`, `fast_save` | `Sqlite`: `temporary`, `durability` |
//! | `bulk_commit()` | absent: the writer groups commits by itself |
//! | `FileBackend`: `use_temp` | `Files` (feature `files`): `temporary` |
//! | `RedisBackend`: `address` | `Redis::connect(url)` |
//! | `MongoDBBackend`: `connection` | `MongoDb`, `Builder::from_client` |
//! | `DynamoDBBackend`: `key_attr_name`, `val_attr_name`, `create_if_not_exists`, `context` | absent: implement [`Store`](crate::store::Store) |
//! | subclasses of `CacheBackend`, `BaseCache` | [`Store`](crate::store::Store) and [`Writer`](crate::store::Writer) |
//!
//! # http-cache, http-cache-reqwest
//!
//! ## Modes
//!
//! | `CacheMode` | larder |
//! |---|---|
//! | `Default` | [`http_rules()`](crate::CacheLayer::http_rules) with `stale_if_error(StaleLimit::Unlimited)` |
//! | `NoStore` | [`bypass(true)`](crate::CacheOptions::bypass) |
//! | `Reload` | [`force_refresh(true)`](crate::CacheOptions::force_refresh) |
//! | `NoCache` | [`refresh(true)`](crate::CacheOptions::refresh), which revalidates |
//! | `ForceCache` | under the HTTP rules, `Cache-Control: max-stale` on the request, and `stale_if_error(StaleLimit::Unlimited)` on the layer, which keeps stale responses |
//! | `OnlyIfCached` | [`only_if_cached(true)`](crate::CacheOptions::only_if_cached), and the same limit for stale responses |
//! | `IgnoreRules` | the default: [`CacheLayer::private(store)`](crate::CacheLayer::private) without `http_rules` |
//! | a mode as an extension of one request | [`CacheOptions`](crate::CacheOptions) as an extension |
//!
//! ## Options
//!
//! | `HttpCacheOptions` | larder |
//! |---|---|
//! | `cache_options.shared` | [`CacheLayer::shared`](crate::CacheLayer::shared) or [`private`](crate::CacheLayer::private) |
//! | `cache_options.cache_heuristic`, `immutable_min_time_to_live`, `ignore_cargo_cult` | absent: a tenth of the time since `Last-Modified`; `immutable` adds no lifetime; all directives count. `expire_after` is the fallback |
//! | `cache_key` | [`key_with`](crate::CacheLayer::key_with). Removal by URL still works |
//! | `cache_mode_fn` | a `map_request` outside, which inserts `CacheOptions` |
//! | `response_cache_mode_fn` | [`store_if`](crate::CacheLayer::store_if), [`expire_with`](crate::CacheLayer::expire_with), [`expire_statuses`](crate::CacheLayer::expire_statuses) |
//! | `cache_bust` | [`remove`](crate::Entries::remove), or tags and [`remove_tag`](crate::Entries::remove_tag) |
//! | `modify_response` | a `map_response` inside of the cache |
//! | `cache_status_headers` (`x-cache`, `x-cache-lookup`) | [`cache_status_header`](crate::CacheLayer::cache_status_header) (`Cache-Status`, RFC 9211) |
//! | `max_ttl` | [`max_ttl`](crate::CacheLayer::max_ttl) |
//! | `rate_limiter` | tower's `RateLimitLayer` inside of the cache: only calls count |
//! | `metadata_provider` | a header that a `map_response` inside adds, which is stored |
//! | `HttpCache::mode`, `manager` | the settings and the store of the layer |
//!
//! ## Managers and clients
//!
//! | http-cache | larder |
//! |---|---|
//! | `RedbManager` | `Redb`, the default too. Its file is another format |
//! | `MokaManager`, `QuickManager` | [`Memory`](crate::store::Memory), bounded in bytes instead of entries |
//! | `CACacheManager`, `StreamingManager` | `Redb` or `Sqlite`; bodies stream in every store |
//! | `FoyerManager` | [`Tiered`](crate::store::Tiered) of `Memory` and `Redb` |
//! | `CacheManager`, `StreamingCacheManager` | [`Store`](crate::store::Store) and [`Writer`](crate::store::Writer) |
//! | http-cache-reqwest | the layer over `tower-reqwest`: [reqwest](super::reqwest) |
//! | http-cache-tower, http-cache-tower-server | the layer |
//! | http-cache-surf, http-cache-ureq | absent: these clients are no tower services |

#![cfg_attr(
    not(all(feature = "memory", feature = "compression")),
    allow(rustdoc::broken_intra_doc_links, reason = "it speaks of stores that are not built in")
)]
