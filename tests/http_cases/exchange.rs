//! One request of a case, the answer that the origin has for it, and what is expected of both.
//!
//! What is left out has the original's default: a `GET`, answered by 200 with the case's token as its text, which the
//! client is to receive.

use crate::{
    case::Text,
    field::{Field, cc, date, expires, field, last_modified},
};

/// Where a response is to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Cache,
    Origin,
    /// From the cache, once the origin has been asked by `If-None-Match`.
    EtagValidated,
    /// From the cache, once the origin has been asked by `If-Modified-Since`.
    LastModifiedValidated,
}

/// A thing that is expected, to say which of them are but the stage of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Source,
    Status,
    Text,
    Fields,
}

/// What is expected of the header of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Is(Field),
    Present(&'static str),
    /// It is a number, and larger.
    MoreThan(&'static str, u64),
}

/// What is not to be in the header of a response: the field, or the field with this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absent(pub(crate) &'static str, pub(crate) Option<Text>);

/// The number and the fields of an interim response.
pub(crate) type Interim = (u16, &'static [(&'static str, &'static str)]);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    // The client's part.
    pub(crate) method: Option<&'static str>,
    pub(crate) sends: Vec<Field>,
    pub(crate) sends_text: Option<&'static str>,
    pub(crate) file: Option<&'static str>,
    pub(crate) query: Option<&'static str>,
    pub(crate) pauses: bool,

    // The origin's part.
    pub(crate) status: Option<u16>,
    pub(crate) answers: Vec<Field>,
    pub(crate) answers_text: Option<Text>,
    pub(crate) interim: Vec<Interim>,
    pub(crate) disconnects: bool,
    /// How many seconds it takes to answer.
    pub(crate) delay: u64,

    // What is expected.
    pub(crate) source: Option<Source>,
    /// `Some(None)`: any status will do.
    pub(crate) expected_status: Option<Option<u16>>,
    /// `Some(None)`: any text will do.
    pub(crate) expected_text: Option<Option<&'static str>>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) absent: Vec<Absent>,
    pub(crate) expected_interim: Option<Vec<Interim>>,
    pub(crate) origin_receives: Vec<Field>,
    pub(crate) origin_receives_method: Option<&'static str>,
    /// Whether all that is expected is but the stage; where not, [these](Self::stages) may be.
    pub(crate) is_setup: bool,
    pub(crate) stages: Vec<Stage>,
}

pub(crate) fn get() -> Exchange {
    Exchange::default()
}

pub(crate) fn method(method: &'static str) -> Exchange {
    Exchange { method: Some(method), ..Exchange::default() }
}

/// An answer that is fresh for long, as the stage.
pub(crate) fn fresh() -> Exchange {
    get().answers([cc("max-age=100000"), date(0)]).setup().pauses()
}

/// An answer that is stale from the start, as the stage.
pub(crate) fn stale() -> Exchange {
    get().answers([expires(-5000), last_modified(-100_000), date(0)]).setup().pauses()
}

/// An answer that is stale once the client has paused, as the stage.
pub(crate) fn becomes_stale() -> Exchange {
    get().answers([cc("max-age=2"), date(0), field("Template-A", "1")]).setup().pauses()
}

/// What the client does.
impl Exchange {
    pub(crate) fn sends<const N: usize>(mut self, fields: [Field; N]) -> Self {
        self.sends.extend(fields);
        self
    }

    pub(crate) fn sends_text(self, text: &'static str) -> Self {
        Self { sends_text: Some(text), ..self }
    }

    /// The URL is the one of this file beneath the case's.
    pub(crate) fn file(self, file: &'static str) -> Self {
        Self { file: Some(file), ..self }
    }

    pub(crate) fn query(self, query: &'static str) -> Self {
        Self { query: Some(query), ..self }
    }

    /// Three seconds go by before the next.
    pub(crate) fn pauses(self) -> Self {
        Self { pauses: true, ..self }
    }
}

/// What the origin does.
impl Exchange {
    pub(crate) fn status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    pub(crate) fn answers<const N: usize>(mut self, fields: [Field; N]) -> Self {
        self.answers.extend(fields);
        self
    }

    pub(crate) fn text(self, text: impl Into<Text>) -> Self {
        Self { answers_text: Some(text.into()), ..self }
    }

    pub(crate) fn interim<const N: usize>(self, interim: [Interim; N]) -> Self {
        Self { interim: interim.into(), ..self }
    }

    pub(crate) fn disconnects(self) -> Self {
        Self { disconnects: true, ..self }
    }

    /// It takes so many seconds to answer.
    pub(crate) fn delay(self, seconds: u64) -> Self {
        Self { delay: seconds, ..self }
    }
}

/// What is expected.
impl Exchange {
    pub(crate) fn cached(self) -> Self {
        Self { source: Some(Source::Cache), ..self }
    }

    pub(crate) fn not_cached(self) -> Self {
        Self { source: Some(Source::Origin), ..self }
    }

    pub(crate) fn etag_validated(self) -> Self {
        Self { source: Some(Source::EtagValidated), ..self }
    }

    pub(crate) fn lm_validated(self) -> Self {
        Self { source: Some(Source::LastModifiedValidated), ..self }
    }

    pub(crate) fn gets_status(self, status: u16) -> Self {
        Self { expected_status: Some(Some(status)), ..self }
    }

    pub(crate) fn gets_any_status(self) -> Self {
        Self { expected_status: Some(None), ..self }
    }

    pub(crate) fn gets_text(self, text: &'static str) -> Self {
        Self { expected_text: Some(Some(text)), ..self }
    }

    pub(crate) fn gets_any_text(self) -> Self {
        Self { expected_text: Some(None), ..self }
    }

    pub(crate) fn gets<const N: usize>(mut self, fields: [Field; N]) -> Self {
        self.expected.extend(fields.map(Expected::Is));
        self
    }

    pub(crate) fn gets_some(mut self, name: &'static str) -> Self {
        self.expected.push(Expected::Present(name));
        self
    }

    pub(crate) fn gets_more_than(mut self, name: &'static str, number: u64) -> Self {
        self.expected.push(Expected::MoreThan(name, number));
        self
    }

    pub(crate) fn lacks<const N: usize>(mut self, names: [&'static str; N]) -> Self {
        self.absent.extend(names.map(|name| Absent(name, None)));
        self
    }

    /// The client does not get this value of the field; it may get another.
    pub(crate) fn lacks_value(mut self, name: &'static str, value: impl Into<Text>) -> Self {
        self.absent.push(Absent(name, Some(value.into())));
        self
    }

    pub(crate) fn gets_interim<const N: usize>(self, interim: [Interim; N]) -> Self {
        Self { expected_interim: Some(interim.into()), ..self }
    }

    pub(crate) fn origin_receives<const N: usize>(mut self, fields: [Field; N]) -> Self {
        self.origin_receives.extend(fields);
        self
    }

    pub(crate) fn origin_receives_method(self, method: &'static str) -> Self {
        Self { origin_receives_method: Some(method), ..self }
    }

    /// All that is expected is but the stage: where it fails, the case was not played.
    pub(crate) fn setup(self) -> Self {
        Self { is_setup: true, ..self }
    }

    /// The same of these alone.
    pub(crate) fn setup_of<const N: usize>(self, stages: [Stage; N]) -> Self {
        Self { stages: stages.into(), ..self }
    }
}
