//! One user whose password is to be set.
//!
//! Invariant: a password is set only of a user that is in the scope at that moment, judged by the
//! same rules as in a run. Deliberately absent: when it is set, and what happens when it is not.

use rollcall_directory::{
    Base, Bind, Credential, Error, Options, PasswordRefusal, PasswordWrite, SearchRequest,
};
use rollcall_kit::secret::SecretString;

use super::{Reader, failure, options, wire};
use crate::config::{self, Config};
use crate::engine::Guid;
use crate::engine::password_writeback::Traces;
use crate::engine::place::Place;
use crate::engine::scope::Verdict;
use crate::failure::Failure;
use crate::index_file::IndexFile;
use crate::settings::Settings;

const ACCOUNT: [&str; 3] = ["sAMAccountName", "pwdLastSet", "badPasswordTime"];

/// Where a user is, as far as passwords are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// In the scope.
    Found(Account),
    /// Not in the scope, or it cannot be told; why.
    OutOfScope(String),
    /// Not there, or not to be seen.
    Missing,
}

/// The account of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its present DN.
    pub dn: String,
    /// sAMAccountName.
    pub name: String,
    /// What moves when its password is set.
    pub traces: Traces,
}

impl Reader {
    /// Looks for a user; `memory` knows what the entries of the filter meant before.
    ///
    /// # Errors
    /// [`Failure`] when the directory, or the filter, cannot be used.
    pub async fn owner(
        &mut self,
        user: Guid,
        settings: &Settings,
        memory: &IndexFile,
    ) -> Result<Owner, Failure> {
        let directory = |error: Error| failure(&error);
        let Some(history) = self.history(user).await.map_err(directory)? else {
            return Ok(Owner::Missing);
        };
        if history.deleted {
            return Ok(Owner::Missing);
        }
        let scope = self.resolve(&settings.filter, Some(memory)).await?.scope;
        let filter = scope.units.union(&scope.groups).copied().collect();
        let around = self.surroundings(&history, &filter, &settings.mapping);
        let around = around.await.map_err(directory)?;
        let (objects, members) = (&around.objects, &around.members);
        let place = Place::new(objects, members, &scope, &settings.mapping)
            .map_err(|gone| Failure::Run(gone.to_string()))?;
        if place.verdict(user) != Verdict::In || !place.is_user(user) {
            return Ok(Owner::OutOfScope(place.reasons(user).join("; ")));
        }
        let account = self.account(user).await.map_err(directory)?;
        Ok(account.map_or(Owner::Missing, Owner::Found))
    }

    async fn account(&mut self, user: Guid) -> Result<Option<Account>, Error> {
        let request = SearchRequest::object(Base::Guid(wire(user)), &ACCOUNT);
        let Some(entry) = self.connection.read(request).await? else {
            return Ok(None);
        };
        let found = &entry.attributes;
        Ok(Some(Account {
            dn: entry.dn.as_str().to_owned(),
            name: found.text("sAMAccountName").unwrap_or_default().to_owned(),
            traces: Traces {
                last_set: found.i64("pwdLastSet"),
                bad_at: found.i64("badPasswordTime"),
            },
        }))
    }

    /// The organizational units of the filter, or the whole domain when it has none.
    ///
    /// # Errors
    /// [`Failure`] when they cannot be found.
    pub async fn places(
        &mut self,
        filter: &config::Filter,
    ) -> Result<Vec<rollcall_directory::Guid>, Failure> {
        let scope = self.resolve(filter, None).await?.scope;
        if !scope.units.is_empty() {
            return Ok(scope.units.into_iter().map(wire).collect());
        }
        let base = self.base.clone();
        let domain = self.connection.resolve_dn(&base, &[]).await;
        let domain = domain.map_err(|error| failure(&error))?;
        let missing = || Failure::Run(format!("the account cannot see {base}"));
        Ok(vec![domain.ok_or_else(missing)?.guid])
    }

    /// Sets the password of a user.
    ///
    /// # Errors
    /// [`PasswordRefusal`].
    pub async fn set_password(&mut self, write: &PasswordWrite<'_>) -> Result<(), PasswordRefusal> {
        self.connection.set_password(write).await
    }
}

/// How to sign in as the user of `account`, over a connection of the same kind as the agent's own.
///
/// # Errors
/// [`Failure`] when something of Kerberos cannot be used.
pub fn options_of(
    config: &Config,
    domain: &str,
    account: &Account,
    password: &SecretString,
) -> Result<Options, Failure> {
    let mut options = options(config)?;
    match &mut options.bind {
        Bind::Sealed(security) => {
            security.credential = Credential::Password {
                domain: domain.to_uppercase(),
                user: account.name.clone(),
                password: password.clone(),
            };
        }
        bind => {
            *bind = Bind::Simple {
                account: account.dn.clone(),
                password: password.clone(),
            };
        }
    }
    Ok(options)
}
