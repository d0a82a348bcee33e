//! Which hub, as whom: flags, environment and profile put together.
//!
//! Invariant: a flag wins over the environment, which wins over the profile. A token has no flag,
//! because other people of the machine can read command lines.

use std::path::PathBuf;

use clap::Args;
use rollcall_client::{ClientOptions, Credentials, ServiceAccountKey};
use rollcall_kit::secret::SecretString;

use crate::failure::Failure;
use crate::profile::{Profile, Profiles};

const ADDRESS: &str = "ROLLCALL_ADDRESS";
const CA: &str = "ROLLCALL_CA";
const KEY: &str = "ROLLCALL_KEY";
const TOKEN: &str = "ROLLCALL_TOKEN";
const ORGANIZATION: &str = "ROLLCALL_ORGANIZATION";
const USERPOOL: &str = "ROLLCALL_USERPOOL";
const PROFILE: &str = "ROLLCALL_PROFILE";
/// Where the help shows flags that every command has.
pub const HEADING: &str = "Global options";

/// Flags about the connection, the same for every command.
#[derive(Debug, Clone, Default, Args)]
pub struct ConnectionArguments {
    /// Address of the hub.
    #[arg(long, global = true, value_name = "HOST:PORT", help_heading = HEADING)]
    pub address: Option<String>,

    /// PEM file with the certificate authority of the hub; the system's when not given.
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub ca: Option<PathBuf>,

    /// JSON file with the authorized key of a service account.
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub key: Option<PathBuf>,

    /// Identifier of the organization meant; not needed when there is only one.
    #[arg(long, global = true, value_name = "ID", help_heading = HEADING)]
    pub organization: Option<String>,

    /// Name or identifier of the pool meant; not needed when there is only one.
    #[arg(long, global = true, value_name = "POOL", help_heading = HEADING)]
    pub userpool: Option<String>,

    /// Name of the profile to use.
    #[arg(long, global = true, value_name = "NAME", help_heading = HEADING)]
    pub profile: Option<String>,
}

/// Finds the value of a variable.
type Lookup = dyn Fn(&str) -> Option<String>;

/// The environment of the process, or one made up by a test.
pub struct Environment {
    variable: Box<Lookup>,
}

/// What the command works on, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// Certificate authority.
    pub ca: Option<PathBuf>,
    /// Who calls.
    pub identity: Identity,
    /// The organization, when named.
    pub organization: Option<String>,
    /// The pool, when named.
    pub userpool: Option<String>,
}

/// How the caller proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Not at all: enough to sign in.
    Stranger,
    /// With the key in this file.
    Key(PathBuf),
    /// With this token.
    Token(SecretString),
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// An environment in which `variable` knows the values.
    pub fn new(variable: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self {
            variable: Box::new(variable),
        }
    }

    /// The value of variable `name`; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

impl ConnectionArguments {
    /// Puts flags, environment and profile together.
    ///
    /// # Errors
    /// `Usage` when something needed is given nowhere, or the profiles cannot be read.
    pub fn resolve(&self, environment: &Environment) -> Result<Target, Failure> {
        let profile = self.profile(environment)?;
        let identity = self.identity(environment, &profile)?;
        self.resolve_as(identity, profile, environment)
    }

    /// As [`ConnectionArguments::resolve`], for a caller who has yet to prove who it is.
    ///
    /// # Errors
    /// As [`ConnectionArguments::resolve`], but for missing credentials.
    pub fn resolve_for_stranger(&self, environment: &Environment) -> Result<Target, Failure> {
        let profile = self.profile(environment)?;
        self.resolve_as(Identity::Stranger, profile, environment)
    }

    fn resolve_as(
        &self,
        identity: Identity,
        profile: Profile,
        environment: &Environment,
    ) -> Result<Target, Failure> {
        let address = self
            .address
            .clone()
            .or_else(|| environment.get(ADDRESS))
            .or(profile.address)
            .ok_or_else(|| {
                Failure::usage(format!(
                    "no hub is named: give --address HOST:PORT, set {ADDRESS}, or keep one with \
                     `rollcall profile set`"
                ))
            })?;
        let path = |name| environment.get(name).map(PathBuf::from);
        Ok(Target {
            address,
            ca: self.ca.clone().or_else(|| path(CA)).or(profile.ca),
            identity,
            organization: self
                .organization
                .clone()
                .or_else(|| environment.get(ORGANIZATION))
                .or(profile.organization),
            userpool: self
                .userpool
                .clone()
                .or_else(|| environment.get(USERPOOL))
                .or(profile.userpool),
        })
    }

    fn identity(&self, environment: &Environment, profile: &Profile) -> Result<Identity, Failure> {
        if let Some(path) = &self.key {
            return Ok(Identity::Key(path.clone()));
        }
        if let Some(token) = environment.get(TOKEN) {
            return Ok(Identity::Token(SecretString::new(token)));
        }
        environment
            .get(KEY)
            .map(PathBuf::from)
            .or_else(|| profile.key.clone())
            .map(Identity::Key)
            .ok_or_else(|| {
                Failure::usage(format!(
                    "no credentials: give --key FILE, set {KEY} or {TOKEN}, or keep a key with \
                     `rollcall profile set`"
                ))
            })
    }

    fn profile(&self, environment: &Environment) -> Result<Profile, Failure> {
        let profiles = Profiles::read(environment)?;
        match self.profile.clone().or_else(|| environment.get(PROFILE)) {
            Some(name) => profiles.get(&name).cloned(),
            None => Ok(profiles.current().cloned().unwrap_or_default()),
        }
    }
}

impl Target {
    /// Options for the client.
    ///
    /// # Errors
    /// `Usage` when the key cannot be read.
    pub fn options(&self) -> Result<ClientOptions, Failure> {
        let credentials = match &self.identity {
            Identity::Stranger => Credentials::None,
            Identity::Key(path) => Credentials::Key(ServiceAccountKey::read(path)?),
            Identity::Token(token) => Credentials::IamToken(token.clone()),
        };
        let mut options = ClientOptions::new(self.address.clone()).with_credentials(credentials);
        options.ca_path.clone_from(&self.ca);
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILE: &str = "\
current: main
profiles:
  main:
    address: main.example:443
    ca: /main/ca.pem
    key: /main/key.json
    organization: bpf-main
  other:
    address: other.example:443
";

    fn resolve(
        arguments: &ConnectionArguments,
        variables: &[(&'static str, &'static str)],
    ) -> Result<Target, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        fs::write(&path, FILE).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let variables: Vec<_> = variables.to_vec();
        let environment = Environment::new(move |name| {
            if name == "ROLLCALL_CONFIG" {
                return Some(path.clone());
            }
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        arguments.resolve(&environment)
    }

    #[test]
    fn the_current_profile_alone() {
        let target = resolve(&ConnectionArguments::default(), &[]).unwrap();
        assert_eq!(target.address, "main.example:443");
        assert_eq!(target.ca, Some("/main/ca.pem".into()));
        assert_eq!(target.identity, Identity::Key("/main/key.json".into()));
        assert_eq!(target.organization.as_deref(), Some("bpf-main"));
    }

    #[test]
    fn the_environment_wins_over_the_profile_and_flags_over_both() {
        let variables = [
            (ADDRESS, "env.example:443"),
            (CA, "/env/ca.pem"),
            (KEY, "/env/key.json"),
            (ORGANIZATION, "bpf-env"),
            (USERPOOL, ""),
        ];
        let target = resolve(&ConnectionArguments::default(), &variables).unwrap();
        assert_eq!(target.address, "env.example:443");
        assert_eq!(target.ca, Some("/env/ca.pem".into()));
        assert_eq!(target.identity, Identity::Key("/env/key.json".into()));
        assert_eq!(target.organization.as_deref(), Some("bpf-env"));
        assert_eq!(target.userpool, None, "an empty variable counts as absent");

        let flags = ConnectionArguments {
            address: Some("flag.example:443".into()),
            key: Some("/flag/key.json".into()),
            ..Default::default()
        };
        let target = resolve(&flags, &variables).unwrap();
        assert_eq!(target.address, "flag.example:443");
        assert_eq!(target.ca, Some("/env/ca.pem".into()));
        assert_eq!(target.identity, Identity::Key("/flag/key.json".into()));
    }

    #[test]
    fn a_token_of_the_environment_wins_over_keys_but_not_over_the_flag() {
        let variables = [(TOKEN, "t1.token"), (KEY, "/env/key.json")];
        let target = resolve(&ConnectionArguments::default(), &variables).unwrap();
        assert_eq!(
            target.identity,
            Identity::Token(SecretString::new("t1.token".into()))
        );
        let flags = ConnectionArguments {
            key: Some("/flag/key.json".into()),
            ..Default::default()
        };
        let target = resolve(&flags, &variables).unwrap();
        assert_eq!(target.identity, Identity::Key("/flag/key.json".into()));
    }

    #[test]
    fn a_profile_can_be_named_and_must_exist() {
        let named = |name: &str| ConnectionArguments {
            profile: Some(name.into()),
            ..Default::default()
        };
        let target = resolve(&named("other"), &[(KEY, "/env/key.json")]).unwrap();
        assert_eq!(target.address, "other.example:443");
        assert_eq!(target.ca, None, "profiles are not mixed");

        let failure = resolve(&named("other"), &[]).unwrap_err();
        assert!(failure.to_string().contains("--key"), "{failure}");
        let failure = resolve(&named("missing"), &[]).unwrap_err();
        assert!(failure.to_string().contains("main, other"), "{failure}");
        assert_eq!(failure.exit_code(), 2);
    }
}
