//! `rollcall access`: who has which role on the organization, a pool or a group.
//!
//! Invariant: the organization is meant unless a pool or a group is named here; the pool that other
//! commands work on by default does not change that. Access policies are `access_policy`.

use clap::{Args, Subcommand};
use rollcall_client::ClientError;
use rollcall_proto::access::{
    AccessBinding, AccessBindingAction, AccessBindingDelta, AccessBindingsOperationResult,
    ListAccessBindingsRequest, SetAccessBindingsRequest, Subject, UpdateAccessBindingsRequest,
};

use crate::arguments::{Confirmation, Session};
use crate::failure::Failure;
use crate::output::Column;
use crate::page::ListArguments;
use crate::{access_policy, group, organization, subject, userpool};

/// What all names of roles begin with.
const ROLE_PREFIX: &str = "organization-manager.";
/// The most changes that one call takes.
const DELTAS_MAX: usize = 1_000;

const COLUMNS: [Column<AccessBinding>; 3] = [
    ("ROLE", |binding| binding.role_id.clone()),
    ("TYPE", |binding| {
        who(binding).map_or_else(String::new, |who| who.r#type.clone())
    }),
    ("SUBJECT", |binding| {
        who(binding).map_or_else(String::new, |who| who.id.clone())
    }),
];

/// Commands about rights.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists who has which role.
    #[command(
        after_help = "Examples:\n  rollcall access list\n  rollcall access list --pool staff"
    )]
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        list: ListArguments,
    },
    /// Gives a role to one or more subjects.
    #[command(
        after_help = "Examples:\n  rollcall access add viewer anna@corp.example\n  rollcall access \
                            add userpools.syncAgent sync-agent --pool staff\n  rollcall access add \
                            groups.memberAdmin group:Leads --group Staff"
    )]
    Add {
        /// Role, with or without organization-manager. before it.
        role: String,
        #[arg(required = true, value_name = "SUBJECT", help = subject::HELP)]
        subjects: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Takes a role from one or more subjects.
    Remove {
        /// Role, with or without organization-manager. before it.
        role: String,
        #[arg(required = true, value_name = "SUBJECT", help = subject::HELP)]
        subjects: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Replaces all bindings by those given.
    #[command(
        after_help = "Example:\n  rollcall access set --pool staff userpools.admin=anna@corp.example \
                            userpools.syncAgent=sync-agent"
    )]
    Set {
        /// A role and who has it.
        #[arg(value_name = "ROLE=SUBJECT", required_unless_present = "none")]
        bindings: Vec<String>,
        /// Nobody has a role there any more.
        #[arg(long, conflicts_with = "bindings")]
        none: bool,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Access policies: ready-made sets of restrictions on the organization.
    #[command(subcommand, visible_alias = "policy")]
    Policies(access_policy::Command),
}

/// On what. Without these flags it is the organization.
#[derive(Debug, Args)]
pub struct Place {
    /// On this pool, by name or identifier; without --pool and --group on the organization.
    #[arg(long, value_name = "POOL", conflicts_with = "group")]
    pool: Option<String>,
    /// On this group, by name or identifier.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

/// What a binding is on.
#[derive(Debug, Clone)]
struct Resource {
    kind: Kind,
    id: String,
}

/// Kinds of resources that have bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Organization,
    Userpool,
    Group,
}

/// Does what `command` asks for.
///
/// # Errors
/// Whatever the calls end with.
pub async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::List { place, list } => list_bindings(session, &place, &list).await,
        Command::Add {
            role,
            subjects,
            place,
        } => update(session, AccessBindingAction::Add, &role, &subjects, &place).await,
        Command::Remove {
            role,
            subjects,
            place,
        } => {
            update(
                session,
                AccessBindingAction::Remove,
                &role,
                &subjects,
                &place,
            )
            .await
        }
        Command::Set {
            bindings,
            none: _,
            place,
            confirmation,
        } => set(session, &bindings, &place, &confirmation).await,
        Command::Policies(command) => access_policy::run(command, session).await,
    }
}

impl Place {
    async fn resource(&self, session: &Session) -> Result<Resource, Failure> {
        let (kind, id) = if let Some(pool) = &self.pool {
            (Kind::Userpool, userpool::find(session, pool).await?)
        } else if let Some(group) = &self.group {
            (Kind::Group, group::find(session, group).await?)
        } else {
            (Kind::Organization, organization::meant(session).await?)
        };
        Ok(Resource { kind, id })
    }
}

impl Resource {
    fn describe(&self) -> String {
        let kind = match self.kind {
            Kind::Organization => "organization",
            Kind::Userpool => "pool",
            Kind::Group => "group",
        };
        format!("{kind} {}", self.id)
    }
}

async fn list_bindings(
    session: &Session,
    place: &Place,
    list: &ListArguments,
) -> Result<(), Failure> {
    let resource = place.resource(session).await?;
    let bindings = list
        .collect(|page_size, page_token| fetch(session, &resource, page_size, page_token))
        .await?;
    session.output.list(&bindings, &COLUMNS)
}

async fn update(
    session: &Session,
    action: AccessBindingAction,
    role: &str,
    subjects: &[String],
    place: &Place,
) -> Result<(), Failure> {
    let resource = place.resource(session).await?;
    let mut deltas = Vec::new();
    for text in subjects {
        deltas.push(AccessBindingDelta {
            action: action.into(),
            access_binding: Some(binding(role, subject::find(session, text).await?)),
        });
    }
    let mut effective = Effective::NotTold;
    for batch in deltas.chunks(DELTAS_MAX) {
        let request = UpdateAccessBindingsRequest {
            resource_id: resource.id.clone(),
            access_binding_deltas: batch.to_vec(),
        };
        effective = effective.plus(send_deltas(session, resource.kind, request).await?);
    }
    let what = match action {
        AccessBindingAction::Remove => "is taken from",
        _ => "is given to",
    };
    session.output.done(&format!(
        "role {} on {} {what} {}{}",
        full_role(role),
        resource.describe(),
        subjects.join(", "),
        effective.describe(subjects.len())
    ))
}

async fn set(
    session: &Session,
    bindings: &[String],
    place: &Place,
    confirmation: &Confirmation,
) -> Result<(), Failure> {
    let resource = place.resource(session).await?;
    let mut wanted = Vec::new();
    for text in bindings {
        let (role, who) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("{text:?} is no binding: write ROLE=SUBJECT")))?;
        wanted.push(binding(role, subject::find(session, who).await?));
    }
    let what = format!(
        "Replace all bindings of {} by {}",
        resource.describe(),
        wanted.len()
    );
    session.confirm(confirmation, &what)?;
    let request = SetAccessBindingsRequest {
        resource_id: resource.id.clone(),
        access_bindings: wanted,
    };
    send_set(session, resource.kind, request).await?;
    session.output.done(&format!(
        "{} has {} bindings",
        resource.describe(),
        bindings.len()
    ))
}

/// How many changes were not there before. The organization does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effective {
    NotTold,
    Changes(usize),
}

impl Effective {
    fn plus(self, more: Self) -> Self {
        match (self, more) {
            (Self::Changes(count), Self::Changes(more)) => Self::Changes(count + more),
            (Self::NotTold, told) => told,
            (told, Self::NotTold) => told,
        }
    }

    fn describe(self, asked: usize) -> String {
        match self {
            Self::Changes(count) if count < asked => {
                format!(" ({count} of {asked} changed, the rest was so before)")
            }
            _ => String::new(),
        }
    }
}

impl From<AccessBindingsOperationResult> for Effective {
    fn from(result: AccessBindingsOperationResult) -> Self {
        Self::Changes(result.effective_deltas.len())
    }
}

async fn send_deltas(
    session: &Session,
    kind: Kind,
    request: UpdateAccessBindingsRequest,
) -> Result<Effective, Failure> {
    let result: AccessBindingsOperationResult = match kind {
        Kind::Organization => {
            let () = session
                .change(request, |hub, request| async move {
                    hub.organizations().update_access_bindings(request).await
                })
                .await?;
            return Ok(Effective::NotTold);
        }
        Kind::Userpool => {
            session
                .change(request, |hub, request| async move {
                    hub.userpools().update_access_bindings(request).await
                })
                .await?
        }
        Kind::Group => {
            session
                .change(request, |hub, request| async move {
                    hub.groups().update_access_bindings(request).await
                })
                .await?
        }
    };
    Ok(result.into())
}

async fn send_set(
    session: &Session,
    kind: Kind,
    request: SetAccessBindingsRequest,
) -> Result<(), Failure> {
    let _: AccessBindingsOperationResult = match kind {
        Kind::Organization => {
            return session
                .change(request, |hub, request| async move {
                    hub.organizations().set_access_bindings(request).await
                })
                .await;
        }
        Kind::Userpool => {
            session
                .change(request, |hub, request| async move {
                    hub.userpools().set_access_bindings(request).await
                })
                .await?
        }
        Kind::Group => {
            session
                .change(request, |hub, request| async move {
                    hub.groups().set_access_bindings(request).await
                })
                .await?
        }
    };
    Ok(())
}

async fn fetch(
    session: &Session,
    resource: &Resource,
    page_size: i64,
    page_token: String,
) -> Result<(Vec<AccessBinding>, String), ClientError> {
    let request = ListAccessBindingsRequest {
        resource_id: resource.id.clone(),
        page_size,
        page_token,
    };
    let kind = resource.kind;
    let page = session
        .ask(request, move |hub, request| async move {
            match kind {
                Kind::Organization => hub.organizations().list_access_bindings(request).await,
                Kind::Userpool => hub.userpools().list_access_bindings(request).await,
                Kind::Group => hub.groups().list_access_bindings(request).await,
            }
        })
        .await?;
    Ok((page.access_bindings, page.next_page_token))
}

fn binding(role: &str, subject: Subject) -> AccessBinding {
    AccessBinding {
        role_id: full_role(role),
        subject: Some(subject),
    }
}

fn full_role(role: &str) -> String {
    if role.starts_with(ROLE_PREFIX) {
        role.to_owned()
    } else {
        format!("{ROLE_PREFIX}{role}")
    }
}

fn who(binding: &AccessBinding) -> Option<&Subject> {
    binding.subject.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_may_be_short() {
        let full = "organization-manager.userpools.syncAgent";
        assert_eq!(full_role("userpools.syncAgent"), full);
        assert_eq!(full_role(full), full);
    }

    #[test]
    fn what_was_so_before_is_told() {
        let both = Effective::NotTold
            .plus(Effective::Changes(1))
            .plus(Effective::Changes(1));
        assert_eq!(both.describe(2), "");
        assert!(both.describe(3).contains("2 of 3"));
        assert_eq!(Effective::NotTold.describe(3), "");
    }
}
