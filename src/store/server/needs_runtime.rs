//! Checks for the tokio runtime that the stores on servers need, for their sockets, timeouts and
//! tasks.

use std::{net, panic};

use tokio::net::UdpSocket;

use crate::{
    runtime::has_timers,
    store::{Error, ErrorKind, Result},
};

/// Checks the runtime when `store` is created.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] outside of a tokio runtime, and in a runtime without timers or I/O.
pub(in crate::store) fn when_made(store: &'static str) -> Result<()> {
    let what = "create the store in a tokio runtime with timers and I/O: inside #[tokio::main], or in \
                a runtime whose builder called enable_all()";
    let is_usable = has_timers() && has_io();
    if is_usable { Ok(()) } else { Err(Error::new(ErrorKind::Invalid, store, what)) }
}

/// Checks the runtime before an operation: it may be another runtime than the one that `store` was
/// created in.
///
/// # Errors
///
/// [`ErrorKind::Unavailable`] outside of a tokio runtime, and in a runtime without timers.
pub(in crate::store) fn when_used(store: &'static str) -> Result<()> {
    let what = "the store was used outside of a tokio runtime, or in one without timers; use it in \
                a runtime like the one that it was created in";
    if has_timers() { Ok(()) } else { Err(Error::new(ErrorKind::Unavailable, store, what)) }
}

/// Whether the runtime has its I/O enabled (`enable_io`). As for [timers](has_timers), tokio has no
/// function that says so: it panics when a socket is registered without I/O.
fn has_io() -> bool {
    let bind = || {
        let socket = net::UdpSocket::bind((net::Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(socket)
    };
    // Without a socket, nothing is known about the runtime.
    let Ok(socket) = bind() else { return true };
    panic::catch_unwind(|| UdpSocket::from_std(socket).is_ok()).unwrap_or(false)
}

#[cfg(test)]
pub(in crate::store) mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::{Key, store::Store};

    fn runtime(has_timers: bool, has_io: bool) -> Runtime {
        let mut builder = Builder::new_current_thread();
        if has_timers {
            builder.enable_time();
        }
        if has_io {
            builder.enable_io();
        }
        builder.build().unwrap()
    }

    /// Creates and uses a store with and without a runtime.
    pub(in crate::store) fn a_runtime_is_needed<S, F>(make: impl Fn() -> F)
    where
        S: Store,
        F: Future<Output = Result<S>>,
    {
        use futures_util::FutureExt;

        let refused = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("enable_all()"), "{error}");
        };
        refused(make().now_or_never().unwrap().err().unwrap());
        for (has_timers, has_io) in [(false, false), (false, true), (true, false)] {
            refused(runtime(has_timers, has_io).block_on(make()).err().unwrap());
        }

        let made = runtime(true, true);
        let store = made.block_on(make()).ok().unwrap();
        let failed = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains("outside of a tokio runtime"), "{error}");
        };
        let key = Key::digest("a");
        failed(store.get(&key).now_or_never().unwrap().err().unwrap());
        failed(store.remove(&key).now_or_never().unwrap().unwrap_err());
        failed(store.remove_tagged("a").now_or_never().unwrap().unwrap_err());
        failed(store.clear().now_or_never().unwrap().unwrap_err());
        failed(runtime(false, false).block_on(store.len()).unwrap_err());
    }
}
