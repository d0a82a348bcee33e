//! Signals that end the program.
//!
//! Invariant: a signal ends it within ten seconds in every phase (decision U118).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// From the signal to the end of the process.
const SHUTDOWN_MAX: Duration = Duration::from_secs(9);

/// Cancels `stop` on the first signal and ends the process when that takes too long.
#[cfg(unix)]
pub fn end_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        end_soon(&stop).await;
    });
    Ok(())
}

/// Cancels `stop` on Ctrl+C and ends the process when that takes too long.
#[cfg(not(unix))]
pub fn end_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    let stop = stop.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        end_soon(&stop).await;
    });
    Ok(())
}

async fn end_soon(stop: &CancellationToken) {
    tracing::info!("asked to stop");
    stop.cancel();
    tokio::time::sleep(SHUTDOWN_MAX).await;
    tracing::error!("did not stop in time; the session will expire by itself");
    std::process::exit(1);
}
