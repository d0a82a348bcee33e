//! Access policies: restrictions that an organization puts on what roles allow.
//!
//! Invariant: the list of templates is closed, and each of them forbids something that the hub
//! does. A policy only takes away; no role is needed to be bound by it. Deliberately absent:
//! looking up which policies an organization has.

use std::collections::BTreeMap;

use rollcall_kit::timestamp::Timestamp;

use crate::access::{AccessBinding, Role};
use crate::id::OrganizationId;
use crate::named::{Named, named_enum};
use crate::refusal::Refusal;

named_enum! {
    /// What a policy forbids.
    pub enum PolicyTemplate {
        /// Nobody makes service accounts.
        DenyServiceAccountCreation = "iam.denyServiceAccountCreation",
        /// Nobody makes authorized keys of service accounts.
        DenyAuthorizedKeysCreation = "iam.denyServiceAccountAuthorizedKeysCreation",
        /// Nobody gets a token of a service account but that account itself.
        DenyImpersonation = "iam.denyServiceAccountImpersonation",
        /// Nobody but owners lists the users of a pool.
        DenyUserListing = "organization.denyUserListing",
    }
}

/// The only parameter: a text for those who are refused, such as whom to ask.
const MESSAGE: &str = "message";
/// Most characters of it.
const MESSAGE_CHARACTERS_MAX: usize = 1_024;

/// A policy of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicyBinding {
    /// Whose.
    pub organization_id: OrganizationId,
    /// What it forbids.
    pub template: PolicyTemplate,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// When it was bound.
    pub created_at: Timestamp,
}

impl PolicyTemplate {
    /// Reads the id of a template; `field` is its path in the request.
    ///
    /// # Errors
    /// `Invalid` listing the templates that there are.
    pub fn parse_id(field: &str, id: &str) -> Result<Self, Refusal> {
        Self::parse(id).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|template| template.name()).collect();
            Refusal::invalid(
                field,
                format!(
                    "{id:?} is no access policy of this hub: take one of {}",
                    known.join(", ")
                ),
            )
        })
    }
}

impl AccessPolicyBinding {
    /// Binds a policy to an organization that has `present` of the same template; `field` is the
    /// path of the parameters in the request.
    ///
    /// # Errors
    /// `Invalid` naming a parameter; `AlreadyExists` when it is bound.
    pub fn bind(
        organization_id: OrganizationId,
        template: PolicyTemplate,
        parameters: BTreeMap<String, String>,
        field: &str,
        present: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        check_parameters(field, &parameters)?;
        if present.is_some() {
            return Err(Refusal::already_exists("access policy", template));
        }
        Ok(Self {
            organization_id,
            template,
            parameters,
            created_at: now,
        })
    }

    /// The same policy with other parameters, which take the place of all present ones.
    ///
    /// # Errors
    /// `Invalid` naming a parameter.
    pub fn with_parameters(
        self,
        parameters: BTreeMap<String, String>,
        field: &str,
    ) -> Result<Self, Refusal> {
        check_parameters(field, &parameters)?;
        Ok(Self { parameters, ..self })
    }

    /// Requires that this policy lets a caller through who has these bindings on the organization.
    ///
    /// # Errors
    /// `Precondition` for what nobody may do, `Denied` for what the caller may not do; both name
    /// the policy.
    pub fn require_allowed(&self, bindings: &[AccessBinding]) -> Result<(), Refusal> {
        let mut text = format!(
            "access policy {} of organization {} forbids this",
            self.template, self.organization_id
        );
        if let Some(message) = self.parameters.get(MESSAGE) {
            text.push_str(": ");
            text.push_str(message);
        }
        match self.template {
            PolicyTemplate::DenyUserListing => {
                if bindings.iter().any(|binding| binding.role == Role::Owner) {
                    return Ok(());
                }
                Err(Refusal::denied(text))
            }
            PolicyTemplate::DenyServiceAccountCreation
            | PolicyTemplate::DenyAuthorizedKeysCreation
            | PolicyTemplate::DenyImpersonation => {
                Err(Refusal::precondition("ACCESS_POLICY", text))
            }
        }
    }
}

fn check_parameters(field: &str, parameters: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for (name, value) in parameters {
        if name != MESSAGE {
            return Err(Refusal::invalid(
                format!("{field}[{name:?}]"),
                format!("is no parameter of this policy: it knows {MESSAGE:?} only"),
            ));
        }
        let length = value.chars().count();
        if length == 0 || length > MESSAGE_CHARACTERS_MAX {
            return Err(Refusal::invalid(
                format!("{field}[{name:?}]"),
                format!("has {length} characters, must have 1 to {MESSAGE_CHARACTERS_MAX}"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{ResourceRef, Subject};

    fn bind(
        template: PolicyTemplate,
        parameters: &[(&str, &str)],
        present: Option<&AccessPolicyBinding>,
    ) -> Result<AccessPolicyBinding, Refusal> {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let now = Timestamp::EPOCH;
        AccessPolicyBinding::bind("bpf1".into(), template, parameters, "p", present, now)
    }

    fn bindings(role: Role) -> [AccessBinding; 1] {
        [AccessBinding {
            resource: ResourceRef::organization(&"bpf1".into()),
            role,
            subject: Subject::service_account("aje1"),
        }]
    }

    #[test]
    fn templates_are_a_closed_list() {
        let template = PolicyTemplate::parse_id("t", "organization.denyUserListing").unwrap();
        assert_eq!(template, PolicyTemplate::DenyUserListing);
        let text = PolicyTemplate::parse_id("t", "deny.everything")
            .unwrap_err()
            .to_string();
        for template in PolicyTemplate::ALL {
            assert!(text.contains(template.name()), "{text}");
        }
    }

    #[test]
    fn parameters_are_known_and_replaced() {
        let template = PolicyTemplate::DenyUserListing;
        let bound = bind(template, &[("message", "ask ann")], None).unwrap();
        for bad in [("text", "x"), ("message", "")] {
            assert!(bind(template, &[bad], None).is_err(), "{bad:?}");
            let parameters = [(bad.0.to_owned(), bad.1.to_owned())].into();
            assert!(bound.clone().with_parameters(parameters, "p").is_err());
        }
        assert!(matches!(
            bind(template, &[], Some(&bound)),
            Err(Refusal::AlreadyExists { .. })
        ));
        let changed = bound.with_parameters(BTreeMap::new(), "p").unwrap();
        assert!(changed.parameters.is_empty());
    }

    #[test]
    fn a_policy_says_what_it_is_and_spares_owners_of_lists_only() {
        for template in PolicyTemplate::ALL {
            let policy = bind(*template, &[("message", "ask ann")], None).unwrap();
            let text = policy
                .require_allowed(&bindings(Role::Admin))
                .unwrap_err()
                .to_string();
            assert!(text.contains(template.name()), "{text}");
            assert!(text.ends_with("ask ann"), "{text}");
            let spared = policy.require_allowed(&bindings(Role::Owner)).is_ok();
            assert_eq!(spared, *template == PolicyTemplate::DenyUserListing);
        }
    }
}
