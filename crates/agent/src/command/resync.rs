//! `resync`: single objects brought up to date now.
//!
//! Invariant: everything is written inside a session: that of the agent which works in this
//! directory, or one opened for the purpose when none does.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::MultiProgress;
use rollcall_kit::clock::{Clock as _, SystemClock};
use rollcall_kit::entropy::Entropy;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::signal::end_on_signals;
use super::{Arguments, ended, on_terminal, show};
use crate::agent::{Agent, Means};
use crate::condition::{Board, Condition, Phase};
use crate::config::Config;
use crate::failure::Failure;
use crate::hub::Patience;
use crate::index_file::{IndexFile, IndexFileError};
use crate::logger::{self, Console};
use crate::once::once_in;
use crate::resync::{Answer, Mailbox, OBJECTS_MAX, Request};
use crate::session::Urgency;
use crate::stream::Stream;

/// Time between two looks for the answer.
const POLL: Duration = Duration::from_millis(200);
/// How long the agent of this directory may take: a first comparison may be under way.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);
/// How long it may say that it does not work before it is believed.
const DOUBT: Duration = Duration::from_secs(5);

/// Which objects.
#[derive(Debug, Clone, Args)]
pub struct ResyncArguments {
    /// DNs, objectGUIDs, userPrincipalNames or sAMAccountNames.
    #[arg(required = true, num_args = 1..=OBJECTS_MAX)]
    objects: Vec<String>,
}

/// Brings them up to date.
pub async fn resync(
    arguments: &Arguments,
    wanted: ResyncArguments,
    config: Config,
    entropy: Arc<dyn Entropy>,
) -> ExitCode {
    match bring(arguments, config, entropy, wanted.objects).await {
        Ok(answer) => {
            show(arguments.output, &answer, Answer::text);
            if answer.is_good() {
                return ExitCode::SUCCESS;
            }
            let reason = answer.reason.as_deref();
            let reason = reason.unwrap_or("not every object could be brought up to date");
            ended(&Failure::Run(reason.to_owned()))
        }
        Err(failure) => ended(&failure),
    }
}

/// Brings objects up to date, here or by the agent that works in this directory.
pub async fn bring(
    arguments: &Arguments,
    config: Config,
    entropy: Arc<dyn Entropy>,
    objects: Vec<String>,
) -> Result<Answer, Failure> {
    let directory = config.working_directory();
    let mailbox = Mailbox::new(&directory);
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let request = Request {
        id: hex::encode(bytes),
        objects,
        asked_at: SystemClock.now().to_string(),
    };
    mailbox
        .ask(&request)
        .map_err(|error| Failure::run("the request cannot be left", &error))?;
    let answer = match IndexFile::open(&directory) {
        Err(IndexFileError::InUse(_)) => wait(&config, &mailbox, &request.id).await,
        Err(error) => Err(error.into()),
        Ok(file) => {
            drop(file);
            run(arguments, config, entropy, &mailbox, &request.id).await
        }
    };
    mailbox.withdraw(&request.id);
    answer
}

/// Waits for the agent that works in this directory.
async fn wait(config: &Config, mailbox: &Mailbox, id: &str) -> Result<Answer, Failure> {
    let activity = on_terminal();
    let _shown = activity.show();
    activity.begin("waiting for the agent that runs in this directory", 0);
    let started = Instant::now();
    loop {
        tokio::time::sleep(POLL).await;
        let answer = mailbox.take_answer(id);
        let unreadable = |error| Failure::run("the answer cannot be read", &error);
        if let Some(answer) = answer.map_err(unreadable)? {
            return Ok(answer);
        }
        let condition = Condition::load(&config.working_directory()).unwrap_or_default();
        let stream = condition.streams.get(Stream::Objects.name());
        let idle = stream.filter(|stream| stream.phase == Phase::Waiting);
        let reason = stream.and_then(|stream| stream.reason.as_deref());
        if idle.is_some() && started.elapsed() > DOUBT {
            return Err(Failure::Run(format!(
                "the agent in this directory does not work at present ({}); ask for it where the work is done",
                reason.unwrap_or("it waits")
            )));
        }
        if started.elapsed() > WAIT_MAX {
            return Err(Failure::Run(format!(
                "the agent in this directory did not answer in {} s ({})",
                WAIT_MAX.as_secs(),
                reason.unwrap_or("see its status")
            )));
        }
    }
}

/// Opens a session for the purpose.
async fn run(
    arguments: &Arguments,
    config: Config,
    entropy: Arc<dyn Entropy>,
    mailbox: &Mailbox,
    id: &str,
) -> Result<Answer, Failure> {
    logger::start(&config, Console::Stderr, &MultiProgress::new())?;
    let stop = CancellationToken::new();
    let signals = end_on_signals(&stop);
    signals.map_err(|error| Failure::run("cannot watch for signals", &error))?;
    let means = Means {
        clock: Arc::new(SystemClock),
        entropy,
        activity: on_terminal(),
        board: Board::default(),
        stop,
    };
    let agent = Agent::new(config, &arguments.config, means, Patience::GiveUp);
    let agent = agent.await?;
    let (_, result) = once_in(&agent, Stream::Objects, Urgency::Now).await;
    let answer = mailbox.take_answer(id);
    match answer.map_err(|error| Failure::run("the answer cannot be read", &error))? {
        Some(answer) => Ok(answer),
        None => Err(result
            .err()
            .unwrap_or_else(|| Failure::Run("the run ended without an answer; try again".into()))),
    }
}
