//! Changes of access bindings.
//!
//! Invariant: an organization keeps an owner who can sign in, only owners make and unmake owners,
//! nobody gives more than it may give, and a role is never given to nobody. Adding what is there and removing what is not change
//! nothing, so that a batch can be repeated. Deliberately absent: the quota, and bindings that go
//! with their subject or resource, which the store removes.

mod granting;

use std::collections::{BTreeMap, BTreeSet};

use super::{AccessBinding, ResourceKind, ResourceRef, Role, Subject, SubjectKind, SystemSubject};
use crate::id::{OrganizationId, SubjectId};
use crate::named::{Named, named_enum};
use crate::refusal::Refusal;

named_enum! {
    /// What to do with a binding.
    pub enum BindingAction {
        /// Give the role.
        Add = "ADD",
        /// Take the role away.
        Remove = "REMOVE",
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingDelta {
    /// What to do.
    pub action: BindingAction,
    /// With which binding.
    pub binding: AccessBinding,
}

/// What is known before a change.
#[derive(Debug, Clone)]
pub struct BindingFacts {
    /// The organization that the resource is or belongs to.
    pub organization_id: OrganizationId,
    /// Bindings on the resource: all those of the subjects in question, and all of owners.
    pub present: BTreeSet<AccessBinding>,
    /// The kinds of those subjects in question that exist in the organization.
    pub kinds: BTreeMap<SubjectId, SubjectKind>,
    /// Which of the owners and of the subjects in question are service accounts that are enabled.
    pub enabled: BTreeSet<SubjectId>,
    /// The bindings of the caller that count on the resource.
    pub callers: Vec<AccessBinding>,
}

impl AccessBinding {
    /// Reads a binding on `resource` from the texts of a request; `field` is its path there.
    ///
    /// # Errors
    /// `Invalid` naming the role, the type or the id that is none.
    pub fn parse(
        field: &str,
        resource: &ResourceRef,
        role_id: &str,
        subject_id: &str,
        subject_type: &str,
    ) -> Result<Self, Refusal> {
        let Some(role) = Role::parse(role_id) else {
            return Err(Refusal::invalid(
                format!("{field}.role_id"),
                format!("{role_id:?} is no role: take one of {}", names::<Role>()),
            ));
        };
        let kind = SubjectKind::parse(subject_type);
        let Some(kind) = kind.filter(|kind| *kind != SubjectKind::FederatedUser) else {
            return Err(Refusal::invalid(
                format!("{field}.subject.type"),
                format!(
                    "{subject_type:?} is no kind of subject that this hub has: take one of \
                     userAccount, serviceAccount, group, system"
                ),
            ));
        };
        if kind == SubjectKind::System && SystemSubject::parse(subject_id).is_none() {
            return Err(Refusal::invalid(
                format!("{field}.subject.id"),
                format!(
                    "{subject_id:?} stands for nobody: take allAuthenticatedUsers, allUsers, \
                     group:organization:<id>:users or group:userpool:<id>:users"
                ),
            ));
        }
        if role == Role::Owner && resource.kind != ResourceKind::Organization {
            return Err(Refusal::invalid(
                format!("{field}.role_id"),
                format!("{role} is given on an organization only"),
            ));
        }
        // Else whoever manages the members of a group would make owners.
        if role == Role::Owner && matches!(kind, SubjectKind::System | SubjectKind::Group) {
            return Err(Refusal::invalid(
                format!("{field}.subject.type"),
                format!(
                    "{role} is given to users and service accounts only, each by name: a {kind} \
                     may come to have other members"
                ),
            ));
        }
        Ok(Self {
            resource: resource.clone(),
            role,
            subject: Subject {
                id: subject_id.into(),
                kind,
            },
        })
    }
}

/// Decides what a batch of deltas changes, in its order. `field` is the path of the batch.
///
/// # Errors
/// `Invalid` for a binding that occurs twice or a subject of another type, `NotFound` for a
/// subject that is not there, both naming the index; `Denied` when others than owners deal with
/// owners, or for a role that the caller may not give; `Precondition` when no owner would be left.
pub fn update(
    field: &str,
    deltas: &[BindingDelta],
    facts: &BindingFacts,
) -> Result<Vec<BindingDelta>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut effective = Vec::new();
    for (index, delta) in deltas.iter().enumerate() {
        let field = format!("{field}[{index}].access_binding");
        if !seen.insert(&delta.binding) {
            return Err(twice(field));
        }
        let present = facts.present.contains(&delta.binding);
        match delta.action {
            BindingAction::Add if present => continue,
            BindingAction::Remove if !present => {
                facts.require_kind(&field, &delta.binding.subject)?;
                continue;
            }
            BindingAction::Add => facts.require_addable(&field, &delta.binding)?,
            BindingAction::Remove => {}
        }
        effective.push(delta.clone());
    }
    facts.check_owners(&effective)?;
    Ok(effective)
}

/// Decides what must change so that exactly `wanted` is left. `field` is the path of the list.
///
/// # Errors
/// As [`update`].
pub fn replace(
    field: &str,
    wanted: &[AccessBinding],
    facts: &BindingFacts,
) -> Result<Vec<BindingDelta>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut added = Vec::new();
    for (index, binding) in wanted.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if !seen.insert(binding) {
            return Err(twice(field));
        }
        if !facts.present.contains(binding) {
            facts.require_addable(&field, binding)?;
            added.push(BindingDelta {
                action: BindingAction::Add,
                binding: binding.clone(),
            });
        }
    }
    let gone = facts.present.iter().filter(|old| !seen.contains(old));
    let mut effective: Vec<_> = gone
        .map(|binding| BindingDelta {
            action: BindingAction::Remove,
            binding: binding.clone(),
        })
        .collect();
    effective.extend(added);
    facts.check_owners(&effective)?;
    Ok(effective)
}

impl BindingFacts {
    fn require_addable(&self, field: &str, binding: &AccessBinding) -> Result<(), Refusal> {
        granting::require_grantable(binding, &self.callers)?;
        self.require_subject(field, &binding.subject)
    }

    fn require_subject(&self, field: &str, subject: &Subject) -> Result<(), Refusal> {
        let parsed = SystemSubject::parse(subject.id.as_str());
        if subject.kind == SubjectKind::System && parsed.is_some_and(|set| set.is_everybody()) {
            return Ok(());
        }
        self.require_kind(field, subject)?;
        if self.kinds.contains_key(&subject.id) {
            return Ok(());
        }
        Err(Refusal::NotFound {
            what: format!("{field}.subject: {} {}", subject.kind, subject.id),
        })
    }

    /// Requires that a subject, if there is one with this id, is what it is called.
    fn require_kind(&self, field: &str, subject: &Subject) -> Result<(), Refusal> {
        let bound = self.present.iter().map(|binding| &binding.subject);
        let bound = bound.filter(|bound| bound.id == subject.id);
        let mut kinds = self
            .kinds
            .get(&subject.id)
            .into_iter()
            .chain(bound.map(|bound| &bound.kind));
        match kinds.next() {
            Some(kind) if *kind != subject.kind => Err(Refusal::invalid(
                format!("{field}.subject.type"),
                format!("is {}, but {} is a {kind}", subject.kind, subject.id),
            )),
            _ => Ok(()),
        }
    }

    fn check_owners(&self, effective: &[BindingDelta]) -> Result<(), Refusal> {
        let changes_owners = effective
            .iter()
            .any(|delta| delta.binding.role == Role::Owner);
        if !changes_owners {
            return Ok(());
        }
        let mut callers = self.callers.iter();
        if !callers.any(|binding| binding.role == Role::Owner) {
            return Err(Refusal::denied(format!(
                "only an owner makes and unmakes owners: ask somebody with the role {}",
                Role::Owner
            )));
        }
        let present = self.present.iter();
        let mut owners: BTreeSet<_> = present.filter(|old| self.is_lasting(old)).collect();
        for delta in effective {
            match delta.action {
                BindingAction::Add if self.is_lasting(&delta.binding) => {
                    owners.insert(&delta.binding)
                }
                BindingAction::Add => false,
                BindingAction::Remove => owners.remove(&delta.binding),
            };
        }
        require_owner_left(&self.organization_id, owners.len() as u64)
    }

    /// Whether a binding makes somebody an owner who can sign in.
    fn is_lasting(&self, binding: &AccessBinding) -> bool {
        binding.role == Role::Owner
            && binding.subject.kind == SubjectKind::ServiceAccount
            && self.enabled.contains(&binding.subject.id)
    }
}

/// Requires that an organization keeps an owner who can sign in; `owners` counts the enabled
/// service accounts that would still own it. Users are not counted: they cannot sign in yet.
///
/// # Errors
/// `Precondition` when there is none.
pub fn require_owner_left(id: &OrganizationId, owners: u64) -> Result<(), Refusal> {
    if owners > 0 {
        return Ok(());
    }
    Err(Refusal::precondition(
        "LAST_OWNER",
        format!(
            "organization {id} would be left without an enabled service account with the role \
             {}: give it to another one first",
            Role::Owner
        ),
    ))
}

fn twice(field: String) -> Refusal {
    Refusal::invalid(
        field,
        "the same role of the same subject occurs twice in one call",
    )
}

fn names<T: Named>() -> String {
    let names: Vec<_> = T::ALL.iter().map(|value| value.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
