//! Each operation of the store fails in turn, under the HTTP rules. The workload combines parts,
//! and has variants, `HEAD` and `POST`. Every request is answered correctly, and nothing stale or
//! mixed is served.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request};
use larder::{
    Outcome,
    status::Miss,
    store::{self, Memory, Store},
};

use crate::{
    any_fault::{ALL, Revision, Workload, around, every_fault_of},
    support::{Double, Reply, Stand, TestBody, get, head, line, ok, tagged, url},
};

/// Longer than the responses are fresh.
const LATER: Duration = Duration::from_secs(120);

/// A text of 30 bytes. Each group of five names its revision and its place.
fn text(revision: usize) -> String {
    (0..6).map(|place| format!("{revision:03}{place};")).collect()
}

/// What this `Accept-Language` selects. `en-GB` and `en-US` select the same text.
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
                // A cache that has several variants names all their tags.
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

/// Responses are stored and reused by the HTTP rules.
struct ByRules;

impl<B: Store> Workload<B> for ByRules {
    fn stand(store: B, revision: &Revision) -> Stand<B> {
        Stand::over(store, origin(revision))
            .with(|layer| layer.http_rules().reuse_post_for_get(true))
    }

    async fn run(stand: &Stand<B>, revision: &Revision, is_faulty: bool) {
        let run = Run { stand, revision, is_faulty };
        run.parts().await;
        run.variants().await;
        run.heads().await;
        run.posts().await;
    }
}

/// One run of the workload.
struct Run<'a, B> {
    stand: &'a Stand<B>,
    revision: &'a Revision,
    /// Whether operations of the store may fail.
    is_faulty: bool,
}

impl<B: Store> Run<'_, B> {
    /// Lets everything that is stored expire. The origin's responses stay the same.
    fn expire(&self) {
        self.stand.clock.advance(LATER);
    }

    /// Lets everything that is stored expire, and changes the origin's responses.
    fn change(&self) {
        self.expire();
        self.revision.next();
    }

    /// Sends the request, and checks that the answer is one of `expected`. A stored body may break
    /// off with an error of the store. A body without an error is complete.
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
            assert!(self.is_faulty || whole.is_from_store(), "the parts make up the whole");
            self.part(3, 26).await;
        }
        self.expire();
        let whole = self.whole().await;
        assert!(self.is_faulty || whole.outcome() == Outcome::Revalidated, "{whole:?}");

        // Two parts of different responses are not combined.
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
        // A page that no other run has requested.
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

    /// A response that a `POST` invalidates is not served again, unless the store reported an error
    /// when the response was removed.
    async fn posts(&self) {
        let now = |path| format!("{path} {}", self.revision.now());
        self.change();
        let before = now("/page");
        self.ask(get("/page"), std::slice::from_ref(&before)).await;
        self.revision.next();
        let errors = self.stand.layer.stats().store_errors;
        self.ask(Request::post(url("/page")), &[now("/page")]).await;
        let has_reported = self.stand.layer.stats().store_errors != errors;
        assert!(self.is_faulty || !has_reported);
        let expected = [now("/page"), before];
        self.ask(get("/page"), if has_reported { &expected } else { &expected[..1] }).await;

        // The `Content-Location` of this response says that a `GET` would bring the same.
        self.change();
        self.ask(Request::post(url("/posted")), &[now("/posted")]).await;
        let reply = self.ask(get("/posted"), &[now("/posted")]).await;
        assert!(self.is_faulty || reply.is_from_store());
    }
}

#[tokio::test]
async fn every_outage_of_the_store_is_survived() {
    every_fault_of::<ByRules, _, _>(|| around(Memory::default()), &[ALL[0], ALL[3]]).await;
}

#[tokio::test]
async fn every_corruption_and_lost_answer_of_the_store_is_survived() {
    every_fault_of::<ByRules, _, _>(|| around(Memory::default()), &[ALL[1], ALL[5]]).await;
}

#[tokio::test(start_paused = true)]
async fn every_hang_of_the_store_is_survived() {
    use crate::any_fault::{HANGS, limited};
    every_fault_of::<ByRules, _, _>(|| limited(Memory::default()), &HANGS).await;
}
