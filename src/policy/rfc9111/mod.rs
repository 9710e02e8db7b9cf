//! The rules of HTTP caching: RFC 9111 and what extends it, as pure functions of settings, heads and times.
//!
//! Where the RFC leaves a choice, the reading that keeps less fresh for less long is taken, save where a comment says
//! otherwise and why.

pub(crate) mod age;
pub(crate) mod dates;
pub(crate) mod demands;
pub(crate) mod directives;
pub(crate) mod fits;
pub(crate) mod freshness;
pub(crate) mod head_update;
pub(crate) mod invalidate;
pub(crate) mod selection;
pub(crate) mod stale;
pub(crate) mod storable;
mod structured;
mod syntax;
pub(crate) mod targeted;
mod withheld;
