//! The rules of HTTP caching: RFC 9111 and what extends it, as pure functions of settings, heads and times.
//!
//! Where the RFC leaves a choice, the reading that keeps less fresh for less long is taken, save where a comment says
//! otherwise and why.

mod age;
mod dates;
mod demands;
mod directives;
mod fits;
mod freshness;
mod head_update;
mod invalidate;
mod stale;
mod storable;
mod structured;
mod syntax;
mod targeted;
mod withheld;

pub(crate) use self::{
    age::current_age,
    demands::{Demands, demands},
    fits::{Fit, fits},
    head_update::{HeadSays, head_says},
    invalidate::named_urls,
    stale::{StaleRules, may_answer, stale_rules},
    storable::{Settings, admit, speaks_for_get},
};
