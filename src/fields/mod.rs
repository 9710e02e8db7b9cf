//! The parsers of header fields, below everything that uses them: dates, `Cache-Control` in a
//! response, `Age`, structured fields, the syntax that they share, which fields belong to the
//! connection, and copies of header lines.
//!
//! They are pure functions of header lines. They know no stored entry, no setting and no rule. No
//! hostile field can make them panic, run long or use much memory. `entry` keeps what they find in
//! a response, and `policy` decides by it.

mod age;
mod compact;
mod connection;
#[cfg(test)]
mod counted;
mod dates;
mod directives;
mod structured;
mod syntax;

#[cfg(test)]
pub(crate) use self::counted::Parsed;
pub(crate) use self::{
    age::age_value,
    compact::compact,
    connection::is_of_connection,
    dates::{date, date_since_1970},
    directives::{Directives, Fields, response_directives},
    structured::{Value, dictionary, strings},
    syntax::{Argument, each_directive, only},
};
