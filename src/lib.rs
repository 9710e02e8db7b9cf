//! An HTTP response cache for tower.

pub mod entry;
mod key;
pub mod store;
pub mod time;

pub use self::key::{Key, ParseKeyError};
