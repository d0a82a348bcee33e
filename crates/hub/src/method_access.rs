//! Who may call what: one row for each method of the contract.
//!
//! Invariant: every method has exactly one row, and a handler cannot ask for a permission that its
//! row does not name, nor answer without having asked ([`crate::context`]). Deliberately absent:
//! which roles carry a permission (the domain says), and the decisions by ownership of the methods
//! that any signed-in caller may use.

use rollcall_domain::access::Permission as P;

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anybody may call it, without a token.
    Anonymous,
    /// Any signed-in caller may call it; its handler decides by what belongs to whom.
    Authenticated,
    /// What its handler may ask for. Without the first, every call is refused; whether the others
    /// are needed depends on the request and on what it names.
    Permissions(&'static [P]),
}

impl Rule {
    /// Whether a handler under this rule may ask for `permission`.
    #[must_use]
    pub fn lists(self, permission: P) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Authenticated => true,
            Self::Permissions(permissions) => permissions.contains(&permission),
        }
    }
}

/// The rule of the method at `path`, such as `/package.Service/Method`; `None` outside the contract.
#[must_use]
pub fn find_rule(path: &str) -> Option<Rule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = TABLE.iter().find(|(name, _)| *name == service)?;
    let (_, rule) = methods.iter().find(|(name, _)| *name == method)?;
    Some(*rule)
}

/// The methods of one service.
type Methods = &'static [(&'static str, Rule)];

const TABLE: &[(&str, Methods)] = &[
    (
        "yandex.cloud.iam.v1.IamTokenService",
        &[
            ("Create", Rule::Anonymous),
            (
                "CreateForServiceAccount",
                Rule::Permissions(&[P::ServiceAccountsCreateToken]),
            ),
            ("Revoke", Rule::Authenticated),
        ],
    ),
    (
        "yandex.cloud.endpoint.ApiEndpointService",
        &[("Get", Rule::Anonymous), ("List", Rule::Anonymous)],
    ),
    (
        "yandex.cloud.operation.OperationService",
        &[
            ("Get", Rule::Authenticated),
            ("Cancel", Rule::Authenticated),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.OrganizationService",
        &[
            ("Get", Rule::Permissions(&[P::OrganizationsGet])),
            ("List", Rule::Authenticated),
            ("Update", Rule::Permissions(&[P::OrganizationsUpdate])),
            ("ListOperations", Rule::Permissions(&[P::OrganizationsGet])),
            (
                "ListAccessBindings",
                Rule::Permissions(&[P::OrganizationsListAccessBindings]),
            ),
            (
                "SetAccessBindings",
                Rule::Permissions(&[P::OrganizationsUpdateAccessBindings]),
            ),
            (
                "UpdateAccessBindings",
                Rule::Permissions(&[P::OrganizationsUpdateAccessBindings]),
            ),
            (
                "ListAccessPolicyBindings",
                Rule::Permissions(&[P::OrganizationsListAccessPolicyBindings]),
            ),
            (
                "BindAccessPolicy",
                Rule::Permissions(&[P::OrganizationsUpdateAccessPolicyBindings]),
            ),
            (
                "UnbindAccessPolicy",
                Rule::Permissions(&[P::OrganizationsUpdateAccessPolicyBindings]),
            ),
            (
                "UpdateAccessPolicyBindingParameters",
                Rule::Permissions(&[P::OrganizationsUpdateAccessPolicyBindings]),
            ),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.GroupService",
        &[
            ("Get", Rule::Permissions(&[P::GroupsGet])),
            ("ResolveExternal", Rule::Permissions(&[P::ExtGroupsGet])),
            ("List", Rule::Permissions(&[P::GroupsGet])),
            ("ListExternal", Rule::Permissions(&[P::ExtGroupsGet])),
            ("Create", Rule::Permissions(&[P::GroupsManage])),
            (
                "CreateExternal",
                Rule::Permissions(&[P::ExtGroupsBind, P::GroupsCreateExternal]),
            ),
            (
                "Update",
                Rule::Permissions(&[P::GroupsGet, P::GroupsManage, P::GroupsManageExternal]),
            ),
            (
                "ConvertToExternal",
                Rule::Permissions(&[P::GroupsConvertExternal, P::ExtGroupsBind]),
            ),
            (
                "ConvertAllToBasic",
                Rule::Permissions(&[P::ExtGroupsUnbind]),
            ),
            (
                "Delete",
                Rule::Permissions(&[P::GroupsGet, P::GroupsManage, P::GroupsManageExternal]),
            ),
            ("ListOperations", Rule::Permissions(&[P::GroupsGet])),
            ("ListMembers", Rule::Permissions(&[P::GroupsListMembers])),
            (
                "UpdateMembers",
                Rule::Permissions(&[
                    P::GroupsGet,
                    P::GroupsUpdateMembers,
                    P::GroupsManageExternal,
                ]),
            ),
            (
                "ListAccessBindings",
                Rule::Permissions(&[P::GroupsListAccessBindings]),
            ),
            (
                "SetAccessBindings",
                Rule::Permissions(&[P::GroupsUpdateAccessBindings]),
            ),
            (
                "UpdateAccessBindings",
                Rule::Permissions(&[P::GroupsUpdateAccessBindings]),
            ),
            ("ListEffective", Rule::Permissions(&[P::UsersListGroups])),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.idp.UserpoolService",
        &[
            ("Get", Rule::Permissions(&[P::UserpoolsGet])),
            ("List", Rule::Permissions(&[P::UserpoolsGet])),
            ("Create", Rule::Permissions(&[P::UserpoolsCreate])),
            ("Update", Rule::Permissions(&[P::UserpoolsUpdate])),
            ("Delete", Rule::Permissions(&[P::UserpoolsDelete])),
            ("GetDomain", Rule::Permissions(&[P::DomainsGet])),
            ("ListDomains", Rule::Permissions(&[P::DomainsGet])),
            ("AddDomain", Rule::Permissions(&[P::DomainsManage])),
            ("ValidateDomain", Rule::Permissions(&[P::DomainsManage])),
            ("DeleteDomain", Rule::Permissions(&[P::DomainsManage])),
            ("ListOperations", Rule::Permissions(&[P::UserpoolsGet])),
            (
                "ListAccessBindings",
                Rule::Permissions(&[P::UserpoolsListAccessBindings]),
            ),
            (
                "SetAccessBindings",
                Rule::Permissions(&[P::UserpoolsUpdateAccessBindings]),
            ),
            (
                "UpdateAccessBindings",
                Rule::Permissions(&[P::UserpoolsUpdateAccessBindings]),
            ),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.idp.UserService",
        &[
            ("Get", Rule::Permissions(&[P::UsersGet])),
            ("List", Rule::Permissions(&[P::UsersGet])),
            (
                "Create",
                Rule::Permissions(&[P::UsersManage, P::UsersCreateWithHash]),
            ),
            (
                "Update",
                Rule::Permissions(&[P::UsersManageState, P::UsersManage]),
            ),
            ("Delete", Rule::Permissions(&[P::UsersManage])),
            ("SetOwnPassword", Rule::Authenticated),
            (
                "SetOthersPassword",
                Rule::Permissions(&[P::UsersSetPassword]),
            ),
            ("Suspend", Rule::Permissions(&[P::UsersManageState])),
            ("Reactivate", Rule::Permissions(&[P::UsersManageState])),
            (
                "GeneratePassword",
                Rule::Permissions(&[P::UsersSetPassword]),
            ),
            ("GetSelfPasswordMetadata", Rule::Authenticated),
            ("ConvertToExternal", Rule::Permissions(&[P::UsersManage])),
            ("SetPasswordHash", Rule::Permissions(&[P::UsersImportHash])),
            ("ResolveExternalIds", Rule::Permissions(&[P::UsersGet])),
            (
                "GetPasswordChanges",
                Rule::Permissions(&[P::PasswordChangesUse]),
            ),
            (
                "CommitPassword",
                Rule::Permissions(&[P::PasswordChangesUse]),
            ),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.idp.SynchronizationService",
        &[
            (
                "SetReplicationToken",
                Rule::Permissions(&[
                    P::ReplicationTokenUse,
                    P::SyncObjectsUse,
                    P::SyncAccountStateUse,
                    P::SyncPasswordHashesUse,
                ]),
            ),
            (
                "ResetReplicationToken",
                Rule::Permissions(&[P::ReplicationTokenReset]),
            ),
            (
                "GetReplicationToken",
                Rule::Permissions(&[P::ReplicationTokenGet]),
            ),
            (
                "CreateSynchronizationSettings",
                Rule::Permissions(&[P::SyncSettingsManage]),
            ),
            (
                "UpdateSynchronizationSettings",
                Rule::Permissions(&[P::SyncSettingsManage]),
            ),
            (
                "DeleteSynchronizationSettings",
                Rule::Permissions(&[P::SyncSettingsManage]),
            ),
            (
                "GetSynchronizationSettings",
                Rule::Permissions(&[P::SyncSettingsGet]),
            ),
            (
                "ListSupportedAttributes",
                Rule::Permissions(&[P::SyncSettingsGet]),
            ),
        ],
    ),
    (
        "yandex.cloud.organizationmanager.v1.idp.SynchronizationSessionService",
        &[
            (
                "OpenSession",
                Rule::Permissions(&[
                    P::SyncSessionsUse,
                    P::SyncObjectsUse,
                    P::SyncAccountStateUse,
                    P::SyncPasswordHashesUse,
                    P::SyncSessionsForce,
                ]),
            ),
            (
                "CloseSession",
                Rule::Permissions(&[
                    P::SyncSessionsGet,
                    P::SyncSessionsUse,
                    P::SyncSessionsCloseAny,
                ]),
            ),
            (
                "ReportSessionProgress",
                Rule::Permissions(&[P::SyncSessionsUse]),
            ),
            ("Heartbeat", Rule::Permissions(&[P::SyncSessionsUse])),
            ("GetSession", Rule::Permissions(&[P::SyncSessionsGet])),
            ("ListSessions", Rule::Permissions(&[P::SyncSessionsGet])),
        ],
    ),
    (
        "rollcall.signin.v1.SignInService",
        &[
            ("SignIn", Rule::Anonymous),
            ("ChangePassword", Rule::Anonymous),
            ("Refresh", Rule::Anonymous),
            ("SignOut", Rule::Authenticated),
            ("ListSessions", Rule::Authenticated),
            ("EndSession", Rule::Authenticated),
            ("EndAllSessions", Rule::Authenticated),
        ],
    ),
    (
        "rollcall.admin.v1.PasswordService",
        &[(
            "SetChangeRequired",
            Rule::Permissions(&[P::UsersRequirePasswordChange]),
        )],
    ),
    (
        "rollcall.admin.v1.ServiceAccountService",
        &[
            ("Get", Rule::Permissions(&[P::ServiceAccountsGet])),
            ("List", Rule::Permissions(&[P::ServiceAccountsGet])),
            ("Create", Rule::Permissions(&[P::ServiceAccountsManage])),
            ("Update", Rule::Permissions(&[P::ServiceAccountsManage])),
            ("Disable", Rule::Permissions(&[P::ServiceAccountsManage])),
            ("Enable", Rule::Permissions(&[P::ServiceAccountsManage])),
            ("Delete", Rule::Permissions(&[P::ServiceAccountsManage])),
            (
                "ListOperations",
                Rule::Permissions(&[P::ServiceAccountsGet]),
            ),
            ("CreateKey", Rule::Permissions(&[P::ServiceAccountsManage])),
            ("GetKey", Rule::Permissions(&[P::ServiceAccountsGet])),
            ("ListKeys", Rule::Permissions(&[P::ServiceAccountsGet])),
            ("DisableKey", Rule::Permissions(&[P::ServiceAccountsManage])),
            ("EnableKey", Rule::Permissions(&[P::ServiceAccountsManage])),
            ("DeleteKey", Rule::Permissions(&[P::ServiceAccountsManage])),
        ],
    ),
    (
        "rollcall.admin.v1.AuditService",
        &[
            (
                "Get",
                Rule::Permissions(&[P::UserpoolsAuditGet, P::AuditGet]),
            ),
            (
                "List",
                Rule::Permissions(&[P::UserpoolsAuditGet, P::AuditGet]),
            ),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_proto::METHODS;

    #[test]
    fn every_method_has_one_row_and_every_row_is_a_method() {
        let mut rows: Vec<String> = TABLE
            .iter()
            .flat_map(|(service, methods)| {
                methods
                    .iter()
                    .map(move |(method, _)| format!("/{service}/{method}"))
            })
            .collect();
        let mut methods: Vec<_> = METHODS.iter().map(|method| method.path).collect();
        rows.sort();
        methods.sort_unstable();
        assert_eq!(rows, methods);
    }

    #[test]
    fn a_row_names_its_permissions_once() {
        for (service, methods) in TABLE {
            for (method, rule) in *methods {
                let Rule::Permissions(permissions) = rule else {
                    continue;
                };
                assert!(!permissions.is_empty(), "{service}/{method}");
                for (index, permission) in permissions.iter().enumerate() {
                    let rest = permissions.get(index + 1..).unwrap_or_default();
                    assert!(!rest.contains(permission), "{service}/{method}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_in_the_contract_has_no_rule() {
        for path in ["", "/", "Get", "/unknown.Service/Get", "/a/b/c"] {
            assert_eq!(find_rule(path), None, "{path}");
        }
    }
}
