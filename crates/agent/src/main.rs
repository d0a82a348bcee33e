//! The agent's program: a runtime around its commands.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use rollcall_agent::command::{self, Arguments};
use rollcall_agent::failure::Failure;
use rollcall_agent::file_permission;

/// What the runtime's tasks get to end in.
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    file_permission::keep_private();
    if let Err(error) = file_permission::forbid_core_files() {
        return command::ended(&Failure::Run(format!(
            "core files cannot be forbidden: {error}"
        )));
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return command::ended(&Failure::Run(format!("cannot start: {error}"))),
    };
    let code = runtime.block_on(command::run(&arguments));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    code
}
