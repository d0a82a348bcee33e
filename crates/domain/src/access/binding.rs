//! Changes of access bindings.
//!
//! Invariant: an organization keeps an owner who can sign in, only owners make and unmake owners,
//! and a role is never given to nobody. Adding what is there and removing what is not change
//! nothing, so that a batch can be repeated. Deliberately absent: the quota, and bindings that go
//! with their subject or resource, which the store removes.

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

/// Whether the caller owns the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Owner,
    /// It does not.
    Other,
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
    /// Who changes.
    pub standing: Standing,
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
        if role == Role::Owner && kind == SubjectKind::System {
            return Err(Refusal::invalid(
                format!("{field}.subject.type"),
                format!("{role} is given to users, service accounts and groups only"),
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
/// owners; `Precondition` when no owner would be left.
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
            BindingAction::Remove if !present => continue,
            BindingAction::Add => facts.require_subject(&field, &delta.binding.subject)?,
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
            facts.require_subject(&field, &binding.subject)?;
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
    fn require_subject(&self, field: &str, subject: &Subject) -> Result<(), Refusal> {
        let everywhere = matches!(
            SystemSubject::parse(subject.id.as_str()),
            Some(SystemSubject::AllUsers | SystemSubject::AllAuthenticatedUsers)
        );
        if everywhere {
            return Ok(());
        }
        match self.kinds.get(&subject.id) {
            Some(kind) if *kind == subject.kind => Ok(()),
            Some(kind) => Err(Refusal::invalid(
                format!("{field}.subject.type"),
                format!("is {}, but {} is a {kind}", subject.kind, subject.id),
            )),
            None => Err(Refusal::NotFound {
                what: format!("{field}.subject: {} {}", subject.kind, subject.id),
            }),
        }
    }

    fn check_owners(&self, effective: &[BindingDelta]) -> Result<(), Refusal> {
        let changes_owners = effective
            .iter()
            .any(|delta| delta.binding.role == Role::Owner);
        if !changes_owners {
            return Ok(());
        }
        if self.standing != Standing::Owner {
            return Err(Refusal::denied(format!(
                "only an owner makes and unmakes owners: ask somebody with the role {}",
                Role::Owner
            )));
        }
        let mut owners: BTreeSet<_> = self.present.iter().filter(|old| is_lasting(old)).collect();
        for delta in effective.iter().filter(|delta| is_lasting(&delta.binding)) {
            match delta.action {
                BindingAction::Add => owners.insert(&delta.binding),
                BindingAction::Remove => owners.remove(&delta.binding),
            };
        }
        require_owner_left(&self.organization_id, owners.len())
    }
}

/// Requires that an organization keeps an owner who can sign in when `leaving` goes; `owners` are
/// the bindings of its owners.
///
/// # Errors
/// `Precondition` when it is the last one.
pub fn require_other_owner(
    id: &OrganizationId,
    owners: &[AccessBinding],
    leaving: &SubjectId,
) -> Result<(), Refusal> {
    let mut lasting = owners.iter().filter(|binding| is_lasting(binding));
    if !lasting.any(|binding| binding.subject.id == *leaving) {
        return Ok(());
    }
    let others = owners
        .iter()
        .filter(|binding| is_lasting(binding) && binding.subject.id != *leaving);
    require_owner_left(id, others.count())
}

fn require_owner_left(id: &OrganizationId, owners: usize) -> Result<(), Refusal> {
    if owners > 0 {
        return Ok(());
    }
    Err(Refusal::precondition(
        "LAST_OWNER",
        format!(
            "organization {id} would be left without a user or service account with the role {}: \
             give it to another one first",
            Role::Owner
        ),
    ))
}

/// Whether a binding makes somebody an owner who can sign in. A group may be empty.
fn is_lasting(binding: &AccessBinding) -> bool {
    binding.role == Role::Owner
        && matches!(
            binding.subject.kind,
            SubjectKind::UserAccount | SubjectKind::ServiceAccount
        )
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
