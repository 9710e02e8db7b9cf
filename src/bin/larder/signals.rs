//! The signals that end a command early: Ctrl-C, and on Unix also SIGTERM and SIGHUP.

use std::{future::pending, io};

/// Waits for a signal, and returns the exit code for it: 128 and its number.
pub(crate) async fn received() -> u8 {
    match wait().await {
        Ok(code) => code,
        // Without a handler, the system ends the process.
        Err(_) => pending().await,
    }
}

#[cfg(unix)]
async fn wait() -> io::Result<u8> {
    use std::task::Poll;

    use tokio::signal::unix::{SignalKind, signal};

    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push((signal(kind)?, kind.as_raw_value()));
    }
    std::future::poll_fn(|cx| {
        for (signal, number) in &mut signals {
            if signal.poll_recv(cx).is_ready() {
                return Poll::Ready(Ok(u8::try_from(128 + *number).unwrap_or(u8::MAX)));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(not(unix))]
async fn wait() -> io::Result<u8> {
    tokio::signal::ctrl_c().await.map(|()| 130)
}
