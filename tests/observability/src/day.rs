//! A day in the life of three caches. It has every outcome, every reason for a miss, a stale
//! response and a bypass, and also refusals, refreshes and faults of the store. Every value that
//! may be secret contains [`SECRET`].

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
    Broken, Double, Faulty, Op, Reply, Sender, Stand, T0, TestBody, channel, empty, frames, full,
    line, ok, status,
};

const SECOND: Duration = Duration::from_secs(1);

/// A part of every header value, URL, body and error of the day.
pub(crate) const SECRET: &str = "hunter2";

/// The outcome of each request of the day, in order.
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
    // The shared cache over the same store.
    "bypass (credentials)",
    "miss (not-allowed)",
    // A cache with the HTTP rules.
    "miss (absent)",
    "stale (max-stale)",
];

/// The indexes of the requests that received the inner service's error instead of a response.
pub(crate) const FAILED: [usize; 2] = [12, 13];

/// The result of the day.
pub(crate) struct Day {
    /// The status of each response. `None` for a request without a response.
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

type Cache = Stand<Faulty<Memory>>;

/// The state during the day.
struct Living {
    store: Faulty<Memory>,
    is_down: Arc<AtomicBool>,
    said: Vec<Option<CacheStatus>>,
}

/// Runs the day. `with` is applied to each layer.
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
    let private = CacheLayer::private(store.clone())
        .expire_after(SECOND * 10)
        .max_request_body(9)
        .methods([Method::GET, Method::PUT])
        .unwrap();
    let shared = CacheLayer::shared(store.clone()).expire_after(SECOND * 10);
    let http = CacheLayer::private(store.clone()).http_rules();
    let (private, shared, http) = (stand(private), stand(shared), stand(http));

    let mut living = Living { store, is_down, said: Vec::new() };
    living.found_and_not_found(&private).await;
    living.expired(&private).await;
    living.two_at_once(&private, sender).await;
    living.not_stored(&private).await;
    living.past_the_cache(&private).await;
    living.by_other_rules(&private, &shared, &http).await;
    let stats = [private, shared, http].map(|stand| stand.layer.stats());
    Day { said: living.said, stats: stats.into() }
}

impl Living {
    async fn ask(&mut self, stand: &Cache, request: request::Builder) {
        self.said.push(Some(stand.ask(request).await.cache));
    }

    async fn found_and_not_found(&mut self, stand: &Cache) {
        let vary = |value: &str| get("vary").header("x-a", value);
        for value in ["1", "1", "2"] {
            self.ask(stand, vary(value)).await;
        }
        let refresh = CacheOptions::new().force_refresh(true);
        self.ask(stand, vary("1").extension(refresh)).await;
        for kind in [ErrorKind::Corrupt, ErrorKind::Unavailable] {
            self.store.fail(Op::Get, kind);
            self.ask(stand, get("any")).await;
        }
        self.store.heal();
    }

    /// A background refresh that succeeds, one that fails, a stale response instead of a failure,
    /// and a revalidated one.
    async fn expired(&mut self, stand: &Cache) {
        let stale = CacheOptions::new().stale_while_revalidate(StaleLimit::Unlimited);
        self.ask(stand, get("stale")).await;
        stand.clock.advance(SECOND * 10);
        self.ask(stand, get("stale").extension(stale.clone())).await;
        stand.layer.idle().await;
        self.ask(stand, get("stale")).await;
        stand.clock.advance(SECOND * 10);
        self.is_down.store(true, Ordering::SeqCst);
        self.ask(stand, get("stale").extension(stale)).await;
        stand.layer.idle().await;
        let if_error = CacheOptions::new().stale_if_error(StaleLimit::Unlimited);
        self.ask(stand, get("stale").extension(if_error.clone())).await;
        self.ask(stand, get("stale").extension(if_error.only_if_cached(true))).await;
        for method in [Method::GET, Method::DELETE] {
            stand.error(ask(method, "down")).await;
            self.said.push(None);
        }
        self.is_down.store(false, Ordering::SeqCst);

        self.ask(stand, get("confirmed")).await;
        stand.clock.advance(SECOND * 10);
        self.ask(stand, get("confirmed")).await;
        self.ask(stand, get("none").extension(CacheOptions::new().only_if_cached(true))).await;
    }

    async fn two_at_once(&mut self, stand: &Cache, sender: Sender) {
        let call = || stand.call(get("slow").body(empty()).unwrap());
        let (leader, follower) = (call().await.unwrap(), call().await.unwrap());
        sender.send(SECRET);
        drop(sender);
        for response in [leader, follower] {
            self.said.push(Some(Reply::read_any(response).await.cache));
        }
    }

    /// Responses that are not stored because of the head, the body, or a failing store.
    async fn not_stored(&mut self, stand: &Cache) {
        self.ask(stand, get("teapot")).await;
        self.ask(stand, get("cut")).await;
        self.store.fail(Op::Finish, ErrorKind::Full);
        self.ask(stand, get("full")).await;
        self.store.heal();
    }

    /// The first request makes a stored response stale.
    async fn past_the_cache(&mut self, stand: &Cache) {
        self.ask(stand, ask(Method::DELETE, "stale")).await;
        self.ask(stand, get("any").extension(CacheOptions::new().bypass(true))).await;
        self.ask(stand, get("range").header("range", "bytes=0-1")).await;
        self.ask(stand, get("any").header("upgrade", SECRET)).await;
        self.ask(stand, get("any").header("if-match", format!("\"{SECRET}\""))).await;
        self.ask(stand, Request::get("/").header("host", format!("{SECRET} {SECRET}"))).await;
        for body in [full("hunter2 hunter2"), frames(["a"], Some(Err(SECRET.into())))] {
            let request = ask(Method::PUT, "any").body(body).unwrap();
            self.said.push(Some(Reply::read_any(stand.call(request).await.unwrap()).await.cache));
        }
    }

    async fn by_other_rules(&mut self, private: &Cache, shared: &Cache, http: &Cache) {
        let keyed = CacheOptions::new().key(Key::digest("by hand"));
        self.ask(private, get("cookie").extension(keyed.clone())).await;
        private.layer.set_enabled(false);
        self.ask(private, get("any")).await;

        self.ask(shared, get("any")).await;
        self.ask(shared, request(Method::GET, "cookie", "").extension(keyed)).await;

        self.ask(http, get("http")).await;
        http.clock.advance(SECOND * 15);
        self.ask(http, get("http").header("cache-control", "max-stale=60")).await;
    }
}
