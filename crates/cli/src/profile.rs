//! Named connections, kept in a YAML file.
//!
//! Invariant: the file holds paths and names only, never a key or a token, and is replaced as a
//! whole, so that a broken write cannot damage it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::connection::{ConnectionArguments, Environment};
use crate::failure::Failure;
use crate::output::Output;

const CONFIG: &str = "ROLLCALL_CONFIG";
const FILE_BYTES_MAX: u64 = 1_024 * 1_024;

/// Commands about profiles.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keeps the connection given by the flags under a name; a new file uses it at once.
    #[command(
        after_help = "Example:\n  rollcall profile set main --address hub.corp.example:443 \
                            --ca ca.pem --key admin-key.json"
    )]
    Set {
        /// Name of the profile.
        name: String,
    },
    /// Lists the profiles.
    List,
    /// Shows the profile in use.
    Show,
    /// Uses a profile from now on.
    Use {
        /// Name of the profile.
        name: String,
    },
    /// Forgets a profile.
    Delete {
        /// Name of the profile.
        name: String,
    },
}

/// One named connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `host:port` of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Certificate authority of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Authorized key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Identifier of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Name or identifier of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userpool: Option<String>,
}

/// The file of profiles.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// Does what `command` asks for.
///
/// # Errors
/// `Usage` when the file cannot be read or written, or a profile is not there.
pub fn run(
    command: &Command,
    flags: &ConnectionArguments,
    environment: &Environment,
    output: &Output,
) -> Result<(), Failure> {
    let mut profiles = Profiles::read(environment)?;
    match command {
        Command::Set { name } => {
            profiles.set(name, flags)?;
            profiles.write(environment)?;
            output.done(&format!("profile {name} is kept"))
        }
        Command::List => output.data(&profiles),
        Command::Show => match profiles.current() {
            Some(profile) => output.data(profile),
            None => Err(Failure::usage(
                "no profile is in use: make one with `rollcall profile set`",
            )),
        },
        Command::Use { name } => {
            profiles.get(name)?;
            profiles.current = Some(name.clone());
            profiles.write(environment)?;
            output.done(&format!("profile {name} is in use"))
        }
        Command::Delete { name } => {
            profiles.get(name)?;
            profiles.profiles.remove(name);
            if profiles.current.as_ref() == Some(name) {
                profiles.current = None;
            }
            profiles.write(environment)?;
            output.done(&format!("profile {name} is forgotten"))
        }
    }
}

impl Profiles {
    /// Reads the file; one that does not exist has no profiles.
    ///
    /// # Errors
    /// `Usage` when the file cannot be read or understood.
    pub fn read(environment: &Environment) -> Result<Self, Failure> {
        let Some(path) = path(environment) else {
            return Ok(Self::default());
        };
        let unreadable = |why: String| {
            Failure::usage(format!(
                "cannot read the profiles in {}: {why}",
                path.display()
            ))
        };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error.to_string())),
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(unreadable("the file is too long".to_owned()));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(&text).map_err(|error| unreadable(error.to_string()))
    }

    /// The profile `name`.
    ///
    /// # Errors
    /// `Usage` naming those that are there.
    pub fn get(&self, name: &str) -> Result<&Profile, Failure> {
        self.profiles.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            Failure::usage(format!(
                "there is no profile {name:?}; known: {}",
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            ))
        })
    }

    /// The profile in use.
    pub fn current(&self) -> Option<&Profile> {
        self.profiles.get(self.current.as_ref()?)
    }

    fn set(&mut self, name: &str, flags: &ConnectionArguments) -> Result<(), Failure> {
        let profile = self.profiles.entry(name.to_owned()).or_default();
        let absolute = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        };
        if let Some(address) = &flags.address {
            profile.address = Some(address.clone());
        }
        if let Some(ca) = &flags.ca {
            profile.ca = Some(absolute(ca)?);
        }
        if let Some(key) = &flags.key {
            profile.key = Some(absolute(key)?);
        }
        if let Some(organization) = &flags.organization {
            profile.organization = Some(organization.clone());
        }
        if let Some(userpool) = &flags.userpool {
            profile.userpool = Some(userpool.clone());
        }
        self.current.get_or_insert_with(|| name.to_owned());
        Ok(())
    }

    fn write(&self, environment: &Environment) -> Result<(), Failure> {
        let path = path(environment).ok_or_else(|| {
            Failure::usage(format!(
                "there is no place for profiles: set HOME or {CONFIG}"
            ))
        })?;
        let failed = |why: String| {
            Failure::usage(format!(
                "cannot write the profiles to {}: {why}",
                path.display()
            ))
        };
        let text = serde_saphyr::to_string(self).map_err(|error| failed(error.to_string()))?;
        replace(&path, &text).map_err(|error| failed(error.to_string()))
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

fn path(environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = environment.get(CONFIG) {
        return Some(PathBuf::from(path));
    }
    let directory = environment
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(environment.get("HOME")?).join(".config")))?;
    Some(directory.join("rollcall").join("config.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn home(directory: &Path) -> Environment {
        let home = directory.to_str().unwrap().to_owned();
        Environment::new(move |name| (name == "HOME").then(|| home.clone()))
    }

    #[test]
    fn profiles_are_kept_used_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let environment = home(directory.path());
        let output = Output::new(Format::Table);
        let set = |name: &str, address: &str| {
            let flags = ConnectionArguments {
                address: Some(address.into()),
                key: Some("key.json".into()),
                ..Default::default()
            };
            run(
                &Command::Set { name: name.into() },
                &flags,
                &environment,
                &output,
            )
            .unwrap();
        };
        set("main", "main.example:443");
        set("other", "other.example:443");
        let profiles = Profiles::read(&environment).unwrap();
        let current = profiles.current().unwrap();
        assert_eq!(current.address.as_deref(), Some("main.example:443"));
        assert!(current.key.as_ref().unwrap().is_absolute());

        let flags = ConnectionArguments::default();
        let other = || "other".to_owned();
        run(
            &Command::Use { name: other() },
            &flags,
            &environment,
            &output,
        )
        .unwrap();
        let profiles = Profiles::read(&environment).unwrap();
        assert_eq!(profiles.current(), Some(profiles.get("other").unwrap()));

        run(
            &Command::Delete { name: other() },
            &flags,
            &environment,
            &output,
        )
        .unwrap();
        let profiles = Profiles::read(&environment).unwrap();
        assert_eq!(profiles.current(), None);
        let again = run(
            &Command::Use { name: other() },
            &flags,
            &environment,
            &output,
        );
        assert_eq!(again.unwrap_err().exit_code(), 2);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let environment = home(directory.path());
        let path = path(&environment).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "profiles:\n  main:\n    adress: a:1\n").unwrap();
        let failure = Profiles::read(&environment).unwrap_err().to_string();
        assert!(
            failure.contains("adress") && failure.contains("config.yaml"),
            "{failure}"
        );
    }
}
