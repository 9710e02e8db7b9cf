//! Counts how often fields are parsed in a test, so that tests can show that a field is parsed
//! once.

use std::cell::Cell;

/// How often each parser was called in this thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// `Cache-Control` of responses.
    pub(crate) directives: u32,
    /// `Cache-Control` of requests.
    pub(crate) request_directives: u32,
    /// Structured fields, such as targeted ones.
    pub(crate) structured: u32,
    /// Lines with a date.
    pub(crate) dates: u32,
}

thread_local! {
    static PARSED: Cell<Parsed> = Cell::default();
}

impl Parsed {
    /// Notes a call of a parser.
    pub(crate) fn count(add: impl FnOnce(&mut Self)) {
        let mut parsed = PARSED.get();
        add(&mut parsed);
        PARSED.set(parsed);
    }

    /// The calls since the last time that they were taken.
    pub(crate) fn take() -> Self {
        PARSED.take()
    }
}
