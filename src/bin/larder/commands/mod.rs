//! The commands, a file for each: its arguments, and what it does.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod rm;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod sweep;
