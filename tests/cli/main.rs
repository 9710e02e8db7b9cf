//! The command `larder` as users run it, over stores on disk that a layer has filled.

#![allow(clippy::unwrap_used)]

mod copying;
mod damage;
mod har;
mod help;
mod listing;
mod removal;
mod showing;
mod support;
mod terminal;
