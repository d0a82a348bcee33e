//! Who this agent is to the hub (decision U104).
//!
//! Invariant: the identifier is made once and survives restarts; clones of a machine must delete
//! the file.

use std::path::Path;

use rollcall_kit::entropy::Entropy;
use uuid::Builder;

use crate::config::Config;
use crate::failure::Failure;

const FILE: &str = "agent_id";
const CHARACTERS_MAX: usize = 50;
/// Everything for the owner.
#[cfg(unix)]
const PRIVATE_MODE: u32 = 0o700;

/// The configured identifier, or the one of the working directory, made if there is none.
///
/// # Errors
/// [`Failure::Config`] when the working directory cannot be used or the file is damaged.
pub fn agent_id(config: &Config, entropy: &dyn Entropy) -> Result<String, Failure> {
    if let Some(id) = &config.agent_id {
        return Ok(id.clone());
    }
    let directory = config.working_directory();
    make_private(&directory).map_err(|error| cannot(&directory, &error))?;
    let path = directory.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let id = text.trim();
            if id.is_empty() || id.chars().count() > CHARACTERS_MAX {
                return Err(Failure::Config(format!(
                    "{}: not an agent id; delete the file to get a new one",
                    path.display()
                )));
            }
            Ok(id.to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0; 16];
            entropy.fill(&mut bytes);
            let id = Builder::from_random_bytes(bytes).into_uuid().to_string();
            std::fs::write(&path, format!("{id}\n")).map_err(|error| cannot(&path, &error))?;
            Ok(id)
        }
        Err(error) => Err(cannot(&path, &error)),
    }
}

/// Makes the directory, if there is none, for its user alone.
fn make_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, PRIVATE_MODE);
    builder.create(directory)
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Config(format!(
        "working_directory: cannot use {}: {error}",
        path.display()
    ))
}
