//! Tests with recorded exchanges: [`Cassette`].

mod cassette;
mod exchange;
mod mode;
mod nearest;
mod player;
mod redact;
mod tape;
mod unrecorded;

pub use self::{
    cassette::Cassette,
    player::{Player, PlayerFuture},
    unrecorded::Unrecorded,
};

/// The name of a cassette in errors, logs and metrics.
const NAME: &str = "cassette";
