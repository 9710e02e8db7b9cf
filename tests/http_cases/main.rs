#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used)]
mod case;
mod exchange;
mod field;
mod table;
