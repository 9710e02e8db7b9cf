//! The language of the table.
//!
//! ```text
//! [SECONDS] METHOD PATH [{field: value}...] -> ORIGIN
//!     => STATUS [{field: value}...] [BODY] : OUTCOME[, STORED]     (on one line)
//! [SECONDS] METHOD PATH [{field: value}...] -> error => error
//! purge PATH        removes the URL
//! settle            waits for refreshes in the background
//! store full        from now on, the store takes nothing new
//! store works       the store takes new responses again
//! # comment
//! ```
//!
//! `SECONDS` is the time that passes before the request: `+60`, or `-60` if the clock is set back.
//!
//! `ORIGIN` is `-` (the origin is not called), `error` (the call fails), or the origin's answer: a
//! status, fields and a body. Before it, `sees {field: value}` and `sees no FIELD` describe the
//! request that reaches the origin. A field with the expected value `none` is absent.
//!
//! Options of the request follow the path: `!refresh`, `!force-refresh`, `!no-store` and
//! `!do-not-store` (an expiration). With `!read-only`, the request is sent to a read-only layer
//! over the same store.
//!
//! `OUTCOME` is an outcome as [`larder::Outcome`] prints it, or its first word. `STORED` is
//! `stored` or the name of a refusal.

/// A header field.
pub(crate) type Field = (String, String);

/// A field of the request that reaches the origin. `None` if it must be absent.
pub(crate) type Sight = (String, Option<String>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) status: u16,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Origin {
    NotAsked,
    Fails,
    Answers(Message),
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Purge(String),
    Settle,
    /// Whether the store refuses new responses.
    StoreIsFull(bool),
    Exchange(Box<Exchange>),
}

#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) wait: i64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) options: Vec<String>,
    pub(crate) sees: Vec<Sight>,
    pub(crate) origin: Origin,
    pub(crate) expected: Message,
    pub(crate) outcome: String,
    pub(crate) stored: Option<String>,
}

/// The steps of a script, each with its line.
pub(crate) fn parse(script: &str) -> Vec<(&str, Step)> {
    let lines = script.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| (line, step(line).unwrap_or_else(|| panic!("malformed line: {line}"))))
        .collect()
}

fn step(line: &str) -> Option<Step> {
    if line == "settle" {
        return Some(Step::Settle);
    }
    if let Some(state) = line.strip_prefix("store ") {
        return match state {
            "full" => Some(Step::StoreIsFull(true)),
            "works" => Some(Step::StoreIsFull(false)),
            _ => None,
        };
    }
    if let Some(path) = line.strip_prefix("purge ") {
        return Some(Step::Purge(path.trim().to_owned()));
    }
    let (request, rest) = line.split_once(" -> ")?;
    let (origin, expected) = rest.split_once(" => ")?;
    let (expected, outcome) = match expected.trim() {
        "error" => ("0 error", ""),
        expected => expected.rsplit_once(" : ")?,
    };
    let (outcome, stored) = match outcome.split_once(", ") {
        Some((outcome, stored)) => (outcome, Some(stored.trim().to_owned())),
        None => (outcome, None),
    };

    let (words, fields) = tokens(request)?;
    let mut words = words.into_iter().peekable();
    let wait = match words.next_if(|word| word.starts_with(['+', '-'])) {
        Some(wait) => wait.parse().ok()?,
        None => 0,
    };
    let (method, path) = (words.next()?, words.next()?);
    let (sees, origin) = origin_of(origin.trim())?;
    Some(Step::Exchange(Box::new(Exchange {
        wait,
        method,
        path,
        fields,
        options: words.collect(),
        sees,
        origin,
        expected: message(expected)?,
        outcome: outcome.trim().to_owned(),
        stored,
    })))
}

fn origin_of(mut text: &str) -> Option<(Vec<Sight>, Origin)> {
    let mut sees = Vec::new();
    while let Some(rest) = text.strip_prefix("sees ") {
        if let Some(rest) = rest.strip_prefix("no ") {
            let (name, rest) = rest.split_once(' ')?;
            sees.push((name.to_owned(), None));
            text = rest.trim();
        } else {
            let (field, rest) = rest.strip_prefix('{')?.split_once('}')?;
            let (name, value) = field.split_once(": ")?;
            sees.push((name.to_owned(), Some(value.to_owned())));
            text = rest.trim();
        }
    }
    let origin = match text {
        "-" => Origin::NotAsked,
        "error" => Origin::Fails,
        answer => Origin::Answers(message(answer)?),
    };
    Some((sees, origin))
}

fn message(text: &str) -> Option<Message> {
    let (words, fields) = tokens(text)?;
    let (status, body) = words.split_first()?;
    Some(Message { status: status.parse().ok()?, fields, body: body.join(" ") })
}

/// The words outside of braces, and the fields inside them.
fn tokens(mut text: &str) -> Option<(Vec<String>, Vec<Field>)> {
    let (mut words, mut fields) = (Vec::new(), Vec::new());
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Some((words, fields));
        }
        if let Some(rest) = text.strip_prefix('{') {
            let (field, rest) = rest.split_once('}')?;
            let (name, value) = field.split_once(": ")?;
            fields.push((name.to_owned(), value.to_owned()));
            text = rest;
        } else {
            let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
            words.push(word.to_owned());
            text = rest;
        }
    }
}
