//! Whichever operation of the store fails under the HTTP rules, with parts that are put together, variants, and
//! what other methods say of what is stored: every request is answered rightly, and nothing stale or mixed is served.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request};
use larder::{
    Outcome,
    status::Miss,
    store::{self, Memory, Store},
};

use crate::{
    any_fault::{ALL, Life, Revision, around, every_fault_of},
    support::{Double, Reply, Stand, TestBody, get, head, line, ok, tagged, url},
};

/// Longer than what comes is fresh.
const LATER: Duration = Duration::from_secs(120);

/// A text of 30 bytes, of which every five name their revision and their place.
fn text(revision: usize) -> String {
    (0..6).map(|place| format!("{revision:03}{place};")).collect()
}

/// The first two of these ask for one and the same.
fn vary(value: &str, revision: usize) -> String {
    let of = if value == "de" { "other" } else { "one" };
    format!("{of} {revision}")
}

fn origin(revision: &Revision) -> Double {
    let revision = revision.clone();
    Double::new(move |request, _| {
        let now = revision.now();
        let response = match request.uri().path() {
            "/parts" => parts(&request, now),
            "/vary" => {
                let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
                let text = vary(&language, now);
                let asked = request.headers().get("if-none-match");
                let tag = format!("\"{text}\"");
                // A cache that has several names them all.
                let is_known = asked.is_some_and(|it| it.to_str().unwrap().contains(&tag));
                let response = if is_known { crate::support::not_modified() } else { ok(text) };
                let response = line(response, "content-language", &language[..2]);
                line(line(response, "etag", tag), "vary", "accept-language")
            }
            "/posted" => line(ok(format!("/posted {now}")), "content-location", url("/posted")),
            path => ok(format!("{path} {now}")),
        };
        let mut response = line(response, "cache-control", "max-age=60");
        if request.method() == Method::HEAD {
            *response.body_mut() = crate::support::empty();
        }
        response
    })
}

fn parts(request: &Request<Bytes>, now: usize) -> Response<TestBody> {
    let (tag, text) = (format!("\"{now}\""), text(now));
    let Some(range) = request.headers().get("range") else { return tagged(request, &tag, &text) };
    let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let response = line(ok(&text[first..=last]), "etag", tag);
    let mut response = line(response, "content-range", format!("bytes {first}-{last}/30"));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response
}

/// By the HTTP rules.
struct ByRules;

impl<B: Store> Life<B> for ByRules {
    fn stand(store: B, revision: &Revision) -> Stand<B> {
        Stand::over(store, origin(revision))
            .with(|layer| layer.http_rules().reuse_post_for_get(true))
    }

    async fn live(stand: &Stand<B>, revision: &Revision, is_faulty: bool) {
        let day = Day { stand, revision, is_faulty };
        day.parts().await;
        day.variants().await;
        day.heads().await;
        day.posts().await;
    }
}

/// One life of a cache.
struct Day<'a, B> {
    stand: &'a Stand<B>,
    revision: &'a Revision,
    /// Whether something may fail.
    is_faulty: bool,
}

impl<B: Store> Day<'_, B> {
    /// All that is stored has expired, and is as it was.
    fn expire(&self) {
        self.stand.clock.advance(LATER);
    }

    /// All that is stored has expired, and is not what the origin says any more.
    fn change(&self) {
        self.expire();
        self.revision.next();
    }

    /// Asks, and holds the answer against each `expected` one. A stored body may break off, and is never short then.
    async fn ask(&self, request: request::Builder, expected: &[String]) -> Reply {
        let reply = self.stand.ask(request).await;
        let is_right = |expected: &String| match &reply.error {
            None => reply.body == expected.as_bytes(),
            Some(error) => {
                let error = error.downcast_ref::<store::Error>().expect("an error of the store");
                assert!(self.is_faulty, "{error}");
                expected.as_bytes().starts_with(&reply.body) && reply.body.len() < expected.len()
            }
        };
        let now = self.revision.now();
        assert!(expected.iter().any(is_right), "{expected:?} at {now}: {reply:?}");
        reply
    }

    async fn part(&self, first: usize, last: usize) {
        let expected = text(self.revision.now())[first..=last].to_owned();
        let request = || get("/parts").header("range", format!("bytes={first}-{last}"));
        for is_again in [false, true] {
            let reply = self.ask(request(), std::slice::from_ref(&expected)).await;
            assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
            let range = format!("bytes {first}-{last}/30");
            assert_eq!(reply.lines("content-range"), [range.as_bytes()]);
            assert!(self.is_faulty || !is_again || reply.is_from_store(), "{reply:?}");
        }
    }

    async fn whole(&self) -> Reply {
        let now = self.revision.now();
        let reply = self.ask(get("/parts"), &[text(now)]).await;
        assert_eq!((reply.status, reply.lines("content-range").len()), (StatusCode::OK, 0));
        assert_eq!(reply.lines("etag"), [format!("\"{now}\"").as_bytes()]);
        reply
    }

    async fn parts(&self) {
        for parts in [&[(0, 9), (10, 19), (20, 29)][..], &[(15, 24), (5, 19), (25, 29), (0, 4)]] {
            self.change();
            for (first, last) in parts {
                self.part(*first, *last).await;
            }
            let whole = self.whole().await;
            assert!(self.is_faulty || whole.is_from_store(), "they are all of it");
            self.part(3, 26).await;
        }
        self.expire();
        let whole = self.whole().await;
        assert!(self.is_faulty || whole.outcome() == Outcome::Revalidated, "{whole:?}");

        // Some of one response, and the rest of another.
        self.change();
        self.part(0, 14).await;
        self.change();
        self.part(15, 29).await;
        let whole = self.whole().await;
        assert!(self.is_faulty || !whole.is_from_store());
        self.part(0, 14).await;
    }

    async fn variant(&self, page: usize, value: &str) -> Reply {
        let expected = vary(value, self.revision.now());
        self.ask(get(&format!("/vary?{page}")).header("accept-language", value), &[expected]).await
    }

    async fn variants(&self) {
        self.change();
        // One that nobody has asked for on another day.
        let page = self.revision.now();
        self.variant(page, "en-GB").await;
        let other = self.variant(page, "en-US").await;
        assert!(self.is_faulty || other.outcome() == Outcome::Miss(Miss::Variant), "{other:?}");
        for value in ["de", "en-US", "en-GB"] {
            self.variant(page, value).await;
        }
        self.expire();
        for value in ["en-US", "en-GB", "de"] {
            self.variant(page, value).await;
        }
        self.change();
        for value in ["en-US", "de", "en-GB", "en-US", "en-GB"] {
            let reply = self.variant(page, value).await;
            assert_eq!(reply.status, StatusCode::OK);
        }
    }

    async fn head(&self) {
        let reply = self.ask(head("/parts"), &[String::new()]).await;
        let tag = format!("\"{}\"", self.revision.now());
        assert_eq!(reply.lines("etag"), [tag.as_bytes()]);
    }

    async fn heads(&self) {
        self.change();
        self.whole().await;
        self.head().await;
        self.expire();
        self.head().await;
        self.whole().await;
        self.change();
        self.head().await;
        self.whole().await;
        self.part(10, 19).await;
    }

    /// What a `POST` has made stale is served no more, save where the store said that it could not be removed.
    async fn posts(&self) {
        let now = |path| format!("{path} {}", self.revision.now());
        self.change();
        let before = now("/page");
        self.ask(get("/page"), std::slice::from_ref(&before)).await;
        self.revision.next();
        let errors = self.stand.layer.stats().store_errors;
        self.ask(Request::post(url("/page")), &[now("/page")]).await;
        let is_told = self.stand.layer.stats().store_errors != errors;
        assert!(self.is_faulty || !is_told);
        let expected = [now("/page"), before];
        self.ask(get("/page"), if is_told { &expected } else { &expected[..1] }).await;

        // What one says that a `GET` would bring.
        self.change();
        self.ask(Request::post(url("/posted")), &[now("/posted")]).await;
        let reply = self.ask(get("/posted"), &[now("/posted")]).await;
        assert!(self.is_faulty || reply.is_from_store());
    }
}

#[tokio::test]
async fn of_a_store_that_cannot_be_reached() {
    every_fault_of::<ByRules, _, _>(|| around(Memory::default()), &[ALL[0], ALL[3]]).await;
}

#[tokio::test]
async fn of_a_store_that_is_damaged_or_does_what_it_says_has_failed() {
    every_fault_of::<ByRules, _, _>(|| around(Memory::default()), &[ALL[1], ALL[5]]).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_store_that_hangs() {
    use crate::any_fault::{HANGS, limited};
    every_fault_of::<ByRules, _, _>(|| limited(Memory::default()), &HANGS).await;
}
