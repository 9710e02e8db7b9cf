//! Compares an exchange with its expectations, in the original's order. The first fault counts.

use std::collections::HashSet;

use crate::{
    client::Reply,
    exchange::{Absent, Exchange, Expected, Source, Stage},
    field::Field,
    origin::Received,
    wire,
};

/// The reason why a case does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The expectation under test failed.
    Failed(String),
    /// The setup of the case failed, so its result means nothing.
    Setup(String),
    /// The origin received the request twice.
    Retry,
}

/// `Ok` if `holds`, otherwise the fault of the setup or of the case.
fn expect(holds: bool, is_setup: bool, seen: impl FnOnce() -> String) -> Result<(), Fault> {
    match (holds, is_setup) {
        (true, _) => Ok(()),
        (false, true) => Err(Fault::Setup(seen())),
        (false, false) => Err(Fault::Failed(seen())),
    }
}

impl Exchange {
    fn is_staged(&self, stage: Stage) -> bool {
        self.is_setup || self.stages.contains(&stage)
    }
}

/// Judges the client's side of exchange `number`, which counts from 1.
pub(crate) fn response(
    exchange: &Exchange,
    number: usize,
    token: &str,
    reply: &Reply,
) -> Result<(), Fault> {
    if let Some(numbers) = reply.get("request-numbers") {
        let mut seen = HashSet::new();
        if !numbers.split(' ').all(|number| seen.insert(number)) {
            return Err(Fault::Retry);
        }
    }
    source(exchange, number, reply)?;
    status(exchange, number, reply)?;
    fields(exchange, number, reply)?;
    text(exchange, number, token, reply)
}

fn source(exchange: &Exchange, number: usize, reply: &Reply) -> Result<(), Fault> {
    let is_staged = exchange.is_staged(Stage::Source);
    let count = reply.count();
    match exchange.source {
        // A cache may leave the count out of a 304 of its own.
        Some(Source::Cache) if reply.status == 304 && count.is_none() => Ok(()),
        Some(Source::Cache) => expect(count.is_some_and(|count| count < number), is_staged, || {
            format!("response {number} does not come from the cache")
        }),
        Some(Source::Origin) => expect(count == Some(number), is_staged, || {
            format!("response {number} comes from the cache")
        }),
        Some(Source::EtagValidated | Source::LastModifiedValidated) | None => Ok(()),
    }
}

fn status(exchange: &Exchange, number: usize, reply: &Reply) -> Result<(), Fault> {
    let status = reply.status;
    let other = |expected: u16| move || format!("response {number} is {status}, not {expected}");
    match (exchange.expected_status, exchange.status) {
        (Some(None), _) => Ok(()),
        (Some(Some(expected)), _) => {
            expect(status == expected, exchange.is_staged(Stage::Status), other(expected))
        }
        (None, Some(expected)) => expect(status == expected, true, other(expected)),
        (None, None) if status == 999 => expect(false, exchange.is_staged(Stage::Source), || {
            format!("request {number} should have been conditional, and was not")
        }),
        (None, None) => expect(status == 200, true, other(200)),
    }
}

fn fields(exchange: &Exchange, number: usize, reply: &Reply) -> Result<(), Fault> {
    let is_staged = exchange.is_staged(Stage::Fields);
    for expected in &exchange.expected {
        let (Expected::Is(Field { name, .. })
        | Expected::Present(name)
        | Expected::MoreThan(name, _)) = expected;
        let seen = reply.get(name);
        let holds = match expected {
            Expected::Is(field) => seen == Some(wire::text(&field.value, reply.origin_time(), "")),
            Expected::Present(_) => seen.is_some(),
            Expected::MoreThan(_, least) => seen.as_deref().and_then(digits) > Some(*least),
        };
        expect(holds, is_staged, || {
            format!("response {number} has {name}: {seen:?}, expected {expected:?}")
        })?;
    }
    for Absent(name, value) in &exchange.absent {
        let seen = reply.get(name);
        let is_absent = seen
            .as_ref()
            .is_none_or(|seen| value.as_ref().is_some_and(|value| !seen.contains(value.as_ref())));
        expect(is_absent, exchange.is_setup, || format!("response {number} has {name}: {seen:?}"))?;
    }
    Ok(())
}

/// The number at the start of `text`.
fn digits(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn text(exchange: &Exchange, number: usize, token: &str, reply: &Reply) -> Result<(), Fault> {
    let (expected, is_staged) = match (exchange.expected_text, &exchange.answers_text) {
        (Some(None), _) => return Ok(()),
        (Some(Some(expected)), _) => (expected, exchange.is_staged(Stage::Text)),
        (None, Some(expected)) => (expected.as_ref(), true),
        (None, None) if matches!(reply.status, 204 | 304) || exchange.method == Some("HEAD") => {
            return Ok(());
        }
        (None, None) => (token, true),
    };
    let seen = reply.text.as_str();
    expect(seen == expected, is_staged, || {
        format!("response {number} has the text {seen:?}, not {expected:?}")
    })
}

/// Judges the origin's side of all exchanges.
pub(crate) fn origin(
    exchanges: &[Exchange],
    replies: &[Reply],
    received: &[Received],
) -> Result<(), Fault> {
    let mut received = received.iter();
    for (at, (exchange, reply)) in exchanges.iter().zip(replies).enumerate() {
        if exchange.source != Some(Source::Cache) {
            request(exchange, at + 1, reply, received.next())?;
        }
    }
    Ok(())
}

fn request(
    exchange: &Exchange,
    number: usize,
    reply: &Reply,
    received: Option<&Received>,
) -> Result<(), Fault> {
    let is_staged = exchange.is_staged(Stage::Source);
    let condition = match exchange.source {
        Some(Source::EtagValidated) => Some("if-none-match"),
        Some(Source::LastModifiedValidated) => Some("if-modified-since"),
        _ => None,
    };
    let is_needed = exchange.source.is_some()
        || !exchange.origin_receives.is_empty()
        || exchange.origin_receives_method.is_some();
    let Some(received) = received else {
        return expect(!is_needed, is_staged && condition.is_some(), || {
            format!("request {number} has not reached the origin")
        });
    };
    if exchange.source == Some(Source::Origin) {
        expect(received.number == number, is_staged, || {
            format!("request {number} reached the origin as {}", received.number)
        })?;
    }
    if let Some(condition) = condition {
        expect(received.headers.contains_key(condition), is_staged, || {
            format!("request {number} reached the origin without {condition}")
        })?;
    }
    for field in &exchange.origin_receives {
        let seen = wire::joined(&received.headers, field.name);
        let expected = wire::text(&field.value, None, "");
        expect(seen.as_ref() == Some(&expected), exchange.is_setup, || {
            format!("request {number} reached the origin with {}: {seen:?}", field.name)
        })?;
    }
    for (name, sent) in &received.checked {
        // Gateways may rewrite it, and do.
        if name.eq_ignore_ascii_case("date") {
            continue;
        }
        let seen = reply.get(name);
        expect(seen.as_ref() == Some(sent), true, || {
            format!("response {number} has {name}: {seen:?}, and the origin sent {sent:?}")
        })?;
    }
    if let Some(expected) = exchange.origin_receives_method {
        expect(received.method == expected, exchange.is_setup, || {
            format!("request {number} reached the origin as {}", received.method)
        })?;
    }
    Ok(())
}
