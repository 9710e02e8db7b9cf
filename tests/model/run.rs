//! Plays a run: sends requests through a layer over a store, makes removals, and compares each
//! answer with the history.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http::{Request, Response, header, request};
use http_body_util::{BodyExt, Empty};
use larder::{
    CacheLayer, CacheOptions, CacheStatus, Expiration, Filter, Key, Outcome, ResponseBody, Stored,
    status::Stale,
    store::{AnyStore, Result},
    time::{Clock, ManualClock, Timestamp},
};
use tokio::time::{sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    history::{Asked, History, Kind, Removed},
    judge::{End, Got, judge, judge_error},
    origin::{ASK, Origin, OriginBody, PIECE, VERSION},
    paced::Pace,
    plan::{Ask, Demand, FIXED_LIFETIME, Op, Removal, Selects, Settings, Step, Stop},
    rng::Rng,
};

/// Longer than any operation takes in virtual time.
const STRANDED: Duration = Duration::from_secs(3600);

/// A failure, and the events before it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: usize,
    pub(crate) why: String,
    pub(crate) log: Vec<Vec<String>>,
}

/// The number of times that each outcome was seen.
pub(crate) type Outcomes = HashMap<&'static str, u64>;

type Answered = std::result::Result<Response<ResponseBody<OriginBody>>, &'static str>;
type Send = Box<dyn Fn(Request<Empty<Bytes>>) -> BoxFuture<'static, Answered> + std::marker::Send>;

/// A layer over a store, its origin, and everything that is known of both.
struct Stage {
    settings: Settings,
    history: Arc<Mutex<History>>,
    layer: CacheLayer<AnyStore>,
    clock: ManualClock,
    send: Send,
    /// The key under which the last response of a path was seen.
    keys: Mutex<HashMap<u8, Key>>,
    /// The requests that were answered, and when their refresh in the background may have begun.
    answered: Mutex<HashMap<usize, u64>>,
    outcomes: Mutex<Outcomes>,
}

/// Plays the steps over a new store.
pub(crate) fn play(
    settings: &Settings,
    store: impl FnOnce(&Pace) -> AnyStore,
    steps: &[Step],
) -> std::result::Result<Outcomes, Box<Failure>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let pace = if settings.slow { Pace::slow() } else { Pace::swift() };
        let stage = Stage::new(settings.clone(), store(&pace));
        for (number, step) in steps.iter().enumerate() {
            pace.restart(step.seed);
            stage.history().log.push(vec![format!("step {number}, seed {}:", step.seed)]);
            let whys = stage.play(step).await;
            if !whys.is_empty() {
                let log = std::mem::take(&mut stage.history().log);
                return Err(Box::new(Failure { step: number, why: whys.join("\n"), log }));
            }
        }
        Ok(stage.outcomes.into_inner().unwrap())
    })
}

impl Stage {
    fn new(settings: Settings, store: AnyStore) -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let layer =
            if settings.shared { CacheLayer::shared(store) } else { CacheLayer::private(store) };
        let mut layer = layer.clock(clock.clone()).add_tag_headers(["surrogate-key"]).unwrap();
        let secs = Duration::from_secs;
        if let Some(limit) = settings.while_revalidate {
            layer = layer.stale_while_revalidate(secs(limit));
        }
        if let Some(limit) = settings.if_error {
            layer = layer.stale_if_error(secs(limit));
        }
        layer = match settings.http {
            true => layer.http_rules(),
            false => layer.expire_after(secs(FIXED_LIFETIME)),
        };
        let history: Arc<Mutex<History>> = Arc::default();
        history.lock().unwrap().clock_shows(clock.now().as_millis());
        let origin = Origin::new(history.clone());
        let service = layer.layer(service_fn(move |request| origin.clone().answer(request)));
        let send: Send = Box::new(move |request| Box::pin(service.clone().oneshot(request)));
        let (keys, answered, outcomes) = Default::default();
        Self { settings, history, layer, clock, send, keys, answered, outcomes }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    /// Runs all operations of the step at the same time. Returns the failures.
    async fn play(&self, step: &Step) -> Vec<String> {
        let ops = step.ops.iter().map(|timed| {
            Box::pin(async {
                sleep(timed.after).await;
                match &timed.op {
                    Op::Ask(ask) => self.ask(ask).await,
                    Op::Remove(removal) => self.remove(removal).await,
                    Op::Jump(seconds) => {
                        self.clock.advance(Duration::from_secs(*seconds));
                        let mut history = self.history();
                        history.clock_shows(self.clock.now().as_millis());
                        history.say(format!("the clock jumps by {seconds} s"));
                        Ok(())
                    }
                }
            })
        });
        let done = ops.collect::<FuturesUnordered<_>>().collect::<Vec<_>>();
        let Ok(done) = timeout(STRANDED, done).await else {
            return vec!["an operation does not end".to_owned()];
        };
        if timeout(STRANDED, self.layer.idle()).await.is_err() {
            return vec!["a refresh in the background does not end".to_owned()];
        }
        self.settle();
        done.into_iter().filter_map(std::result::Result::err).collect()
    }

    /// Records that the responses of background refreshes are processed by now.
    fn settle(&self) {
        let mut history = self.history();
        let now = history.tick();
        let answered = self.answered.lock().unwrap();
        let History { answers, versions, .. } = &mut *history;
        for answer in answers {
            let Some(at) = answered.get(&answer.ask) else { continue };
            answer.heard.get_or_insert(now);
            if let Kind::Full(version) = answer.kind
                && answer.answered > *at
                && !versions[version].breaks
            {
                answer.complete.get_or_insert(now);
            }
        }
    }

    async fn ask(&self, ask: &Ask) -> std::result::Result<(), String> {
        let id = {
            let mut history = self.history();
            let at = history.tick();
            let id = history.asks.len();
            history.say(format!("#{id} {ask}"));
            history.asks.push(Asked { ask: ask.clone(), at, calls: 0 });
            id
        };
        let request = self.request(ask, id).body(Empty::new()).unwrap();
        let sent = (self.send)(request);
        let answered = match ask.stop {
            Stop::Before(limit) => match timeout(limit, sent).await {
                Ok(answered) => answered,
                Err(_) => {
                    self.history().say(format!("#{id} went away"));
                    return Ok(());
                }
            },
            _ => sent.await,
        };
        match answered {
            Ok(response) => self.read(id, ask, response).await,
            Err(error) => {
                let mut history = self.history();
                history.heard(id);
                let at = history.tick();
                history.say(format!("#{id} got an error: {error}"));
                judge_error(&history, id, at).map_err(|why| format!("#{id}: {why}"))
            }
        }
    }

    fn request(&self, ask: &Ask, id: usize) -> request::Builder {
        let method = format!("{:?}", ask.method).to_uppercase();
        let mut request = request(&method, ask.path, ask.selects).header(ASK, id);
        let line = match ask.demand {
            Demand::NoCache => Some("no-cache".to_owned()),
            Demand::MaxAge(seconds) => Some(format!("max-age={seconds}")),
            Demand::MaxStale(seconds) => Some(format!("max-stale={seconds}")),
            Demand::NoStore => Some("no-store".to_owned()),
            Demand::NoCacheAndNoStore => Some("no-cache, no-store".to_owned()),
            _ => None,
        };
        if let Some(line) = line {
            request = request.header(header::CACHE_CONTROL, line);
        }
        if let Some((first, last)) = ask.range {
            let range = format!("bytes={}-{}", first * PIECE, (last + 1) * PIECE - 1);
            request = request.header(header::RANGE, range);
        }
        let options = CacheOptions::new();
        match ask.demand {
            Demand::Refresh => request.extension(options.refresh(true)),
            Demand::ForceRefresh => request.extension(options.force_refresh(true)),
            Demand::OnlyIfCached => request.extension(options.only_if_cached(true)),
            _ => request,
        }
    }

    async fn read(
        &self,
        id: usize,
        ask: &Ask,
        response: Response<ResponseBody<OriginBody>>,
    ) -> std::result::Result<(), String> {
        let (parts, mut body) = response.into_parts();
        let status: CacheStatus = parts.extensions.get().cloned().unwrap();
        let outcome = status.outcome();
        *self.outcomes.lock().unwrap().entry(outcome.name()).or_default() += 1;
        let line =
            |name: &str| parts.headers.get(name).map(|line| line.to_str().unwrap().to_owned());
        let version = line(VERSION).map(|line| line.parse().unwrap());
        let at = {
            let mut history = self.history();
            if !matches!(outcome, Outcome::Hit | Outcome::Stale(Stale::WhileRevalidate)) {
                history.heard(id);
            }
            let at = history.tick();
            self.answered.lock().unwrap().insert(id, at);
            let (status, end) = (parts.status.as_u16(), String::new());
            let version = version.map_or(end, |version: usize| format!(" v{version}"));
            history.say(format!("#{id} got {status}{version}, {outcome}"));
            at
        };

        let mut rng = Rng::new(ask.seed);
        let is_slow = rng.percent(25);
        let (mut read, mut frames) = (Vec::new(), 0);
        let end = loop {
            if ask.stop == Stop::Frames(frames) {
                break End::Stopped;
            }
            if is_slow {
                sleep(Duration::from_millis(rng.below(12))).await;
            }
            match body.frame().await {
                None => break End::Whole,
                Some(Err(error)) => break End::Broken(format!("{error:?}")),
                Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().unwrap()),
            }
            frames += 1;
        };
        drop(body);

        let mut history = self.history();
        let now = history.tick();
        let is_stored = status.stored() == Stored::Yes;
        history.say(format!("#{id} read {} bytes: {end:?}, {:?}", read.len(), status.stored()));
        if let Some(version) = version
            && end == End::Whole
        {
            for answer in &mut history.answers {
                if answer.kind == Kind::Full(version) && answer.method == ask.method {
                    answer.complete.get_or_insert(now);
                    answer.is_stored |= is_stored;
                }
            }
        }
        if let (Some(version), Some(key)) = (version, status.key())
            && (is_stored || status.is_from_store())
        {
            self.keys.lock().unwrap().insert(ask.path, key);
            let keys = history.keys.entry(version).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let got = Got {
            ask: id,
            at,
            status: parts.status.as_u16(),
            version,
            range: line("content-range"),
            body: read.into(),
            end,
        };
        let verdict = judge(&history, &self.settings, &got);
        verdict.map_err(|why| format!("#{id} {ask}, version {version:?}: {why}"))
    }

    async fn remove(&self, removal: &Removal) -> std::result::Result<(), String> {
        let key = match removal {
            Removal::Key(path) => match self.keys.lock().unwrap().get(path) {
                Some(key) => Some(*key),
                None => return Ok(()),
            },
            _ => None,
        };
        let id = {
            let mut history = self.history();
            let (id, from) = (history.removals.len(), history.tick());
            history.removals.push(Removed { what: removal.clone(), key, from, to: None });
            history.say(format!("removal {id}: {removal:?}"));
            id
        };
        let removed = self.removed(removal, key).await;
        let mut history = self.history();
        let to = history.tick();
        history.removals[id].to = Some(to);
        history.say(format!("removal {id} ends: {removed:?}"));
        removed.map(|_| ()).map_err(|error| format!("removal {id}: {error:?}"))
    }

    async fn removed(&self, removal: &Removal, key: Option<Key>) -> Result<u64> {
        let entries = self.layer.entries();
        let expire = |expiration: Expiration| {
            let entries = entries.clone();
            async move { entries.reset_expiration(expiration, |_| {}).await }
        };
        let filter = match removal {
            Removal::Where(path) => Filter::new().url(&format!("origin.test/{path}")).unwrap(),
            Removal::WhereExpired => Filter::new().expired(true),
            Removal::WhereOlder(seconds) => Filter::new().older_than(Duration::from_secs(*seconds)),
            Removal::Url(path) => return entries.remove(url(*path)).await,
            Removal::Request(path, selects) => {
                let request = request("GET", *path, *selects).body(()).unwrap();
                return entries.remove(&request).await;
            }
            Removal::Key(_) => return entries.remove(key.unwrap()).await,
            Removal::Tag(tag) => return entries.remove_tag(&format!("t{tag}")).await,
            Removal::Expired => return entries.remove_expired().await,
            Removal::Clear => return entries.clear().await.map(|()| 0),
            Removal::Reset(seconds) => return expire(Duration::from_secs(*seconds).into()).await,
            Removal::ResetToDoNotStore => return expire(Expiration::DoNotStore).await,
        };
        entries.remove_where(&filter, |_| {}).await
    }
}

fn url(path: u8) -> String {
    format!("http://origin.test/{path}")
}

fn request(method: &str, path: u8, selects: Selects) -> request::Builder {
    let mut request = Request::builder().method(method).uri(url(path));
    if let Some(accept) = selects.accept {
        request = request.header(header::ACCEPT, format!("text/{accept}"));
    }
    if let Some(user) = selects.user {
        request = request.header(header::AUTHORIZATION, format!("user {user}"));
    }
    request
}
