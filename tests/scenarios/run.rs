//! Plays the scenarios, and reports the lines that do not match.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, CacheOptions, CacheStatus, Expiration, Stored,
    store::{AnyStore, Memory},
    time::{ManualClock, Timestamp},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::script::{Exchange, Message, Origin, Step, parse};

/// A scope and a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Under {
    PrivateFixed,
    SharedFixed,
    PrivateHttp,
    SharedHttp,
}

impl Under {
    pub(crate) const ALL: &'static [Self] =
        &[Self::PrivateFixed, Self::SharedFixed, Self::PrivateHttp, Self::SharedHttp];
    pub(crate) const HTTP: &'static [Self] = &[Self::PrivateHttp, Self::SharedHttp];
    pub(crate) const FIXED: &'static [Self] = &[Self::PrivateFixed, Self::SharedFixed];

    /// Under the fixed policy, a response is fresh for a minute.
    fn layer(self, store: AnyStore) -> CacheLayer<AnyStore> {
        let minute = Duration::from_secs(60);
        match self {
            Self::PrivateFixed => CacheLayer::private(store).expire_after(minute),
            Self::SharedFixed => CacheLayer::shared(store).expire_after(minute),
            Self::PrivateHttp => CacheLayer::private(store).http_rules(),
            Self::SharedHttp => CacheLayer::shared(store).http_rules(),
        }
    }
}

/// A row of the table.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) under: &'static [Under],
    pub(crate) set: fn(CacheLayer<AnyStore>) -> CacheLayer<AnyStore>,
    pub(crate) script: &'static str,
}

/// Leaves the settings unchanged.
pub(crate) fn plain(layer: CacheLayer<AnyStore>) -> CacheLayer<AnyStore> {
    layer
}

fn stores() -> Vec<(&'static str, AnyStore)> {
    vec![
        ("memory", AnyStore::new(Memory::default())),
        #[cfg(feature = "redb")]
        ("redb", AnyStore::new(larder::store::Redb::temporary().unwrap())),
        #[cfg(feature = "sqlite")]
        ("sqlite", AnyStore::new(larder::store::Sqlite::temporary().unwrap())),
    ]
}

/// Plays each scenario under each of its policies and over each store. Fails with the lines that do
/// not match.
pub(crate) async fn play(table: &[Scenario]) {
    let mut failures = String::new();
    for scenario in table {
        // Each failure is reported once, with the policies and stores where it was seen.
        let mut seen = BTreeMap::<String, Vec<String>>::new();
        for under in scenario.under {
            for (name, store) in stores() {
                if let Err(failure) = play_one(scenario, *under, store).await {
                    seen.entry(failure).or_default().push(format!("{under:?}/{name}"));
                }
            }
        }
        for (failure, places) in seen {
            failures += &format!("\n{} ({})\n{failure}\n", scenario.name, places.join(", "));
        }
    }
    assert!(failures.is_empty(), "these lines do not match:\n{failures}");
}

/// A store, and a function that makes it full or lets it store responses again.
type Breakable = (AnyStore, Box<dyn Fn(bool)>);

#[cfg(feature = "conformance")]
fn breakable(store: AnyStore) -> Breakable {
    use larder::store::{
        ErrorKind,
        conformance::{Faulty, Operation},
    };
    let faulty = Faulty::new(store);
    let store = AnyStore::new(faulty.clone());
    let set_full = move |is_full| match is_full {
        true => faulty.fail(Operation::Put, ErrorKind::Full),
        false => faulty.heal(),
    };
    (store, Box::new(set_full))
}

#[cfg(not(feature = "conformance"))]
fn breakable(store: AnyStore) -> Breakable {
    (store, Box::new(|_| panic!("a full store takes the feature `conformance`")))
}

/// The origin's next answers, and the requests that it received.
#[derive(Default)]
struct Script {
    answers: VecDeque<Option<Message>>,
    seen: Vec<HeaderMap>,
}

async fn play_one(scenario: &Scenario, under: Under, store: AnyStore) -> Result<(), String> {
    let mut now = 1_700_000_000_u64;
    let clock = ManualClock::new(Timestamp::from_millis(now * 1000));
    let (store, set_full) = breakable(store);
    let layer = (scenario.set)(under.layer(store)).clock(clock.clone());
    let origin = Arc::new(Mutex::new(Script::default()));
    let said = origin.clone();
    let inner = service_fn(move |request: Request<larder::RequestBody<Full<Bytes>>>| {
        let said = said.clone();
        async move {
            let mut said = said.lock().unwrap();
            said.seen.push(request.headers().clone());
            match said.answers.pop_front() {
                Some(Some(message)) => Ok(response(&message, request.method())),
                Some(None) | None => Err("error"),
            }
        }
    });
    let service = layer.layer(inner.clone());
    let reader = layer.clone().read_only(true).layer(inner);
    for (line, step) in parse(scenario.script) {
        let exchange = match step {
            Step::Settle => {
                layer.idle().await;
                continue;
            }
            Step::Purge(path) => {
                layer.entries().remove(format!("http://a{path}")).await.unwrap();
                continue;
            }
            Step::StoreIsFull(is_full) => {
                set_full(is_full);
                continue;
            }
            Step::Exchange(exchange) => exchange,
        };
        now = now.checked_add_signed(exchange.wait).unwrap();
        clock.set(Timestamp::from_millis(now * 1000));
        {
            let mut origin = origin.lock().unwrap();
            origin.seen.clear();
            origin.answers = match &exchange.origin {
                Origin::NotAsked => VecDeque::new(),
                Origin::Fails => [None].into(),
                Origin::Answers(message) => [Some(message.clone())].into(),
            };
        }
        let mut request =
            Request::builder().method(&*exchange.method).uri(format!("http://a{}", exchange.path));
        for (name, value) in &exchange.fields {
            request = request.header(name, value);
        }
        let (mut options, mut service) = (CacheOptions::new(), service.clone());
        for option in &exchange.options {
            options = match &**option {
                "!refresh" => options.refresh(true),
                "!force-refresh" => options.force_refresh(true),
                "!no-store" => options.no_store(true),
                "!do-not-store" => options.expire_after(Expiration::DoNotStore),
                "!read-only" => {
                    service = reader.clone();
                    options
                }
                other => panic!("{other} is not an option: {line}"),
            };
        }
        request = request.extension(options);
        let reply = service.oneshot(request.body(Full::default()).unwrap()).await;
        let got = match reply {
            Ok(reply) => read(reply).await,
            Err(error) => Got { text: error.to_owned(), ..Got::default() },
        };
        // A refresh in the background may be running.
        layer.idle().await;
        let seen = origin.lock().unwrap().seen.clone();
        check(&exchange, &got, &seen).map_err(|why| format!("  {line}\n  {why}"))?;
    }
    Ok(())
}

fn response(message: &Message, method: &http::Method) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(message.status);
    for (name, value) in &message.fields {
        response = response.header(name, value);
    }
    let has_length = message.fields.iter().any(|(name, _)| name == "content-length");
    let bodiless = *method == http::Method::HEAD || matches!(message.status, 204 | 304);
    if !has_length && !bodiless {
        response = response.header("content-length", message.body.len());
    }
    let body = if bodiless { String::new() } else { message.body.clone() };
    response.body(Full::from(body)).unwrap()
}

#[derive(Debug, Default)]
struct Got {
    status: u16,
    fields: HeaderMap,
    text: String,
    outcome: String,
    stored: String,
}

async fn read<B>(response: Response<B>) -> Got
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let status: &CacheStatus = parts.extensions.get().unwrap();
    Got {
        status: parts.status.as_u16(),
        fields: parts.headers,
        text: String::from_utf8(body.into()).unwrap(),
        outcome: status.outcome().to_string(),
        stored: match status.stored() {
            Stored::Yes => "stored".to_owned(),
            Stored::No(refusal) => refusal.to_string(),
            other => format!("{other:?}"),
        },
    }
}

fn check(exchange: &Exchange, got: &Got, seen: &[HeaderMap]) -> Result<(), String> {
    let expected = &exchange.expected;
    let asked = usize::from(!matches!(exchange.origin, Origin::NotAsked));
    if seen.len() != asked {
        return Err(format!("the origin was asked {} times: {got:?}", seen.len()));
    }
    if (got.status, &got.text) != (expected.status, &expected.body) {
        return Err(format!("{} {:?}: {got:?}", got.status, got.text));
    }
    let first_word = got.outcome.split(' ').next().unwrap_or_default();
    if exchange.outcome != got.outcome && exchange.outcome != first_word {
        return Err(format!("outcome {}", got.outcome));
    }
    if exchange.stored.as_ref().is_some_and(|stored| *stored != got.stored) {
        return Err(format!("stored: {}", got.stored));
    }
    let of = |fields: &HeaderMap, name: &str| -> Vec<String> {
        let lines = fields.get_all(name).iter();
        lines.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    for (name, value) in &expected.fields {
        let lines = of(&got.fields, name);
        let is_there = if value == "none" { lines.is_empty() } else { lines.contains(value) };
        if !is_there {
            return Err(format!("{name}: {lines:?}"));
        }
    }
    for (name, value) in &exchange.sees {
        let lines = of(&seen[0], name);
        let is_there = value.as_ref().map_or(lines.is_empty(), |value| lines.contains(value));
        if !is_there {
            return Err(format!("the origin saw {name}: {lines:?}"));
        }
    }
    Ok(())
}
