//! The type of the event that each rpc leaves, and of those of the sweeper.
//!
//! Invariant: an rpc that changes something stands in the table below or among the silent ones of
//! the test, which it compares with the contract. Names of the documentation are used where there
//! are any (decision U88). Deliberately absent: reads.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What every event type begins with.
const PREFIX: &str = "yandex.cloud.audit";

const IAM: &str = "iam";

/// The type of the events of one rpc.
#[derive(Debug, PartialEq, Eq)]
pub struct EventType {
    /// The service that is called, in short.
    pub source: &'static str,
    /// What is done, after the source; such as `idp.CreateUser`.
    pub name: &'static str,
}

impl EventType {
    /// The whole name, such as `yandex.cloud.audit.organizationmanager.idp.CreateUser`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{PREFIX}.{}.{}", self.source, self.name)
    }
}

/// A sweeper suspended a user because the account has ended.
pub const ACCOUNT_ENDED: EventType = of("idp.SuspendUser");
/// A sweeper ended a session because its lease has. No rpc does that.
pub const LEASE_ENDED: EventType = of("idp.ExpireSynchronizationSession");

impl EventType {
    /// Whether a call that names no thing is about the caller itself.
    #[must_use]
    pub fn is_about_caller(&self) -> bool {
        self.source == IAM
    }
}

/// The type of the events of the rpc at `path`; none for rpcs that leave none.
#[must_use]
pub fn find_event_type(path: &str) -> Option<&'static EventType> {
    static BY_PATH: LazyLock<HashMap<String, &'static EventType>> = LazyLock::new(|| {
        let each = SERVICES.iter().flat_map(|(service, types)| {
            types
                .iter()
                .map(move |(rpc, event_type)| (format!("/{service}/{rpc}"), event_type))
        });
        each.collect()
    });
    BY_PATH.get(path).copied()
}

const fn of(name: &'static str) -> EventType {
    EventType {
        source: "organizationmanager",
        name,
    }
}

const fn iam(name: &'static str) -> EventType {
    EventType { source: IAM, name }
}

type Service = (&'static str, &'static [(&'static str, EventType)]);

static SERVICES: &[Service] = &[
    (
        "yandex.cloud.organizationmanager.v1.idp.UserService",
        &[
            ("Create", of("idp.CreateUser")),
            ("Update", of("idp.UpdateUser")),
            ("Delete", of("idp.DeleteUser")),
            ("Suspend", of("idp.SuspendUser")),
            ("Reactivate", of("idp.ReactivateUser")),
            ("ConvertToExternal", of("idp.ConvertUserToExternal")),
            ("SetOwnPassword", of("idp.SetUserPassword")),
            ("SetOthersPassword", of("idp.SetUserPassword")),
            ("SetPasswordHash", of("idp.SetUserPasswordHash")),
            ("CommitPassword", of("idp.CommitUserPassword")),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.idp.UserpoolService",
        &[
            ("Create", of("idp.CreateUserpool")),
            ("Update", of("idp.UpdateUserpool")),
            ("Delete", of("idp.DeleteUserpool")),
            ("AddDomain", of("idp.AddUserpoolDomain")),
            ("ValidateDomain", of("idp.ValidateUserpoolDomain")),
            ("DeleteDomain", of("idp.DeleteUserpoolDomain")),
            ("SetAccessBindings", of("idp.SetUserpoolAccessBindings")),
            (
                "UpdateAccessBindings",
                of("idp.UpdateUserpoolAccessBindings"),
            ),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.idp.SynchronizationService",
        &[
            ("SetReplicationToken", of("idp.SetReplicationToken")),
            ("ResetReplicationToken", of("idp.ResetReplicationToken")),
            (
                "CreateSynchronizationSettings",
                of("idp.CreateSynchronizationSettings"),
            ),
            (
                "UpdateSynchronizationSettings",
                of("idp.UpdateSynchronizationSettings"),
            ),
            (
                "DeleteSynchronizationSettings",
                of("idp.DeleteSynchronizationSettings"),
            ),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.idp.SynchronizationSessionService",
        &[
            ("OpenSession", of("idp.OpenSynchronizationSession")),
            ("CloseSession", of("idp.CloseSynchronizationSession")),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.GroupService",
        &[
            ("Create", of("CreateGroup")),
            ("CreateExternal", of("CreateExternalGroup")),
            ("Update", of("UpdateGroup")),
            ("Delete", of("DeleteGroup")),
            ("ConvertToExternal", of("ConvertGroupToExternal")),
            ("ConvertAllToBasic", of("ConvertAllGroupsToBasic")),
            ("UpdateMembers", of("UpdateGroupMembers")),
            ("SetAccessBindings", of("SetGroupAccessBindings")),
            ("UpdateAccessBindings", of("UpdateGroupAccessBindings")),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.OrganizationService",
        &[
            ("Update", of("UpdateOrganization")),
            ("SetAccessBindings", of("SetOrganizationAccessBindings")),
            (
                "UpdateAccessBindings",
                of("UpdateOrganizationAccessBindings"),
            ),
            ("BindAccessPolicy", of("BindOrganizationAccessPolicy")),
            ("UnbindAccessPolicy", of("UnbindOrganizationAccessPolicy")),
            (
                "UpdateAccessPolicyBindingParameters",
                of("UpdateOrganizationAccessPolicyBindingParameters"),
            ),
        ],
    ),
    (
        "yandex.cloud.iam.v1.IamTokenService",
        &[
            ("Create", iam("CreateToken")),
            (
                "CreateForServiceAccount",
                iam("CreateTokenForServiceAccount"),
            ),
            ("Revoke", iam("RevokeToken")),
        ],
    ),
    (
        "yandex.cloud.operation.OperationService",
        &[("Cancel", of("CancelOperation"))],
    ),
    (
        "rollcall.signin.v1.SignInService",
        &[
            ("SignIn", of("idp.AuthenticateByPassword")),
            ("ChangePassword", of("idp.ChangeOneTimePassword")),
            ("Refresh", of("idp.RefreshSignInSession")),
            ("SignOut", of("idp.SignOut")),
            ("EndSession", of("idp.EndSignInSession")),
            ("EndAllSessions", of("idp.EndAllSignInSessions")),
        ],
    ),
    (
        "rollcall.admin.v1.PasswordService",
        &[("SetChangeRequired", of("idp.SetUserPasswordChangeRequired"))],
    ),
    (
        "rollcall.admin.v1.ServiceAccountService",
        &[
            ("Create", iam("CreateServiceAccount")),
            ("Update", iam("UpdateServiceAccount")),
            ("Disable", iam("DisableServiceAccount")),
            ("Enable", iam("EnableServiceAccount")),
            ("Delete", iam("DeleteServiceAccount")),
            ("CreateKey", iam("CreateKey")),
            ("DisableKey", iam("DisableKey")),
            ("EnableKey", iam("EnableKey")),
            ("DeleteKey", iam("DeleteKey")),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_proto::METHODS;
    use std::collections::BTreeSet;

    /// Rpcs that are no reads and yet leave no event.
    const SILENT: &[&str] = &[
        // They keep a session alive, many times a minute, and change nothing else.
        "SynchronizationSessionService/Heartbeat",
        "SynchronizationSessionService/ReportSessionProgress",
        // It makes up a password and stores nothing.
        "UserService/GeneratePassword",
    ];

    fn short(path: &str) -> &str {
        path.rsplit_once('.').map_or(path, |(_, name)| name)
    }

    #[test]
    fn whatever_changes_something_has_a_type() {
        let mut silent = BTreeSet::new();
        for method in METHODS {
            let reads = ["Get", "List", "Resolve"]
                .iter()
                .any(|verb| method.name.starts_with(verb));
            let found = find_event_type(method.path);
            if method.operation.is_none() && reads {
                assert_eq!(found, None, "{} reads only", method.path);
            } else if found.is_none() {
                silent.insert(short(method.path));
            }
        }
        assert_eq!(silent, SILENT.iter().copied().collect());
    }

    #[test]
    fn every_row_is_an_rpc_of_the_contract() {
        for (service, types) in SERVICES {
            for (rpc, _) in *types {
                let path = format!("/{service}/{rpc}");
                assert!(
                    METHODS.iter().any(|method| method.path == path),
                    "{path} is unknown"
                );
            }
        }
        let create = find_event_type("/yandex.cloud.organizationmanager.v1.idp.UserService/Create");
        assert_eq!(
            create.map(EventType::full_name).as_deref(),
            Some("yandex.cloud.audit.organizationmanager.idp.CreateUser")
        );
    }
}
