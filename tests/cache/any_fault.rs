//! Each operation of the store fails in turn. Every request is answered correctly, and nothing
//! wrong is served afterwards.
//!
//! A workload is run repeatedly, and another operation of the store fails in each run. The runs end
//! when a workload has fewer operations than that.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future;
use http::{Method, Request, Response, request};
use larder::{
    Outcome,
    status::Miss,
    store::{self, ErrorKind, Memory, Store, Tiered},
};

use crate::support::{Double, Faulty, Reply, Stand, channel, get, head, line, ok, tagged, url};

const HOUR: Duration = Duration::from_secs(3600);

/// The revision of everything that the origin has.
#[derive(Clone, Default)]
pub(crate) struct Revision(Arc<AtomicUsize>);

impl Revision {
    pub(crate) fn next(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn large(revision: usize) -> String {
    (0..5).map(|chunk| format!("{revision} {chunk} ").repeat(16_384)).collect()
}

fn origin(revision: &Revision) -> Double {
    let revision = revision.clone();
    Double::new(move |request, _| {
        let now = revision.now();
        let path = request.uri().path();
        if request.method() == Method::HEAD {
            return ok("");
        }
        match path {
            "/large" => {
                // In chunks, without a length that is known in advance.
                let (sender, body) = channel();
                for chunk in large(now).as_bytes().chunks(64 << 10) {
                    sender.send(String::from_utf8_lossy(chunk).into_owned());
                }
                Response::new(body)
            }
            "/tagged" => tagged(&request, &format!("\"{now}\""), &format!("/tagged {now}")),
            "/vary" => {
                let value =
                    request.headers().get("x-a").map_or("", |value| value.to_str().unwrap());
                line(ok(format!("/vary {value} {now}")), "vary", "x-a")
            }
            _ => ok(format!("{path} {now}")),
        }
    })
}

/// One run of the workload. It checks each answer.
struct Run<'a, B> {
    stand: &'a Stand<B>,
    revision: &'a Revision,
    /// Whether operations of the store may fail.
    is_faulty: bool,
}

impl<B: Store> Run<'_, B> {
    /// Sends the request, and checks that the answer is one of `expected`. A stored body may break
    /// off with an error of the store. A body without an error is complete.
    async fn ask(&self, request: request::Builder, expected: &[String]) -> Reply {
        let reply = self.stand.ask(request).await;
        let is_right = |expected: &&String| match &reply.error {
            None => reply.body == expected.as_bytes(),
            Some(error) => {
                let error = error.downcast_ref::<store::Error>().expect("an error of the store");
                assert!(self.is_faulty, "{error}");
                expected.as_bytes().starts_with(&reply.body) && reply.body.len() < expected.len()
            }
        };
        assert!(expected.iter().any(|expected| is_right(&expected)), "{reply:?}");
        if !self.is_faulty {
            let failed = matches!(reply.outcome(), Outcome::Miss(Miss::StoreFailed(_)));
            assert!(!failed && reply.error.is_none(), "{reply:?}");
        }
        reply
    }

    /// Requests `path`, and expects what the origin has now.
    async fn now(&self, path: &str) -> Reply {
        let now = self.revision.now();
        let text = if path == "/large" { large(now) } else { format!("{path} {now}") };
        self.ask(get(path), &[text]).await
    }

    async fn vary(&self, value: &str) {
        let text = format!("/vary {value} {}", self.revision.now());
        self.ask(get("/vary").header("x-a", value), &[text]).await;
    }

    async fn run(&self) {
        // Everything that is stored is stale, and the origin's responses have changed.
        self.stand.clock.advance(2 * HOUR);
        self.revision.next();
        for path in ["/plain", "/large", "/tagged"] {
            self.now(path).await;
            let again = self.now(path).await;
            assert!(self.is_faulty || again.is_from_store(), "{path}");
        }
        self.ask(head("/plain"), &[String::new()]).await;
        self.ask(head("/head"), &[String::new()]).await;
        for value in ["1", "2", "1"] {
            self.vary(value).await;
        }
        let (one, other) = future::join(self.now("/both"), self.now("/both")).await;
        assert!(
            self.is_faulty || one.is_from_store() != other.is_from_store() || !one.is_from_store()
        );

        // The stored response expires unchanged. Then it expires again, and has changed.
        self.stand.clock.advance(2 * HOUR);
        self.now("/tagged").await;
        self.stand.clock.advance(2 * HOUR);
        self.revision.next();
        self.now("/tagged").await;
        self.now("/tagged").await;

        // The entry is removed. `Ok` means that it is gone.
        let text = |path: &str| format!("{path} {}", self.revision.now());
        self.now("/plain").await;
        let old = text("/plain");
        let removed = self.stand.layer.entries().remove(&url("/plain")).await;
        self.revision.next();
        match removed {
            Ok(_) => drop(self.now("/plain").await),
            Err(_) => drop(self.ask(get("/plain"), &[text("/plain"), old]).await),
        }
        let now = text("/plain");
        let before = format!("/plain {}", self.revision.now() - 1);
        self.ask(get("/plain"), &[now.clone(), before]).await;
        let errors = self.stand.layer.stats().store_errors;
        self.ask(Request::post(url("/plain")), &[now]).await;
        self.revision.next();
        if self.stand.layer.stats().store_errors == errors {
            self.now("/plain").await;
        }
        // A store that hangs makes this call hang. No request waits for it.
        let cleared = self.stand.layer.entries();
        let cleared = tokio::time::timeout(HOUR, cleared.clear()).await;
        let is_cleared = matches!(cleared, Ok(Ok(())));
        assert!(self.is_faulty || is_cleared);
        self.revision.next();
        if is_cleared {
            self.now("/large").await;
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Fail,
    FailFrom,
    Lose,
    Hang,
    HangFrom,
}

/// A sequence of requests to a cache over a store that may fail.
pub(crate) trait Workload<B> {
    /// A cache over `store`, in front of an origin with this `revision`.
    fn stand(store: B, revision: &Revision) -> Stand<B>;

    /// Runs the workload once. `is_faulty` says whether operations of the store may fail.
    async fn run(stand: &Stand<B>, revision: &Revision, is_faulty: bool);
}

/// Responses expire after a set time, without the HTTP rules.
struct ByTime;

impl<B: Store> Workload<B> for ByTime {
    fn stand(store: B, revision: &Revision) -> Stand<B> {
        let stand = Stand::over(store, origin(revision));
        stand.with(|layer| layer.expire_after(HOUR).keep_expired(24 * HOUR))
    }

    async fn run(stand: &Stand<B>, revision: &Revision, is_faulty: bool) {
        Run { stand, revision, is_faulty }.run().await;
    }
}

async fn every_fault<B: Store, X: Store>(
    make: impl Fn() -> (B, Faulty<X>),
    faults: &[(Way, ErrorKind)],
) {
    every_fault_of::<ByTime, _, _>(make, faults).await;
}

/// Runs the workload with each operation of `make`'s second store failing in turn.
pub(crate) async fn every_fault_of<L: Workload<B>, B: Store, X: Store>(
    make: impl Fn() -> (B, Faulty<X>),
    faults: &[(Way, ErrorKind)],
) {
    for (pending, &(way, kind)) in faults.iter().enumerate() {
        let mut nth = 1;
        loop {
            let (store, faulty) = make();
            // In some runs, each operation is pending once or twice before it begins.
            faulty.wait(pending % 3);
            let revision = Revision::default();
            let stand = L::stand(store, &revision);
            match way {
                Way::Fail => faulty.fail_nth(nth, kind),
                Way::FailFrom => faulty.fail_from(nth, kind),
                Way::Lose => faulty.lose_nth(nth, kind),
                Way::Hang => faulty.hang_nth(nth),
                Way::HangFrom => faulty.hang_from(nth),
            }
            L::run(&stand, &revision, true).await;
            let is_over = faulty.operations() < nth;
            faulty.heal();
            if matches!(way, Way::Hang | Way::HangFrom) {
                // After a timeout, the store is spared for as long as the limit.
                tokio::time::sleep(LIMIT).await;
            }
            L::run(&stand, &revision, false).await;
            assert_eq!(stand.layer.stats().in_flight, 0, "{way:?} {kind:?} at {nth}");
            if is_over {
                break;
            }
            nth += 1;
        }
        assert!(nth > 30, "the workload has only {nth} operations");
    }
}

pub(crate) const ALL: [(Way, ErrorKind); 6] = [
    (Way::Fail, ErrorKind::Unavailable),
    (Way::Fail, ErrorKind::Corrupt),
    (Way::Fail, ErrorKind::Full),
    (Way::FailFrom, ErrorKind::Unavailable),
    (Way::FailFrom, ErrorKind::Corrupt),
    (Way::Lose, ErrorKind::Unavailable),
];

/// The time limit of the store.
const LIMIT: Duration = Duration::from_secs(2);

/// These are run in virtual time, over a store with a time limit, which turns a hang into an error.
pub(crate) const HANGS: [(Way, ErrorKind); 2] =
    [(Way::Hang, ErrorKind::Unavailable), (Way::HangFrom, ErrorKind::Unavailable)];

pub(crate) fn around<S: Store>(store: S) -> (Faulty<S>, Faulty<S>) {
    let store = Faulty::new(store);
    (store.clone(), store)
}

#[tokio::test]
async fn every_fault_of_memory_is_survived() {
    every_fault(|| around(Memory::default()), &ALL).await;
}

pub(crate) fn limited<S: Store>(store: S) -> (store::Timeout<Faulty<S>>, Faulty<S>) {
    let (store, faulty) = around(store);
    (store::Timeout::new(store, LIMIT).unwrap(), faulty)
}

#[tokio::test(start_paused = true)]
async fn every_fault_and_hang_of_a_store_with_a_time_limit_is_survived() {
    every_fault(|| limited(Memory::default()), &ALL).await;
    every_fault(|| limited(Memory::default()), &HANGS).await;
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn every_fault_of_redb_is_survived() {
    let redb = || larder::store::Redb::temporary().unwrap();
    every_fault(|| around(redb()), &[ALL[0], ALL[4], ALL[5]]).await;
}

#[tokio::test]
async fn every_fault_of_both_tiers_is_survived() {
    every_fault(|| around(Tiered::new(Memory::default(), Memory::default())), &ALL).await;
}

#[tokio::test]
async fn every_fault_of_the_near_tier_is_survived() {
    let tiers = || {
        let (near, faulty) = around(Memory::default());
        (Tiered::new(near, Memory::default()), faulty)
    };
    every_fault(tiers, &ALL).await;
}

#[tokio::test]
async fn every_fault_of_the_far_tier_is_survived() {
    let tiers = || {
        let (far, faulty) = around(Memory::default());
        (Tiered::new(Memory::default(), far), faulty)
    };
    every_fault(tiers, &ALL).await;
}

/// Hardly anything fits into the near tier, and `near_ttl` is zero, so it is hardly used.
#[tokio::test]
async fn every_fault_of_the_far_tier_behind_a_tiny_near_one_is_survived() {
    let tiers = || {
        let (far, faulty) = around(Memory::default());
        (Tiered::new(Memory::new(20_000), far).near_ttl(Duration::ZERO), faulty)
    };
    every_fault(tiers, &ALL).await;
}

#[cfg(feature = "compression")]
#[tokio::test]
async fn every_fault_under_compression_is_survived() {
    let compressed = || {
        let (inner, faulty) = around(Memory::default());
        (store::Compressed::new(inner), faulty)
    };
    every_fault(compressed, &ALL).await;
}
