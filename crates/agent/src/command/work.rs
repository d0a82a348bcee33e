//! Without a command: one run, or the service.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::MultiProgress;
use rollcall_kit::clock::{Clock, SystemClock};
use rollcall_kit::entropy::Entropy;
use tokio_util::sync::CancellationToken;

use super::signal::end_on_signals;
use super::{Arguments, Output, ended, show};
use crate::activity::{Activity, Show};
use crate::agent::{Agent, Means};
use crate::condition::Board;
use crate::config::Config;
use crate::failure::Failure;
use crate::follow::follow;
use crate::hub::Patience;
use crate::logger::{self, Console};
use crate::metrics::serve;
use crate::once::{Results, once};
use crate::session::Urgency;

/// Works until everything is done or a signal comes.
pub async fn work(arguments: &Arguments, config: Config, entropy: Arc<dyn Entropy>) -> ExitCode {
    let bars = MultiProgress::new();
    let console = match arguments.output {
        Output::Json => Console::Stderr,
        Output::Text => Console::Stdout,
    };
    if arguments.once && config.streams().is_empty() {
        return ended(&Failure::Config(
            "--once: there is no stream to run; password writeback works only as a service".into(),
        ));
    }
    if let Err(failure) = logger::start(&config, console, &bars) {
        return ended(&failure);
    }
    let show = if std::io::stderr().is_terminal() && config.logger.file.is_none() {
        Show::Bar
    } else {
        Show::Log
    };
    let stop = CancellationToken::new();
    if let Err(error) = end_on_signals(&stop) {
        return ended(&Failure::Run(format!("cannot watch for signals: {error}")));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let activity = Activity::new(show, &bars);
    let patience = if arguments.once {
        Patience::GiveUp
    } else {
        Patience::Wait
    };
    let board = Board::default();
    let _metrics = match &config.metrics.listen {
        Some(address) if !arguments.once => match serve(*address, board.clone()).await {
            Ok(server) => Some(server),
            Err(failure) => return ended(&failure),
        },
        _ => None,
    };
    let means = Means {
        clock,
        entropy,
        activity,
        board,
        stop,
    };
    let agent = Agent::new(config, &arguments.config, means, patience);
    match agent.await {
        Ok(agent) => with(arguments, &Arc::new(agent)).await,
        Err(Failure::Stopped) if !arguments.once => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}

async fn with(arguments: &Arguments, agent: &Arc<Agent>) -> ExitCode {
    let urgency = if arguments.now {
        Urgency::Now
    } else {
        Urgency::WhenDue
    };
    let result = if arguments.once {
        let (results, result) = once(agent, urgency).await;
        show(arguments.output, &results, Results::text);
        result
    } else {
        follow(agent, urgency).await
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ended(&failure),
    }
}
