//! The origin: it answers at random, and the history remembers its answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, header};
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use larder::{BoxError, RequestBody};

use crate::{
    history::{Answer, CacheControl, History, Kind, Said, Vary, Version},
    plan::{Method, Selects, TAGS},
    rng::Rng,
};

pub(crate) type OriginBody = UnsyncBoxBody<Bytes, BoxError>;

/// The error of the inner service.
pub(crate) const ERROR: &str = "the origin failed";

/// The field with the index of the request.
pub(crate) const ASK: &str = "x-ask";
/// The field with the version of the response.
pub(crate) const VERSION: &str = "x-version";

/// The bytes of a piece of a body.
pub(crate) const PIECE: u64 = 8;

#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) history: Arc<Mutex<History>>,
    /// The current version for each path and selecting field.
    current: Arc<Mutex<HashMap<Place, Version>>>,
}

/// A path, and the `Accept` of its requests.
type Place = (u8, Option<u8>);

/// The state of a request at the origin.
struct Call {
    ask: usize,
    method: Method,
    path: u8,
    selects: Selects,
    rng: Rng,
    asked: u64,
}

impl Origin {
    pub(crate) fn new(history: Arc<Mutex<History>>) -> Self {
        Self { history, current: Arc::default() }
    }

    pub(crate) async fn answer(
        self,
        request: Request<RequestBody<Empty<Bytes>>>,
    ) -> Result<Response<OriginBody>, &'static str> {
        let ask: usize = request.headers()[ASK].to_str().unwrap().parse().unwrap();
        let (mut call, range) = {
            let mut history = self.history.lock().unwrap();
            let asked = history.tick();
            let known = &mut history.asks[ask];
            known.calls += 1;
            let rng = Rng::new(known.ask.seed.wrapping_add(known.calls));
            // A refresh in the background may have another method.
            let method = match request.method().as_str() {
                "GET" => Method::Get,
                "HEAD" => Method::Head,
                _ => Method::Post,
            };
            let (path, selects, range) = (known.ask.path, known.ask.selects, known.ask.range);
            let range = range.filter(|_| request.headers().contains_key(header::RANGE));
            (Call { ask, method, path, selects, rng, asked }, range)
        };
        if call.rng.percent(50) {
            tokio::time::sleep(Duration::from_millis(1 + call.rng.below(15))).await;
        }
        let mut history = self.history.lock().unwrap();
        let answered = history.tick();
        let (kind, said) = self.choose(&mut call, request.headers(), range.is_some(), &mut history);
        let line = self.describe(&call, kind, said, &history);
        history.say(line);
        history.answers.push(Answer {
            ask,
            method: call.method,
            path: call.path,
            selects: call.selects,
            asked: call.asked,
            answered,
            heard: None,
            complete: None,
            is_stored: false,
            kind,
            said,
        });
        match kind {
            Kind::Error => Err(ERROR),
            kind => Ok(response(&mut call, kind, said, range, &history)),
        }
    }

    fn describe(&self, call: &Call, kind: Kind, said: Said, history: &History) -> String {
        let status = match kind {
            Kind::Full(version) => history.versions[version].status.to_string(),
            Kind::Part(_) => "206".to_owned(),
            Kind::NotModified(_) => "304".to_owned(),
            Kind::Error => return format!("#{} origin: error", call.ask),
        };
        let version = match kind {
            Kind::Full(version) | Kind::Part(version) | Kind::NotModified(version) => version,
            Kind::Error => unreachable!(),
        };
        let breaks = if history.versions[version].breaks { " breaks" } else { "" };
        let Said { cache, vary, tags, sets_cookie, etag, last_modified } = said;
        let etag = if etag { " etag" } else { "" };
        let last_modified = if last_modified { " last-modified" } else { "" };
        let cookie = if sets_cookie { " set-cookie" } else { "" };
        let cache = cache.line().unwrap_or_default();
        format!(
            "#{} origin, asked at {}: {status} v{version} {cache:?} vary={vary:?} tags={tags:b}\
             {etag}{last_modified}{cookie}{breaks}",
            call.ask, call.asked
        )
    }

    /// Chooses an answer.
    fn choose(
        &self,
        call: &mut Call,
        fields: &HeaderMap,
        is_range: bool,
        history: &mut History,
    ) -> (Kind, Said) {
        let rng = &mut call.rng;
        let said = said(rng, call.path);
        let nothing = Said {
            cache: CacheControl::Nothing,
            etag: false,
            last_modified: false,
            sets_cookie: false,
            ..said
        };
        let status = rng.weighted(&[
            (73, 200),
            (9, 0),
            (4, 503),
            (2, 500),
            (2, 429),
            (2, 400),
            (2, 404),
            (1, 410),
            (1, 451),
            (2, 403),
            (1, 401),
            (1, 301),
        ]);
        let pieces = rng.weighted(&[(30, 1), (30, 4), (30, 9), (4, 700), (1, 4600)]);
        let pieces = if pieces > 9 { pieces } else { 1 + rng.below(pieces) };
        if call.method == Method::Post {
            let status = if status == 200 { 200 } else { 500 };
            return (Kind::Full(history.add_version(status, 1, false)), nothing);
        }
        match status {
            0 => return (Kind::Error, nothing),
            200 => {}
            400 | 429 | 500.. => {
                return (Kind::Full(history.add_version(status, 1, false)), nothing);
            }
            _ => {
                let said = Said { etag: false, last_modified: false, ..said };
                return (Kind::Full(history.add_version(status, 2, false)), said);
            }
        }
        let mut current = self.current.lock().unwrap();
        let place = (call.path, call.selects.accept);
        let unchanged = current.get(&place).copied().filter(|_| rng.percent(70));
        if let Some(version) = unchanged {
            let is = |name, value: String| fields.get(name).is_some_and(|line| *line == *value);
            let is_asked = if fields.contains_key(header::IF_NONE_MATCH) {
                is(header::IF_NONE_MATCH, etag(version))
            } else {
                is(header::IF_MODIFIED_SINCE, last_modified(version))
            };
            let born = history.born(version).said;
            let said = Said { etag: born.etag, last_modified: born.last_modified, ..said };
            // Fields that it leaves out stay as they were.
            let keeps_vary = rng.percent(90) || said.vary == Vary::Nothing;
            let vary = if keeps_vary { born.vary } else { said.vary };
            let cache = match said.cache {
                CacheControl::Nothing | CacheControl::SharedMaxAge(_) => CacheControl::MaxAge(5),
                cache => cache,
            };
            let said = Said { cache, ..said };
            if is_asked {
                return (Kind::NotModified(version), Said { vary, ..said });
            }
            if call.method == Method::Head {
                return (Kind::Full(version), Said { etag: true, vary, ..said });
            }
        }
        let breaks = call.method == Method::Get && rng.percent(6);
        let version = history.add_version(200, pieces, breaks);
        if said.vary == Vary::Accept {
            current.insert(place, version);
        } else {
            for accept in [None, Some(0), Some(1)] {
                current.insert((call.path, accept), version);
            }
        }
        if call.method == Method::Head {
            return (Kind::Full(version), Said { etag: true, ..said });
        }
        let kind =
            if is_range && rng.percent(85) { Kind::Part(version) } else { Kind::Full(version) };
        (kind, said)
    }
}

fn said(rng: &mut Rng, path: u8) -> Said {
    let cache = rng.weighted(&[
        (32, CacheControl::MaxAge(30)),
        (10, CacheControl::MaxAge(5)),
        (10, CacheControl::Public(60)),
        (5, CacheControl::SharedMaxAge(20)),
        (6, CacheControl::MustRevalidate(10)),
        (6, CacheControl::StaleWhileRevalidate(10, 20)),
        (6, CacheControl::StaleIfError(10, 40)),
        (8, CacheControl::Nothing),
        (6, CacheControl::Private(40)),
        (6, CacheControl::NoStore),
        (5, CacheControl::NoCache),
    ]);
    let varies = match path {
        0 => 0,
        1 => 100,
        2 => 10,
        _ => 85,
    };
    let vary = match () {
        () if rng.percent(2) => Vary::Anything,
        () if rng.percent(varies) => Vary::Accept,
        () => Vary::Nothing,
    };
    let has_lifetime = !matches!(cache, CacheControl::Nothing | CacheControl::SharedMaxAge(_));
    Said {
        cache,
        vary,
        tags: u8::try_from(rng.below(1 << TAGS)).unwrap(),
        sets_cookie: rng.percent(4),
        etag: rng.percent(70),
        // If nothing else gave a response its freshness, this field would (heuristically).
        last_modified: has_lifetime && rng.percent(40),
    }
}

fn etag(version: Version) -> String {
    format!("\"v{version}\"")
}

fn last_modified(version: Version) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(1_600_000_000 + version as u64))
}

fn response(
    call: &mut Call,
    kind: Kind,
    said: Said,
    range: Option<(u64, u64)>,
    history: &History,
) -> Response<OriginBody> {
    let (status, version) = match kind {
        Kind::Full(version) => (history.versions[version].status, version),
        Kind::Part(version) => (206, version),
        Kind::NotModified(version) => (304, version),
        Kind::Error => unreachable!("an error is no response"),
    };
    let mut response = Response::builder().status(status).header(VERSION, version);
    if let Some(line) = said.cache.line() {
        response = response.header(header::CACHE_CONTROL, line);
    }
    match said.vary {
        Vary::Nothing => {}
        Vary::Accept => response = response.header(header::VARY, "accept"),
        Vary::Anything => response = response.header(header::VARY, "*"),
    }
    let tags: Vec<_> =
        (0..TAGS).filter(|tag| said.tags & 1 << tag != 0).map(|tag| format!("t{tag}")).collect();
    // Each answer names all of its tags.
    response = response.header("surrogate-key", tags.join(" "));
    if said.sets_cookie {
        response = response.header(header::SET_COOKIE, "a=1");
    }
    if said.etag {
        response = response.header(header::ETAG, etag(version));
    }
    if said.last_modified {
        response = response.header(header::LAST_MODIFIED, last_modified(version));
    }
    if status == 301 {
        response = response.header(header::LOCATION, "/elsewhere");
    }
    let content = &history.versions[version];
    let mut body = content.body.clone();
    let rng = &mut call.rng;
    if let (Kind::Part(_), Some((first, last))) = (kind, range) {
        let all = body.len() as u64;
        let first = (first * PIECE).min(all - PIECE);
        let end = ((last + 1) * PIECE).min(all);
        let line = format!("bytes {first}-{}/{all}", end - 1);
        response = response.header(header::CONTENT_RANGE, line);
        body = body.slice(usize::try_from(first).unwrap()..usize::try_from(end).unwrap());
    }
    if status == 304 || call.method == Method::Head {
        return response.body(UnsyncBoxBody::new(none())).unwrap();
    }
    if rng.percent(70) {
        response = response.header(header::CONTENT_LENGTH, body.len());
    }
    response.body(frames(rng, body, content.breaks)).unwrap()
}

fn none() -> impl http_body::Body<Data = Bytes, Error = BoxError> {
    http_body_util::BodyExt::map_err(Full::new(Bytes::new()), |never| match never {})
}

/// The body in a few frames, each after a delay. If the body breaks, it ends in an error.
fn frames(rng: &mut Rng, body: Bytes, breaks: bool) -> OriginBody {
    let mut rng = rng.clone();
    let whole = body.len();
    let frames = stream::unfold(Some(body), move |rest| {
        let (percent, millis, cut) = (rng.percent(40), 1 + rng.below(10), rng.below(6));
        async move {
            let mut rest = rest?;
            if percent {
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            let is_last = rest.len() <= 3 * whole / 4;
            if is_last && breaks {
                return Some((Err(BoxError::from("the body broke off")), None));
            }
            if rest.is_empty() {
                return None;
            }
            let size = usize::try_from(1 + whole as u64 * cut / 6).unwrap().min(rest.len());
            let chunk = rest.split_to(size);
            Some((Ok(Frame::data(chunk)), Some(rest)))
        }
    });
    UnsyncBoxBody::new(StreamBody::new(frames))
}
