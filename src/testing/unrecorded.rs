//! [`Unrecorded`]: the error for a request that has no recorded response.

use std::{error::Error, fmt, path::PathBuf};

use http::{HeaderMap, Method};

use super::{
    NAME,
    exchange::Exchange,
    nearest::{Nearest, visible, write_lines},
    tape::each_recorded,
};
use crate::{
    BoxError,
    cache::Recorder,
    store::{self, ErrorKind, Files},
};

/// A cassette that only replays has no response to a request.
///
/// Its text shows the request, the nearest recorded one, and how the two differ. It shows none of
/// what the settings of the cassette ignore. A service that is called through a cassette returns it
/// as a [`BoxError`](crate::BoxError): `error.downcast_ref::<Unrecorded>()` finds it there.
///
/// ```text
/// the cassette tests/cassettes/shop has no response to this request:
///   GET http://shop.test/orders?page=3
///   accept: application/json
/// the nearest recorded one is shop.test/orders~3fa94c1d.json:
///   GET http://shop.test/orders?page=1
/// they differ:
///   parameter `page`: sent "3", recorded "1"
/// to record the request, use Cassette::record, or set LARDER_CASSETTE=record if ...
/// ```
///
/// Its `Debug` text is the same, since `unwrap` and `main` show that one.
pub struct Unrecorded {
    exchange: Box<Exchange>,
    folder: PathBuf,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// Nothing is recorded.
    Empty,
    /// The request is recorded less often than it was sent.
    Exhausted { recorded: u32 },
    /// Later ones of the equal requests are recorded, and this one is not.
    Failed { recorded: u32, number: u32 },
    /// Other requests are recorded.
    Other(Box<Nearest>),
}

impl Unrecorded {
    /// Looks for the reason in the folder.
    pub(super) async fn new(exchange: Exchange, number: u32, recorder: &Recorder<Files>) -> Self {
        let folder = recorder.store().path().to_owned();
        let (mut recorded, mut greatest) = (0, 0);
        each_recorded(recorder.store(), |key, number| {
            if exchange.key(number) == key {
                recorded += 1;
                greatest = greatest.max(number);
            }
        })
        .await;
        let reason = match recorded {
            0 => match Nearest::find(recorder.store(), &exchange).await {
                Some(nearest) => Reason::Other(Box::new(nearest)),
                None => Reason::Empty,
            },
            recorded if number < greatest => Reason::Failed { recorded, number },
            recorded => Reason::Exhausted { recorded },
        };
        Self { exchange: Box::new(exchange), folder, reason }
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.exchange.method
    }

    /// The URL of the request, normalised, without user information and ignored parameters.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.exchange.url
    }
}

impl fmt::Display for Unrecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange, folder, reason } = self;
        writeln!(f, "the cassette {} has no response to this request:", folder.display())?;
        writeln!(f, "  {} {}", exchange.method, visible(&exchange.url))?;
        write_headers(f, &exchange.headers)?;
        if exchange.body_len > 0 {
            writeln!(f, "  body of {} bytes:", exchange.body_len)?;
            write_lines(f, "    ", &exchange.body)?;
        }
        match reason {
            Reason::Empty => writeln!(f, "nothing is recorded in the folder")?,
            Reason::Exhausted { recorded } => {
                let times = times(*recorded);
                writeln!(f, "it is recorded {times}, and was sent more often (`in_order`)")?;
            }
            Reason::Failed { recorded, number } => {
                let times = times(*recorded);
                writeln!(
                    f,
                    "it is recorded {times}, but not as number {number} (`in_order`): that \
                     request, or the body of its response, failed"
                )?;
            }
            Reason::Other(nearest) => write!(f, "{nearest}")?,
        }
        write!(
            f,
            "to record the request, use Cassette::record, or set LARDER_CASSETTE=record if the \
             test uses Cassette::record_or_replay"
        )
    }
}

impl fmt::Debug for Unrecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Unrecorded {}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn write_headers(f: &mut fmt::Formatter<'_>, headers: &HeaderMap) -> fmt::Result {
    headers.iter().try_for_each(|(name, value)| {
        writeln!(f, "  {name}: {}", visible(&String::from_utf8_lossy(value.as_bytes())))
    })
}

/// The error for a request whose body ends in an error.
pub(super) fn unreadable(method: &Method, error: BoxError) -> store::Error {
    let message = format!(
        "a {method} request cannot be recorded: its body failed while the cassette read it, before \
         anything was sent"
    );
    store::Error::new(ErrorKind::Invalid, NAME, message).with_source(error)
}

/// The error for a request without a URL that can be recorded.
pub(super) fn no_url(method: &Method) -> store::Error {
    let message = format!(
        "a {method} request cannot be recorded: its target is neither a path nor a URL, or its \
         `Host` is invalid"
    );
    store::Error::new(ErrorKind::Invalid, NAME, message)
}

/// The error for a request that is sent again while it is recorded, and answered otherwise.
pub(super) fn differs(method: &Method, url: &str) -> store::Error {
    let message = format!(
        "{method} {url} would be recorded twice with different responses, and a replay has one for \
         both; set in_order(true) to record and to replay, or let a header that differs \
         distinguish the requests with add_key_headers"
    );
    store::Error::new(ErrorKind::Invalid, NAME, message)
}
