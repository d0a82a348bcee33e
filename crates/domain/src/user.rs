//! Users of a pool.
//!
//! Invariant: a user is active exactly while nothing suspends it and its account has not ended
//! (decision U52); the login and the external id are unique in the pool, which the store enforces. Deliberately absent: passwords,
//! which live in their own file.

use rollcall_kit::timestamp::Timestamp;

use crate::id::{UserId, UserpoolId};
use crate::mask::Mask;
use crate::named::named_enum;
use crate::refusal::Refusal;
use crate::text_size::{self, TEXT_CHARACTERS_MAX};
use crate::username::Username;
use crate::userpool_domain::UserpoolDomain;

#[cfg(test)]
pub(crate) mod sample;
mod suspension;

pub use suspension::{Suspension, SuspensionCause};

const EMAIL_CHARACTERS_MIN: usize = 3;
const EMAIL_CHARACTERS_MAX: usize = 254;
const PHONE_CHARACTERS_MAX: usize = 50;
/// Longest external id of a user in characters.
pub const EXTERNAL_ID_CHARACTERS_MAX: usize = 256;
/// 2106-01-01T00:00:00Z: an account ends before it.
const EXPIRES_BEFORE: Timestamp = Timestamp::from_seconds(4_291_747_200);

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identifier.
    pub id: UserId,
    /// The pool it belongs to.
    pub userpool_id: UserpoolId,
    /// Login.
    pub username: Username,
    /// Texts about the person.
    pub profile: Profile,
    /// Identifier of the object in the source directory.
    pub external_id: Option<String>,
    /// Why the user is suspended; empty = active.
    pub suspension: Suspension,
    /// Text given with the last suspension.
    pub suspend_reason: String,
    /// Account end; the user is suspended at that moment.
    pub expires_at: Option<Timestamp>,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
    /// When the stored password was set, as far as known. Read along from the password; saving a
    /// user never writes it.
    pub password_created_at: Option<Timestamp>,
}

/// Texts about a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// Display name, required.
    pub full_name: String,
    /// First name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// E-mail address.
    pub email: String,
    /// Phone number.
    pub phone_number: String,
    /// Company.
    pub company_name: String,
    /// Department.
    pub department: String,
    /// Position.
    pub job_title: String,
    /// Personnel number.
    pub employee_id: String,
}

named_enum! {
    /// State of a user.
    pub enum UserStatus {
        /// May sign in.
        Active = "ACTIVE",
        /// May not sign in.
        Suspended = "SUSPENDED",
        /// Being removed; transitional.
        Deleting = "DELETING",
        /// Being made; transitional.
        Creating = "CREATING",
    }
}

/// Who asks for a change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A person or program acting for an administrator.
    Administrator,
    /// A synchronization agent inside its session.
    Agent,
}

/// State of a user at its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialState {
    /// May sign in at once.
    #[default]
    Active,
    /// Is made suspended.
    Suspended,
}

/// What a user is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewUser {
    /// Login.
    pub username: String,
    /// Texts about the person.
    pub profile: Profile,
    /// Identifier of the object in the source directory; empty = none.
    pub external_id: String,
    /// State at the beginning.
    pub state: InitialState,
    /// Account end.
    pub expires_at: Option<Timestamp>,
}

/// New values of the fields that an update can change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserInput {
    /// Login.
    pub username: String,
    /// Texts about the person.
    pub profile: Profile,
    /// Account end; `None` clears it.
    pub expires_at: Option<Timestamp>,
}

named_enum! {
    /// A field that an update can name.
    pub enum UserField {
        /// Login.
        Username = "username",
        /// Display name.
        FullName = "full_name",
        /// First name.
        GivenName = "given_name",
        /// Family name.
        FamilyName = "family_name",
        /// E-mail address.
        Email = "email",
        /// Phone number.
        PhoneNumber = "phone_number",
        /// Company.
        CompanyName = "company_name",
        /// Department.
        Department = "department",
        /// Position.
        JobTitle = "job_title",
        /// Personnel number.
        EmployeeId = "employee_id",
        /// Account end.
        ExpiresAt = "expires_at",
    }
}

impl Actor {
    fn cause(self) -> SuspensionCause {
        match self {
            Self::Administrator => SuspensionCause::Admin,
            Self::Agent => SuspensionCause::Agent,
        }
    }
}

impl User {
    /// Makes a user of pool `userpool_id`. `domain` is the domain of that pool in which the login
    /// ends, if the pool has it.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule; `Precondition` when the domain of the login is
    /// not tied to the pool or not proven (decision U85).
    pub fn create(
        userpool_id: UserpoolId,
        domain: Option<&UserpoolDomain>,
        new: NewUser,
        actor: Actor,
        id: UserId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let username = Username::parse(&new.username)?;
        new.profile.check()?;
        check_expires_at(new.expires_at)?;
        text_size::check("external_id", &new.external_id, EXTERNAL_ID_CHARACTERS_MAX)?;
        require_domain(&userpool_id, &username, domain)?;
        let suspension = match new.state {
            InitialState::Active => Suspension::NONE,
            InitialState::Suspended => Suspension::NONE.with(actor.cause()),
        };
        let user = Self {
            id,
            userpool_id,
            username,
            profile: new.profile,
            external_id: Some(new.external_id).filter(|id| !id.is_empty()),
            suspension,
            suspend_reason: String::new(),
            expires_at: new.expires_at,
            created_at: now,
            updated_at: now,
            password_created_at: None,
        };
        Ok(user.with_expiry_applied(now))
    }

    /// State at `now` as the public interface shows it: an account that has ended is suspended,
    /// swept or not. Creation and removal happen within one transaction, so the transitional
    /// states are never seen.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> UserStatus {
        if self.suspension.is_empty() && !self.has_ended(now) {
            UserStatus::Active
        } else {
            UserStatus::Suspended
        }
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Replaces the fields that `mask` covers. `domain` is the domain of the pool in which the
    /// new login ends; it is looked at only when the login changes.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule; `Precondition` as for [`User::create`].
    pub fn update(
        &self,
        input: UserInput,
        mask: &Mask<UserField>,
        domain: Option<&UserpoolDomain>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let mut changed = self.clone();
        if mask.covers(UserField::Username) {
            changed.username = Username::parse(&input.username)?;
            if changed.username.domain() != self.username.domain() {
                require_domain(&self.userpool_id, &changed.username, domain)?;
            }
        }
        changed.profile = self.profile.merged(input.profile, mask);
        changed.profile.check()?;
        if mask.covers(UserField::ExpiresAt) {
            check_expires_at(input.expires_at)?;
            changed.expires_at = input.expires_at;
        }
        changed.updated_at = now;
        Ok(changed.with_expiry_applied(now))
    }

    /// Suspends the user; a suspended user gets one more cause. A repetition changes nothing
    /// (decision U51). A given `expires_at` is stored, an absent one leaves the stored one alone
    /// (decision U53).
    ///
    /// # Errors
    /// `Invalid` for a reason that is too long or an account end out of range.
    pub fn suspend(
        &self,
        actor: Actor,
        reason: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        text_size::check("reason", reason, TEXT_CHARACTERS_MAX)?;
        check_expires_at(expires_at)?;
        let expires_at = expires_at.or(self.expires_at);
        if self.suspension.has(actor.cause()) && expires_at == self.expires_at {
            return Ok(self.clone());
        }
        let suspended = Self {
            suspension: self.suspension.with(actor.cause()),
            suspend_reason: reason.to_owned(),
            expires_at,
            updated_at: now,
            ..self.clone()
        };
        Ok(suspended.with_expiry_applied(now))
    }

    /// Takes back a suspension. An administrator lifts every cause but the account end; an agent
    /// lifts its own only, so that it never undoes an administrator's block (decision U52).
    ///
    /// # Errors
    /// `Precondition` when the account end has passed.
    pub fn reactivate(&self, actor: Actor, now: Timestamp) -> Result<Self, Refusal> {
        if self.has_ended(now) {
            return Err(Refusal::precondition(
                "USER_EXPIRED",
                format!(
                    "account end of user {} has passed: change or clear expires_at first",
                    self.id
                ),
            ));
        }
        let mut suspension = self
            .suspension
            .without(SuspensionCause::Agent)
            .without(SuspensionCause::Expired);
        if actor == Actor::Administrator {
            suspension = suspension.without(SuspensionCause::Admin);
        }
        if suspension == self.suspension {
            return Ok(self.clone());
        }
        let suspend_reason = if suspension.is_empty() {
            String::new()
        } else {
            self.suspend_reason.clone()
        };
        Ok(Self {
            suspension,
            suspend_reason,
            updated_at: now,
            ..self.clone()
        })
    }

    /// Suspends the user when the account end has passed; `None` when there is nothing to do.
    #[must_use]
    pub fn expire(&self, now: Timestamp) -> Option<Self> {
        let expired = self.clone().with_expiry_applied(now);
        if expired.suspension == self.suspension {
            return None;
        }
        Some(Self {
            updated_at: now,
            ..expired
        })
    }

    /// Ties the user to an object of the source directory (decision U66). The passwords come from there
    /// from now on, and the present one is none of its.
    ///
    /// # Errors
    /// `Invalid` for an empty or long id; `Precondition` when the user is tied to another object.
    pub fn convert_to_external(&self, external_id: &str, now: Timestamp) -> Result<Self, Refusal> {
        text_size::check_required("external_id", external_id, EXTERNAL_ID_CHARACTERS_MAX)?;
        match &self.external_id {
            Some(present) if present == external_id => Ok(self.clone()),
            Some(present) => Err(Refusal::precondition(
                "USER_ALREADY_EXTERNAL",
                format!("user {} is already tied to external id {present}", self.id),
            )),
            None => Ok(Self {
                external_id: Some(external_id.to_owned()),
                password_created_at: None,
                updated_at: now,
                ..self.clone()
            }),
        }
    }

    fn with_expiry_applied(self, now: Timestamp) -> Self {
        let suspension = if self.has_ended(now) {
            self.suspension.with(SuspensionCause::Expired)
        } else {
            self.suspension.without(SuspensionCause::Expired)
        };
        Self { suspension, ..self }
    }
}

impl Profile {
    fn merged(&self, input: Self, mask: &Mask<UserField>) -> Self {
        let pick = |field, new: String, old: &String| {
            if mask.covers(field) { new } else { old.clone() }
        };
        Self {
            full_name: pick(UserField::FullName, input.full_name, &self.full_name),
            given_name: pick(UserField::GivenName, input.given_name, &self.given_name),
            family_name: pick(UserField::FamilyName, input.family_name, &self.family_name),
            email: pick(UserField::Email, input.email, &self.email),
            phone_number: pick(
                UserField::PhoneNumber,
                input.phone_number,
                &self.phone_number,
            ),
            company_name: pick(
                UserField::CompanyName,
                input.company_name,
                &self.company_name,
            ),
            department: pick(UserField::Department, input.department, &self.department),
            job_title: pick(UserField::JobTitle, input.job_title, &self.job_title),
            employee_id: pick(UserField::EmployeeId, input.employee_id, &self.employee_id),
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        text_size::check_required("full_name", &self.full_name, TEXT_CHARACTERS_MAX)?;
        for (field, text) in [
            ("given_name", &self.given_name),
            ("family_name", &self.family_name),
            ("company_name", &self.company_name),
            ("department", &self.department),
            ("job_title", &self.job_title),
            ("employee_id", &self.employee_id),
        ] {
            text_size::check(field, text, TEXT_CHARACTERS_MAX)?;
        }
        text_size::check("phone_number", &self.phone_number, PHONE_CHARACTERS_MAX)?;
        text_size::check("email", &self.email, EMAIL_CHARACTERS_MAX)?;
        if !self.email.is_empty() && self.email.chars().count() < EMAIL_CHARACTERS_MIN {
            return Err(Refusal::invalid(
                "email",
                "must be empty or have at least 3 characters",
            ));
        }
        Ok(())
    }
}

fn require_domain(
    userpool_id: &UserpoolId,
    username: &Username,
    domain: Option<&UserpoolDomain>,
) -> Result<(), Refusal> {
    let fits = domain.is_some_and(|domain| {
        domain.userpool_id == *userpool_id
            && domain.name.as_str() == username.domain()
            && domain.is_usable()
    });
    if fits {
        return Ok(());
    }
    Err(Refusal::precondition(
        "USERNAME_DOMAIN_NOT_VALID",
        format!(
            "domain {:?} of the login is not a proven domain of pool {userpool_id}: add and validate it, or use another domain",
            username.domain()
        ),
    ))
}

fn check_expires_at(expires_at: Option<Timestamp>) -> Result<(), Refusal> {
    match expires_at {
        Some(end) if end < Timestamp::EPOCH || end >= EXPIRES_BEFORE => Err(Refusal::invalid(
            "expires_at",
            "must be between 1970-01-01T00:00:00Z and 2105-12-31T23:59:59Z",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
