//! The scenario table. It has one line per exchange, and runs under both policies, in both scopes,
//! and over each built-in store. [`script`] describes the language of the lines, and [`run`] plays
//! them.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)] // A test that unwraps says where it failed.

mod beside;
mod latest_answer;
mod one_door;
mod other_reasons;
mod run;
mod script;

use self::run::{Scenario, Under, play};
