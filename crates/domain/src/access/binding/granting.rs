//! Which roles a caller may give.
//!
//! Invariant: nobody gets from a caller what the caller does not have itself, but from those who
//! may change the bindings of the whole organization, and from those who look after a pool and
//! set up its agents. Deliberately absent: owners, which `binding` judges, and taking roles away,
//! which needs the right to change bindings only.

use crate::access::{AccessBinding, Permission, ResourceKind, Role, SystemSubject, allows};
use crate::named::Named;
use crate::refusal::Refusal;

/// How the names of the roles that are given on pools begin.
const USERPOOLS: &str = "organization-manager.userpools.";

/// Requires that a caller with the bindings `callers` may give `binding`.
///
/// # Errors
/// `Denied` naming the role.
pub(super) fn require_grantable(
    binding: &AccessBinding,
    callers: &[AccessBinding],
) -> Result<(), Refusal> {
    let role = binding.role;
    let set = SystemSubject::parse(binding.subject.id.as_str());
    if let Some(set) = set.filter(SystemSubject::is_everybody)
        && !only_shows(role)
    {
        return Err(Refusal::denied(format!(
            "the role {role} is not given to {set}: everybody gets roles of viewers and auditors \
             only"
        )));
    }
    if role == Role::Owner || gives_anything(callers) || gives_on_pool(binding, callers) {
        return Ok(());
    }
    let mut needed = Permission::ALL.iter().copied();
    let beyond = needed.find(|it| it.roles().contains(&role) && !allows(callers, *it));
    match beyond {
        None => Ok(()),
        Some(permission) => Err(Refusal::denied(format!(
            "the role {role} comes with the permission {}, which the caller does not have there: \
             only what one has can be given",
            permission.name()
        ))),
    }
}

/// Whether a role is one of viewers and auditors.
fn only_shows(role: Role) -> bool {
    matches!(
        role,
        Role::Viewer
            | Role::Auditor
            | Role::UserpoolsViewer
            | Role::UserpoolsAuditor
            | Role::GroupsViewer
    )
}

fn gives_anything(callers: &[AccessBinding]) -> bool {
    let on_organization: Vec<_> = callers
        .iter()
        .filter(|binding| binding.resource.kind == ResourceKind::Organization)
        .cloned()
        .collect();
    allows(
        &on_organization,
        Permission::OrganizationsUpdateAccessBindings,
    )
}

/// An agent has rights that the administrator who sets it up has not.
fn gives_on_pool(binding: &AccessBinding, callers: &[AccessBinding]) -> bool {
    binding.resource.kind == ResourceKind::Userpool
        && binding.role.name().starts_with(USERPOOLS)
        && allows(callers, Permission::UserpoolsUpdateAccessBindings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{ResourceRef, Subject, SubjectKind};

    /// `groups.admin@group`: a role on a resource.
    fn bound(text: &str, subject: &Subject) -> AccessBinding {
        let (role, resource) = text.split_once('@').unwrap();
        AccessBinding {
            resource: match resource {
                "organization" => ResourceRef::organization(&"bpf1".into()),
                "pool" => ResourceRef::userpool(&"ek01".into()),
                _ => ResourceRef::group(&"aje8".into()),
            },
            role: Role::parse(&format!("organization-manager.{role}")).unwrap(),
            subject: subject.clone(),
        }
    }

    #[track_caller]
    fn check(caller: &str, given: &str, expected: bool) {
        let callers = [bound(caller, &Subject::service_account("aje1"))];
        let given = bound(given, &Subject::user("aje2"));
        let verdict = require_grantable(&given, &callers);
        assert_eq!(verdict.is_ok(), expected, "{caller} {given:?}");
        if let Err(refusal) = verdict {
            assert!(matches!(refusal, Refusal::Denied { .. }), "{refusal:?}");
            let text = refusal.to_string();
            assert!(text.contains(given.role.name()), "{text}");
        }
    }

    #[test]
    fn only_what_one_has_is_given() {
        check("groups.admin@group", "groups.viewer@group", true);
        check("groups.admin@group", "groups.memberAdmin@group", true);
        check("groups.admin@group", "groups.admin@group", true);
        check("groups.admin@group", "groups.externalManager@group", false);
        check("groups.admin@group", "admin@group", false);
        check("groups.admin@group", "viewer@group", false);
        check("groups.admin@organization", "admin@group", false);
        check("admin@group", "admin@group", true);
    }

    #[test]
    fn administrators_of_a_pool_set_up_agents() {
        check("userpools.admin@pool", "userpools.syncAgent@pool", true);
        check(
            "userpools.admin@pool",
            "userpools.extGroupsCleaner@pool",
            true,
        );
        check(
            "userpools.admin@organization",
            "userpools.syncAgent@pool",
            true,
        );
        check("userpools.admin@pool", "groups.viewer@pool", false);
        check("userpools.admin@pool", "viewer@pool", false);
        check("userpools.admin@pool", "admin@pool", false);
        check("admin@pool", "groups.externalCreator@pool", true);
    }

    #[test]
    fn those_who_change_the_bindings_of_the_organization_give_anything() {
        check(
            "admin@organization",
            "userpools.syncAgent@organization",
            true,
        );
        check("admin@organization", "admin@pool", true);
        check("admin@organization", "groups.externalManager@group", true);
        let owner = "organizations.owner@organization";
        check(owner, "userpools.syncAgent@group", true);
    }

    #[test]
    fn everybody_gets_what_viewers_have_at_most() {
        let callers = [bound(
            "organizations.owner@organization",
            &Subject::service_account("aje1"),
        )];
        for set in [
            SystemSubject::AllUsers,
            SystemSubject::AllAuthenticatedUsers,
        ] {
            let everybody = Subject {
                id: set.id(),
                kind: SubjectKind::System,
            };
            for role in Role::ALL {
                let short = role.name().trim_start_matches("organization-manager.");
                let given = bound(&format!("{short}@pool"), &everybody);
                let shows = short.ends_with("viewer") || short.ends_with("auditor");
                let verdict = require_grantable(&given, &callers);
                assert_eq!(verdict.is_ok(), shows, "{given:?}");
            }
        }
    }
}
