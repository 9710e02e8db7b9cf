//! A request of a case, the origin's answer to it, and the expectations of both.
//!
//! Anything left out has the original's default: a `GET`, which is answered by a 200 with the
//! case's token as its text. The client must receive this answer.

use crate::{
    case::Text,
    field::{Field, cc, date, expires, field, last_modified},
};

/// Where a response must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Cache,
    Origin,
    /// From the cache, after a request to the origin with `If-None-Match`.
    EtagValidated,
    /// From the cache, after a request to the origin with `If-Modified-Since`.
    LastModifiedValidated,
}

/// An expectation, by which expectations are marked as part of the setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Source,
    Status,
    Text,
    Fields,
}

/// An expectation of the header of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Is(Field),
    Present(&'static str),
    /// The value is a number, and larger than this.
    MoreThan(&'static str, u64),
}

/// An absence in the header of a response: of the field, or of the field with this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absent(pub(crate) &'static str, pub(crate) Option<Text>);

/// The status and the fields of an interim response.
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
    /// The number of seconds before it answers.
    pub(crate) delay: u64,

    // The expectations.
    pub(crate) source: Option<Source>,
    /// `Some(None)` accepts any status.
    pub(crate) expected_status: Option<Option<u16>>,
    /// `Some(None)` accepts any text.
    pub(crate) expected_text: Option<Option<&'static str>>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) absent: Vec<Absent>,
    pub(crate) expected_interim: Option<Vec<Interim>>,
    pub(crate) origin_receives: Vec<Field>,
    pub(crate) origin_receives_method: Option<&'static str>,
    /// Whether all expectations belong to the setup. Otherwise, only [these](Self::stages) do.
    pub(crate) is_setup: bool,
    pub(crate) stages: Vec<Stage>,
}

pub(crate) fn get() -> Exchange {
    Exchange::default()
}

pub(crate) fn method(method: &'static str) -> Exchange {
    Exchange { method: Some(method), ..Exchange::default() }
}

/// A setup whose answer is fresh for long.
pub(crate) fn fresh() -> Exchange {
    get().answers([cc("max-age=100000"), date(0)]).setup().pauses()
}

/// A setup whose answer is stale from the start.
pub(crate) fn stale() -> Exchange {
    get().answers([expires(-5000), last_modified(-100_000), date(0)]).setup().pauses()
}

/// A setup whose answer is stale after the client's pause.
pub(crate) fn becomes_stale() -> Exchange {
    get().answers([cc("max-age=2"), date(0), field("Template-A", "1")]).setup().pauses()
}

/// The client's actions.
impl Exchange {
    pub(crate) fn sends<const N: usize>(mut self, fields: [Field; N]) -> Self {
        self.sends.extend(fields);
        self
    }

    pub(crate) fn sends_text(self, text: &'static str) -> Self {
        Self { sends_text: Some(text), ..self }
    }

    /// The URL is that of this file below the case's URL.
    pub(crate) fn file(self, file: &'static str) -> Self {
        Self { file: Some(file), ..self }
    }

    pub(crate) fn query(self, query: &'static str) -> Self {
        Self { query: Some(query), ..self }
    }

    /// Three seconds pass before the next request.
    pub(crate) fn pauses(self) -> Self {
        Self { pauses: true, ..self }
    }
}

/// The origin's actions.
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

    /// It answers after this number of seconds.
    pub(crate) fn delay(self, seconds: u64) -> Self {
        Self { delay: seconds, ..self }
    }
}

/// The expectations.
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

    /// The client does not receive this value of the field. It may receive another one.
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

    /// All expectations belong to the setup. If one fails, the case was not played.
    pub(crate) fn setup(self) -> Self {
        Self { is_setup: true, ..self }
    }

    /// Only these expectations belong to the setup.
    pub(crate) fn setup_of<const N: usize>(self, stages: [Stage; N]) -> Self {
        Self { stages: stages.into(), ..self }
    }
}
