//! A case: exchanges of one client with one URL. Each has the origin's answer and the expectations.
//!
//! Cases are data, built by chains that resemble the original's objects.

use std::borrow::Cow;

use crate::exchange::Exchange;

pub(crate) type Text = Cow<'static, str>;

/// Cases about one subject. The original has one file for them.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) id: &'static str,
    pub(crate) cases: Vec<Case>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The standard requires it.
    Required,
    /// The standard allows it, and a good cache does it.
    Optimal,
    /// Caches may differ.
    Check,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) id: Text,
    pub(crate) name: Text,
    pub(crate) kind: Kind,
    /// The cases that must pass, because this one means nothing otherwise.
    pub(crate) depends_on: Vec<Text>,
    pub(crate) exchanges: Vec<Exchange>,
    /// Whether a service alone cannot show it. Interim responses belong to the connection.
    pub(crate) needs_a_connection: bool,
}

pub(crate) fn required(id: impl Into<Text>, name: impl Into<Text>) -> Case {
    Case::new(Kind::Required, id, name)
}

pub(crate) fn optimal(id: impl Into<Text>, name: impl Into<Text>) -> Case {
    Case::new(Kind::Optimal, id, name)
}

pub(crate) fn check(id: impl Into<Text>, name: impl Into<Text>) -> Case {
    Case::new(Kind::Check, id, name)
}

impl Case {
    fn new(kind: Kind, id: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            kind,
            depends_on: Vec::new(),
            exchanges: Vec::new(),
            needs_a_connection: false,
        }
    }

    pub(crate) fn depends_on(mut self, id: impl Into<Text>) -> Self {
        self.depends_on.push(id.into());
        self
    }

    pub(crate) fn needs_a_connection(self) -> Self {
        Self { needs_a_connection: true, ..self }
    }

    pub(crate) fn plays<const N: usize>(self, exchanges: [Exchange; N]) -> Self {
        Self { exchanges: exchanges.into(), ..self }
    }
}
