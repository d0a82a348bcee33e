//! Roles, permissions and who has them where.
//!
//! Invariant: the table below is the only source of rights; a call names a permission, never a
//! role. Deliberately absent: finding the bindings of a subject, and sign-in.

pub mod binding;
mod subject;

pub use subject::SystemSubject;

use crate::id::{GroupId, OrganizationId, SubjectId, UserpoolId};
use crate::named::{Named, named_enum};
use crate::refusal::Refusal;

named_enum! {
    /// A role that can be bound to a subject on a resource.
    pub enum Role {
        /// The agent's role on the pool side.
        UserpoolsSyncAgent = "organization-manager.userpools.syncAgent",
        /// The pool side of an agent that works in the stream of the objects only.
        UserpoolsObjectAgent = "organization-manager.userpools.objectAgent",
        /// The same for the state of accounts.
        UserpoolsAccountStateAgent = "organization-manager.userpools.accountStateAgent",
        /// The same for password hashes.
        UserpoolsPasswordHashAgent = "organization-manager.userpools.passwordHashAgent",
        /// The same for passwords on their way back to the directory.
        UserpoolsWritebackAgent = "organization-manager.userpools.writebackAgent",
        /// Sees pools and users, without phone numbers.
        UserpoolsAuditor = "organization-manager.userpools.auditor",
        /// Sees pools, users, settings, sessions and external groups.
        UserpoolsViewer = "organization-manager.userpools.viewer",
        /// Manages users.
        UserpoolsUserAdmin = "organization-manager.userpools.userAdmin",
        /// Manages pools, domains, users and settings.
        UserpoolsEditor = "organization-manager.userpools.editor",
        /// All of a pool.
        UserpoolsAdmin = "organization-manager.userpools.admin",
        /// Sees external groups.
        ExtGroupsViewer = "organization-manager.userpools.extGroupsViewer",
        /// Ties groups to a pool.
        ExtGroupsManager = "organization-manager.userpools.extGroupsManager",
        /// Unties groups from a pool.
        ExtGroupsCleaner = "organization-manager.userpools.extGroupsCleaner",
        /// Sees groups.
        GroupsViewer = "organization-manager.groups.viewer",
        /// Manages groups.
        GroupsEditor = "organization-manager.groups.editor",
        /// Manages members of groups.
        GroupsMemberAdmin = "organization-manager.groups.memberAdmin",
        /// Manages groups, members and their bindings.
        GroupsAdmin = "organization-manager.groups.admin",
        /// Creates external groups.
        GroupsExternalCreator = "organization-manager.groups.externalCreator",
        /// Makes basic groups external.
        GroupsExternalConverter = "organization-manager.groups.externalConverter",
        /// Manages external groups.
        GroupsExternalManager = "organization-manager.groups.externalManager",
        /// Sees the organization, without personal data.
        Auditor = "organization-manager.auditor",
        /// Sees the organization.
        Viewer = "organization-manager.viewer",
        /// Manages pools, users and groups.
        Editor = "organization-manager.editor",
        /// Everything.
        Admin = "organization-manager.admin",
        /// Everything.
        Owner = "organization-manager.organizations.owner",
    }
}

named_enum! {
    /// What a call needs.
    pub enum Permission {
        /// See an organization.
        OrganizationsGet = "organizations.get",
        /// Change an organization.
        OrganizationsUpdate = "organizations.update",
        /// See the bindings of an organization.
        OrganizationsListAccessBindings = "organizations.listAccessBindings",
        /// Change the bindings of an organization.
        OrganizationsUpdateAccessBindings = "organizations.updateAccessBindings",
        /// See the access policies of an organization.
        OrganizationsListAccessPolicyBindings = "organizations.listAccessPolicyBindings",
        /// Change the access policies of an organization.
        OrganizationsUpdateAccessPolicyBindings = "organizations.updateAccessPolicyBindings",
        /// See service accounts and their keys.
        ServiceAccountsGet = "serviceAccounts.get",
        /// Make, change and remove service accounts and their keys.
        ServiceAccountsManage = "serviceAccounts.manage",
        /// Sign in as a service account.
        ServiceAccountsCreateToken = "serviceAccounts.createToken",
        /// See the audit events of an organization.
        AuditGet = "audit.get",
        /// See pools.
        UserpoolsGet = "userpools.get",
        /// Make pools.
        UserpoolsCreate = "userpools.create",
        /// Change pools.
        UserpoolsUpdate = "userpools.update",
        /// Remove pools.
        UserpoolsDelete = "userpools.delete",
        /// See the bindings of a pool.
        UserpoolsListAccessBindings = "userpools.listAccessBindings",
        /// Change the bindings of a pool.
        UserpoolsUpdateAccessBindings = "userpools.updateAccessBindings",
        /// See domains.
        DomainsGet = "userpools.domains.get",
        /// Tie, prove and untie domains.
        DomainsManage = "userpools.domains.manage",
        /// See the audit events of a pool.
        UserpoolsAuditGet = "userpools.audit.get",
        /// See users.
        UsersGet = "userpools.users.get",
        /// See the groups of a user.
        UsersListGroups = "userpools.users.listGroups",
        /// See phone numbers of users.
        UsersGetPhone = "userpools.users.getPhone",
        /// Make, change and remove users.
        UsersManage = "userpools.users.manage",
        /// Suspend and reactivate users, and say when they end.
        UsersManageState = "userpools.users.manageState",
        /// Set passwords of users, and have one made up.
        UsersSetPassword = "userpools.users.setPassword",
        /// Make users with an imported hash.
        UsersCreateWithHash = "userpools.users.createWithHash",
        /// Import password hashes of users.
        UsersImportHash = "userpools.users.importHash",
        /// Say whether the password of a user must be changed.
        UsersRequirePasswordChange = "userpools.users.requirePasswordChange",
        /// Receive and commit password changes.
        PasswordChangesUse = "userpools.passwordChanges.use",
        /// See synchronization settings.
        SyncSettingsGet = "userpools.syncSettings.get",
        /// Change synchronization settings.
        SyncSettingsManage = "userpools.syncSettings.manage",
        /// See synchronization sessions.
        SyncSessionsGet = "userpools.syncSessions.get",
        /// Open and run synchronization sessions, of those streams that the next three name.
        SyncSessionsUse = "userpools.syncSessions.use",
        /// Work in the stream of the objects.
        SyncObjectsUse = "userpools.syncSessions.useObjects",
        /// Work in the stream of the state of accounts.
        SyncAccountStateUse = "userpools.syncSessions.useAccountState",
        /// Work in the stream of password hashes.
        SyncPasswordHashesUse = "userpools.syncSessions.usePasswordHashes",
        /// Start a session before its time (decision U132).
        SyncSessionsForce = "userpools.syncSessions.force",
        /// Close the session of somebody else (decision U16).
        SyncSessionsCloseAny = "userpools.syncSessions.closeAny",
        /// Read replication tokens (decision U26).
        ReplicationTokenGet = "userpools.replicationToken.get",
        /// Store replication tokens, of those streams that the caller works in.
        ReplicationTokenUse = "userpools.replicationToken.use",
        /// Clear replication tokens.
        ReplicationTokenReset = "userpools.replicationToken.reset",
        /// See the external groups of a pool.
        ExtGroupsGet = "userpools.extGroups.get",
        /// Tie groups to a pool.
        ExtGroupsBind = "userpools.extGroups.bind",
        /// Untie groups from a pool.
        ExtGroupsUnbind = "userpools.extGroups.unbind",
        /// See groups.
        GroupsGet = "groups.get",
        /// Make, change and remove basic groups; change labels of any group.
        GroupsManage = "groups.manage",
        /// See members.
        GroupsListMembers = "groups.listMembers",
        /// Change members of basic groups.
        GroupsUpdateMembers = "groups.updateMembers",
        /// See the bindings of a group.
        GroupsListAccessBindings = "groups.listAccessBindings",
        /// Change the bindings of a group.
        GroupsUpdateAccessBindings = "groups.updateAccessBindings",
        /// Create external groups.
        GroupsCreateExternal = "groups.createExternal",
        /// Make a basic group external.
        GroupsConvertExternal = "groups.convertExternal",
        /// Change, remove and fill external groups (decision U79).
        GroupsManageExternal = "groups.manageExternal",
    }
}

named_enum! {
    /// Kinds of resources that bindings can be made on.
    pub enum ResourceKind {
        /// An organization; its bindings count for everything below.
        Organization = "organization",
        /// A user pool.
        Userpool = "userpool",
        /// A group.
        Group = "group",
    }
}

named_enum! {
    /// Kinds of subjects.
    pub enum SubjectKind {
        /// A user of a pool.
        UserAccount = "userAccount",
        /// A service account.
        ServiceAccount = "serviceAccount",
        /// A user of a federation.
        FederatedUser = "federatedUser",
        /// A predefined set of subjects.
        System = "system",
        /// A group.
        Group = "group",
    }
}

/// Who a binding is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Identifier.
    pub id: SubjectId,
    /// Kind.
    pub kind: SubjectKind,
}

/// What a binding is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceRef {
    /// Kind.
    pub kind: ResourceKind,
    /// Identifier.
    pub id: String,
}

/// A role of a subject on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessBinding {
    /// Where.
    pub resource: ResourceRef,
    /// What.
    pub role: Role,
    /// Who.
    pub subject: Subject,
}

impl Subject {
    /// A service account.
    #[must_use]
    pub fn service_account(id: impl Into<SubjectId>) -> Self {
        Self {
            id: id.into(),
            kind: SubjectKind::ServiceAccount,
        }
    }

    /// A user.
    #[must_use]
    pub fn user(id: impl Into<SubjectId>) -> Self {
        Self {
            id: id.into(),
            kind: SubjectKind::UserAccount,
        }
    }
}

impl ResourceRef {
    /// An organization.
    #[must_use]
    pub fn organization(id: &OrganizationId) -> Self {
        Self {
            kind: ResourceKind::Organization,
            id: id.to_string(),
        }
    }

    /// A pool.
    #[must_use]
    pub fn userpool(id: &UserpoolId) -> Self {
        Self {
            kind: ResourceKind::Userpool,
            id: id.to_string(),
        }
    }

    /// A group.
    #[must_use]
    pub fn group(id: &GroupId) -> Self {
        Self {
            kind: ResourceKind::Group,
            id: id.to_string(),
        }
    }
}

// Short codes of the roles, so that the table below reads as a table.
const SA: Role = Role::UserpoolsSyncAgent;
const SO: Role = Role::UserpoolsObjectAgent;
const SS: Role = Role::UserpoolsAccountStateAgent;
const SH: Role = Role::UserpoolsPasswordHashAgent;
const SW: Role = Role::UserpoolsWritebackAgent;
const UA: Role = Role::UserpoolsAuditor;
const UV: Role = Role::UserpoolsViewer;
const UU: Role = Role::UserpoolsUserAdmin;
const UE: Role = Role::UserpoolsEditor;
const UM: Role = Role::UserpoolsAdmin;
const XV: Role = Role::ExtGroupsViewer;
const XM: Role = Role::ExtGroupsManager;
const XC: Role = Role::ExtGroupsCleaner;
const GV: Role = Role::GroupsViewer;
const GE: Role = Role::GroupsEditor;
const GM: Role = Role::GroupsMemberAdmin;
const GA: Role = Role::GroupsAdmin;
const GC: Role = Role::GroupsExternalCreator;
const GX: Role = Role::GroupsExternalConverter;
const GZ: Role = Role::GroupsExternalManager;
const OA: Role = Role::Auditor;
const OV: Role = Role::Viewer;
const OE: Role = Role::Editor;
const OM: Role = Role::Admin;

macro_rules! roles {
    ($($code:ident)+) => { &[$($code),+] };
}

impl Permission {
    /// The roles that carry this permission; [`Role::Owner`] carries every one.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::OrganizationsGet => roles!(SA UA UV UU UE UM GV GE GM GA OA OV OE OM),
            Self::OrganizationsUpdate => roles!(OE OM),
            Self::OrganizationsListAccessBindings
            | Self::OrganizationsListAccessPolicyBindings
            | Self::ServiceAccountsGet
            | Self::AuditGet => roles!(OA OV OE OM),
            Self::OrganizationsUpdateAccessBindings
            | Self::OrganizationsUpdateAccessPolicyBindings
            | Self::ServiceAccountsManage
            | Self::ServiceAccountsCreateToken => roles!(OM),
            Self::UserpoolsGet => roles!(SA SO SS SH SW UA UV UE UM OA OV OE OM),
            Self::UserpoolsListAccessBindings | Self::DomainsGet => {
                roles!(UA UV UE UM OA OV OE OM)
            }
            Self::UsersGet => roles!(SA SO SS SH SW UA UV UU UE UM OA OV OE OM),
            Self::UsersListGroups => roles!(UA UV UU UE UM OA OV OE OM),
            Self::UserpoolsAuditGet => roles!(UV UE UM OA OV OE OM),
            Self::UserpoolsCreate
            | Self::UserpoolsUpdate
            | Self::UserpoolsDelete
            | Self::DomainsManage
            | Self::SyncSettingsManage => roles!(UE UM OE OM),
            Self::UserpoolsUpdateAccessBindings | Self::SyncSessionsCloseAny => roles!(UM OM),
            Self::UsersGetPhone => roles!(SA SO UV UU UE UM OV OE OM),
            Self::UsersManage => roles!(SA SO UU UE UM OE OM),
            Self::UsersManageState => roles!(SA SO SS UU UE UM OE OM),
            Self::UsersSetPassword => roles!(SA UU UE UM OE OM),
            Self::UsersCreateWithHash => roles!(SA SO UM OM),
            Self::UsersImportHash => roles!(SA SH UM OM),
            Self::UsersRequirePasswordChange => roles!(SA SS UM OM),
            Self::SyncSessionsForce | Self::ReplicationTokenGet => roles!(SA SO SS SH UM OM),
            Self::ReplicationTokenReset => roles!(SA UM OM),
            Self::PasswordChangesUse => roles!(SA SW),
            Self::SyncSessionsUse | Self::ReplicationTokenUse => roles!(SA SO SS SH),
            Self::SyncObjectsUse => roles!(SA SO),
            Self::SyncAccountStateUse => roles!(SA SS),
            Self::SyncPasswordHashesUse => roles!(SA SH),
            Self::SyncSettingsGet => roles!(SA SO SS SH SW UV UE UM OV OE OM),
            Self::SyncSessionsGet => roles!(SA SO SS SH UV UE UM OV OE OM),
            Self::ExtGroupsGet => roles!(SA SO XV XM XC UV UE UM OV OE OM),
            Self::ExtGroupsBind => roles!(SA SO XM UM OM),
            Self::ExtGroupsUnbind => roles!(XC UM OM),
            Self::GroupsGet | Self::GroupsListMembers => roles!(GV GE GM GA GZ OA OV OE OM),
            Self::GroupsManage => roles!(GE GA OE OM),
            Self::GroupsUpdateMembers => roles!(GM GA OM),
            Self::GroupsListAccessBindings => roles!(GV GE GA GZ OA OV OE OM),
            Self::GroupsUpdateAccessBindings => roles!(GA OM),
            Self::GroupsCreateExternal => roles!(GC OM),
            Self::GroupsConvertExternal => roles!(GX GZ OM),
            Self::GroupsManageExternal => roles!(GZ OM),
        }
    }
}

/// Whether one of `bindings` carries `permission`. The caller gathers the bindings of one subject
/// on the resource and on everything above it.
#[must_use]
pub fn allows(bindings: &[AccessBinding], permission: Permission) -> bool {
    bindings
        .iter()
        .any(|binding| binding.role == Role::Owner || permission.roles().contains(&binding.role))
}

/// As [`allows`], with a refusal that names what is missing.
///
/// # Errors
/// `Denied`.
pub fn require(bindings: &[AccessBinding], permission: Permission) -> Result<(), Refusal> {
    if allows(bindings, permission) {
        return Ok(());
    }
    let roles: Vec<_> = permission.roles().iter().map(|role| role.name()).collect();
    Err(Refusal::denied(format!(
        "permission {} is missing; it comes with one of the roles {}",
        permission.name(),
        roles.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(role: &str, permission: &str, expected: bool) {
        let binding = AccessBinding {
            resource: ResourceRef::organization(&"bpf1".into()),
            role: Role::parse(&format!("organization-manager.{role}")).unwrap(),
            subject: Subject::service_account("aje1"),
        };
        let permission = Permission::parse(permission).unwrap();
        assert_eq!(
            allows(&[binding], permission),
            expected,
            "{role} {permission}"
        );
    }

    #[test]
    fn the_four_roles_of_an_agent_suffice_for_a_run() {
        check("userpools.syncAgent", "userpools.syncSessions.use", true);
        check("userpools.syncAgent", "userpools.users.manage", true);
        for (agent, manages, imports, commits) in [
            ("object", true, false, false),
            ("accountState", false, false, false),
            ("passwordHash", false, true, false),
            ("writeback", false, false, true),
        ] {
            let role = format!("userpools.{agent}Agent");
            check(&role, "userpools.users.get", true);
            check(&role, "userpools.users.manage", manages);
            check(&role, "userpools.users.importHash", imports);
            check(&role, "userpools.users.setPassword", false);
            let switches = manages || agent == "accountState";
            check(&role, "userpools.users.manageState", switches);
            for (stream, worked_in_by) in [
                ("useObjects", "object"),
                ("useAccountState", "accountState"),
                ("usePasswordHashes", "passwordHash"),
            ] {
                let permission = format!("userpools.syncSessions.{stream}");
                check(&role, &permission, agent == worked_in_by);
                check("userpools.syncAgent", &permission, true);
            }
            check(&role, "userpools.passwordChanges.use", commits);
            check(&role, "userpools.syncSettings.get", true);
            check(&role, "userpools.replicationToken.reset", false);
        }
        check("userpools.syncAgent", "userpools.users.importHash", true);
        check("userpools.syncAgent", "userpools.extGroups.bind", true);
        check(
            "userpools.syncAgent",
            "userpools.replicationToken.use",
            true,
        );
        check("groups.externalCreator", "groups.createExternal", true);
        check("groups.externalConverter", "groups.convertExternal", true);
        check("groups.viewer", "groups.get", true);
        check("groups.externalManager", "groups.manageExternal", true);
    }

    #[test]
    fn rights_end_where_the_table_says() {
        check("userpools.syncAgent", "userpools.create", false);
        check("userpools.syncAgent", "groups.manageExternal", false);
        check("userpools.admin", "userpools.syncSessions.use", false);
        check("userpools.admin", "userpools.syncSessions.closeAny", true);
        check("userpools.auditor", "userpools.users.get", true);
        check("userpools.auditor", "userpools.users.getPhone", false);
        check("auditor", "userpools.users.getPhone", false);
        check("groups.editor", "groups.manageExternal", false);
        check("groups.editor", "groups.updateMembers", false);
        check("groups.memberAdmin", "groups.updateMembers", true);
        check("viewer", "userpools.update", false);
        check("editor", "userpools.updateAccessBindings", false);
        check("admin", "userpools.updateAccessBindings", true);
    }

    #[test]
    fn the_owner_has_every_permission_and_nobody_none() {
        let owner = AccessBinding {
            resource: ResourceRef::organization(&"bpf1".into()),
            role: Role::Owner,
            subject: Subject::user("aje1"),
        };
        for permission in Permission::ALL {
            assert!(allows(std::slice::from_ref(&owner), *permission));
            assert!(!permission.roles().is_empty());
            assert!(require(&[], *permission).is_err());
        }
    }
}
