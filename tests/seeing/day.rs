//! A day in the life of three caches: every outcome, every miss, stale answer and bypass there is, refusals, refreshes and
//! faults of the store. Whatever could be secret says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response, request};
use larder::{
    CacheLayer, CacheOptions, CacheStatus, Key, StaleLimit, Stats,
    store::{ErrorKind, Memory},
    time::ManualClock,
};

use crate::support::{
    Broken, Double, Faulty, Op, Reply, Stand, T0, TestBody, channel, empty, frames, full, line, ok,
    status,
};

const SECOND: Duration = Duration::from_secs(1);

/// It is in every header value, URL, body and error of the day.
pub(crate) const SECRET: &str = "hunter2";

/// What became of each request of the day, in the order in which they were made.
pub(crate) const OUTCOMES: [&str; 36] = [
    // The private cache.
    "miss (absent)",
    "hit",
    "miss (variant)",
    "miss (refresh)",
    "miss (corrupt)",
    "miss (store-failed)",
    "miss (absent)",
    "stale (while-revalidate)",
    "hit",
    "stale (while-revalidate)",
    "stale (if-error)",
    "stale (only-if-cached)",
    "miss (absent)",
    "bypass (method)",
    "miss (absent)",
    "revalidated",
    "only-if-cached",
    "miss (absent)",
    "coalesced (absent)",
    "miss (absent)",
    "miss (absent)",
    "miss (absent)",
    "bypass (method)",
    "bypass (requested)",
    "bypass (range)",
    "bypass (upgrade)",
    "bypass (precondition)",
    "bypass (invalid-target)",
    "bypass (request-body-too-large)",
    "bypass (request-body-failed)",
    "miss (absent)",
    "bypass (disabled)",
    // The shared one, over the same store.
    "bypass (credentials)",
    "miss (not-allowed)",
    // One by the HTTP rules.
    "miss (absent)",
    "stale (max-stale)",
];

/// Where among them the caller got the inner service's error, in place of a response.
pub(crate) const FAILED: [usize; 2] = [12, 13];

/// What the day has come to.
pub(crate) struct Day {
    /// What each response said; none where there was none.
    pub(crate) said: Vec<Option<CacheStatus>>,
    /// The counters of each cache.
    pub(crate) stats: Vec<Stats>,
}

impl Day {
    /// The sum of one counter.
    pub(crate) fn sum(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        self.stats.iter().map(of).sum()
    }
}

fn ask(method: Method, path: &str) -> request::Builder {
    request(method, path, &format!("{SECRET}:{SECRET}@"))
        .header("authorization", format!("Bearer {SECRET}"))
        .header("cookie", format!("id={SECRET}"))
}

fn request(method: Method, path: &str, user: &str) -> request::Builder {
    let url = format!("http://{user}example.com/{SECRET}/{path}?token={SECRET}");
    Request::builder().method(method).uri(url).header("x-secret", SECRET)
}

fn get(path: &str) -> request::Builder {
    ask(Method::GET, path)
}

fn origin(is_down: Arc<AtomicBool>, slow: TestBody) -> Double {
    let slow = std::sync::Mutex::new(Some(slow));
    Double::fallible(move |request, call| {
        if is_down.load(Ordering::SeqCst) {
            return Err(Broken("hunter2"));
        }
        let is_asked = request.headers().contains_key("if-none-match");
        let path = request.uri().path().rsplit('/').next().unwrap_or_default();
        let response = match path {
            "confirmed" if is_asked => status(304),
            "teapot" => status(418),
            "cut" => Response::new(frames(["hunter2"], Some(Err("hunter2".into())))),
            "slow" => Response::new(slow.lock().unwrap().take().unwrap()),
            _ => ok(format!("{SECRET} {call}")),
        };
        let response = line(line(response, "x-secret", SECRET), "cache-control", "max-age=10");
        Ok(match path {
            "vary" => line(response, "vary", "x-a"),
            "confirmed" => line(response, "etag", format!("\"{SECRET}\"")),
            "cookie" => line(response, "set-cookie", format!("id={SECRET}")),
            _ => response,
        })
    })
}

/// Lives through the day; `with` is done to each layer.
pub(crate) async fn live(
    with: impl Fn(CacheLayer<Faulty<Memory>>) -> CacheLayer<Faulty<Memory>>,
) -> Day {
    let (store, is_down) = (Faulty::new(Memory::default()), Arc::<AtomicBool>::default());
    let (sender, slow) = channel();
    let inner = origin(is_down.clone(), slow);
    let stand = |layer: CacheLayer<Faulty<Memory>>| {
        let clock = ManualClock::new(T0);
        Stand { layer: with(layer).clock(clock.clone()), inner: inner.clone(), clock }
    };
    let mut said = Vec::new();
    let by_hand = Key::digest("by hand");

    let private =
        stand(CacheLayer::new(store.clone()).expire_after(SECOND * 10).max_request_body(9));
    let private = private.with(|layer| layer.methods([Method::GET, Method::PUT]).unwrap());
    let mut say =
        async |request: request::Builder| said.push(Some(private.ask(request).await.cache));
    let vary = |value: &str| get("vary").header("x-a", value);
    say(vary("1")).await;
    say(vary("1")).await;
    say(vary("2")).await;
    say(vary("1").extension(CacheOptions::new().force_refresh(true))).await;
    for kind in [ErrorKind::Corrupt, ErrorKind::Unavailable] {
        store.fail(Op::Get, kind);
        say(get("any")).await;
        store.heal();
    }

    // What has expired: refreshed in the background, twice, the second time in vain; then in place of a failure.
    let stale = |options: CacheOptions| options.stale_while_revalidate(StaleLimit::Unlimited);
    say(get("stale")).await;
    private.clock.advance(SECOND * 10);
    say(get("stale").extension(stale(CacheOptions::new()))).await;
    private.layer.idle().await;
    say(get("stale")).await;
    private.clock.advance(SECOND * 10);
    is_down.store(true, Ordering::SeqCst);
    say(get("stale").extension(stale(CacheOptions::new()))).await;
    private.layer.idle().await;
    let if_error = CacheOptions::new().stale_if_error(StaleLimit::Unlimited);
    say(get("stale").extension(if_error.clone())).await;
    say(get("stale").extension(if_error.only_if_cached(true))).await;
    drop(say);
    for method in [Method::GET, Method::DELETE] {
        private.error(ask(method, "down")).await;
        said.push(None);
    }
    is_down.store(false, Ordering::SeqCst);

    let mut say =
        async |request: request::Builder| said.push(Some(private.ask(request).await.cache));
    say(get("confirmed")).await;
    private.clock.advance(SECOND * 10);
    say(get("confirmed")).await;
    say(get("none").extension(CacheOptions::new().only_if_cached(true))).await;
    drop(say);

    // Two at once.
    let call = || private.call(get("slow").body(empty()).unwrap());
    let (leader, follower) = (call().await.unwrap(), call().await.unwrap());
    sender.send(SECRET);
    drop(sender);
    said.push(Some(Reply::read_any(leader).await.cache));
    said.push(Some(Reply::read_any(follower).await.cache));

    let mut say =
        async |request: request::Builder| said.push(Some(private.ask(request).await.cache));
    // Not stored: for their heads, their bodies, and the store.
    say(get("teapot")).await;
    say(get("cut")).await;
    store.fail(Op::Finish, ErrorKind::Full);
    say(get("full")).await;
    store.heal();
    // Past the cache. The first of them makes something stale.
    say(ask(Method::DELETE, "stale")).await;
    say(get("any").extension(CacheOptions::new().bypass(true))).await;
    say(get("range").header("range", "bytes=0-1")).await;
    say(get("any").header("upgrade", SECRET)).await;
    say(get("any").header("if-match", format!("\"{SECRET}\""))).await;
    say(Request::get("/").header("host", format!("{SECRET} {SECRET}"))).await;
    drop(say);
    for body in [full("hunter2 hunter2"), frames(["a"], Some(Err(SECRET.into())))] {
        let request = ask(Method::PUT, "any").body(body).unwrap();
        said.push(Some(Reply::read_any(private.call(request).await.unwrap()).await.cache));
    }
    let keyed = CacheOptions::new().key(by_hand);
    said.push(Some(private.ask(get("cookie").extension(keyed.clone())).await.cache));
    private.layer.set_enabled(false);
    said.push(Some(private.get("/any").await.cache));

    let shared = stand(CacheLayer::shared(store.clone()).expire_after(SECOND * 10));
    said.push(Some(shared.ask(get("any")).await.cache));
    let without = request(Method::GET, "cookie", "").extension(keyed);
    said.push(Some(shared.ask(without).await.cache));

    let http = stand(CacheLayer::new(store.clone()).http_rules());
    said.push(Some(http.ask(get("http")).await.cache));
    http.clock.advance(SECOND * 15);
    said.push(Some(http.ask(get("http").header("cache-control", "max-stale=60")).await.cache));

    let stats = [private, shared, http].map(|stand| stand.layer.stats());
    Day { said, stats: stats.into() }
}
