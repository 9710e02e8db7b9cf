//! The scenario table: one line per exchange, under both policies and in both scopes, over each
//! store that is built in. [`script`] has the language of the lines, [`run`] plays them.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)] // A test that unwraps says where it failed.

mod beside;
mod latest_answer;
mod one_door;
mod other_reasons;
mod run;
mod script;

use self::run::{Scenario, Under, play};
