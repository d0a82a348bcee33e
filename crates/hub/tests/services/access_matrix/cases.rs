//! One valid request for each rpc, some for a rpc whose rights depend on the request.
//!
//! Invariant: once a request is authorized it changes nothing that a later request needs: it asks
//! for a fresh thing, repeats what is so already, or is sent under a session that is not open.

use rollcall_domain::access::Permission as P;

/// Under which conditions a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// None.
    Plain,
    /// Under a session that is not open: an authorized write is refused with FAILED_PRECONDITION.
    Fenced,
    /// Before its time.
    Forced,
}

/// A request of the matrix.
pub struct Case {
    /// `Service/Method`.
    pub method: &'static str,
    /// What is special about it; empty for most.
    pub variant: &'static str,
    pub mode: Mode,
    /// What it needs; empty = what the row of its method names, which then is one permission.
    pub needs: &'static [P],
    /// What does as well; empty = nothing.
    pub instead: &'static [P],
    /// The request; `$name` stands for the id of a thing that the test made.
    pub request: &'static str,
}

const fn plain(method: &'static str, request: &'static str) -> Case {
    special(method, "", &[], request)
}

const fn special(
    method: &'static str,
    variant: &'static str,
    needs: &'static [P],
    request: &'static str,
) -> Case {
    Case {
        method,
        variant,
        mode: Mode::Plain,
        needs,
        instead: &[],
        request,
    }
}

const fn fenced(method: &'static str, request: &'static str) -> Case {
    Case {
        mode: Mode::Fenced,
        ..plain(method, request)
    }
}

const ORGANIZATION: &str = r#"{"organizationId": "$organization"}"#;
const POOL: &str = r#"{"userpoolId": "$pool"}"#;
const CONTAINER: &str = r#"{"subjectContainerId": "$pool"}"#;
const DOMAIN: &str = r#"{"userpoolId": "$pool", "domain": "staff.idp.rollcall.internal"}"#;
const USER: &str = r#"{"userId": "$user"}"#;
const COMMIT: &str = r#"{"userpoolId": "$pool", "externalUserId": "guid-ann",
    "password": "Correct horse 7", "modifyingOperationId": "$operation"}"#;
const GROUP: &str = r#"{"groupId": "$group"}"#;
const SESSION: &str = r#"{"sessionId": "$session"}"#;
const OWN_SESSION: &str = r#"{"sessionId": "$own_session"}"#;
const PROGRESS: &str = r#"{"sessionId": "$own_session", "progressEntries": [{"objectType": "USER",
    "changeInfo": [{"changeType": "CREATE", "successful": 1}]}]}"#;
const STREAM: &str = r#"{"subjectContainerId": "$pool", "sessionType": "AD_SYNC"}"#;
const OPENING: &str =
    r#"{"subjectContainerId": "$pool", "sessionType": "AD_SYNC", "agentId": "agent-1"}"#;
const SET_TOKEN: &str = "SynchronizationService/SetReplicationToken";
const STATE_OPENING: &str =
    r#"{"subjectContainerId": "$pool", "sessionType": "AD_USER_CONTROL", "agentId": "agent-1"}"#;
const HASH_OPENING: &str =
    r#"{"subjectContainerId": "$pool", "sessionType": "AD_PASSWORD_HASH", "agentId": "agent-1"}"#;
const TOKEN: &str =
    r#"{"subjectContainerId": "$pool", "sessionType": "AD_SYNC", "replicationToken": "x"}"#;
const STATE_TOKEN: &str =
    r#"{"subjectContainerId": "$pool", "sessionType": "AD_USER_CONTROL", "replicationToken": "x"}"#;
const HASH_TOKEN: &str = r#"{"subjectContainerId": "$pool", "sessionType": "AD_PASSWORD_HASH",
    "replicationToken": "x"}"#;
const OPERATION: &str = r#"{"operationId": "$operation"}"#;
const ACCOUNT: &str = r#"{"serviceAccountId": "$account"}"#;
const KEY: &str = r#"{"keyId": "$key"}"#;
const ON_ORGANIZATION: &str = r#"{"resourceId": "$organization"}"#;
const SET_ON_ORGANIZATION: &str = r#"{"resourceId": "$organization", "accessBindings": []}"#;
const ON_POOL: &str = r#"{"resourceId": "$pool"}"#;
const ON_GROUP: &str = r#"{"resourceId": "$group"}"#;
const POLICY: &str = r#"{"resourceId": "$organization", "accessPolicyBinding":
    {"accessPolicyTemplateId": "organization.denyUserListing"}}"#;
const UNBOUND: &str = r#"{"resourceId": "$organization",
    "accessPolicyTemplateId": "organization.denyUserListing"}"#;
const HASH: &str = r#"{"userpoolId": "$pool", "username": "$fresh@staff.idp.rollcall.internal",
    "fullName": "Fresh", "passwordHash": {"passwordHash": "8846f7eaee8fb117ad06bdd830b7586c",
    "passwordHashType": "AD_MD4"}}"#;
const WEAK_PASSWORD: &str = r#"{"userpoolId": "$pool", "fullName": "Fresh",
    "username": "$fresh@staff.idp.rollcall.internal", "passwordSpec": {"password": "a"}}"#;
const OWN_PASSWORD: &str = r#"{"passwordSpec": {"password": "a"}}"#;
const OTHERS_PASSWORD: &str = r#"{"userId": "$user", "passwordSpec": {"password": "a"}}"#;
const SET_HASH: &str = r#"{"userId": "$user", "hash":
    {"passwordHash": "8846f7eaee8fb117ad06bdd830b7586c", "passwordHashType": "AD_MD4"}}"#;
const EXTERNAL_GROUP: &str = r#"{"organizationId": "$organization", "name": "$fresh",
    "subjectContainerId": "$pool", "externalId": "$fresh"}"#;
const TO_EXTERNAL: &str = r#"{"groupId": "$external_group", "subjectContainerId": "$pool",
    "externalId": "other"}"#;
const RENAMED: &str = r#"{"groupId": "$group", "name": "Basic", "updateMask": "name"}"#;
const EXTERNAL_RENAMED: &str =
    r#"{"groupId": "$external_group", "name": "External", "updateMask": "name"}"#;
const LABELLED: &str = r#"{"groupId": "$external_group", "updateMask": "labels"}"#;
const NO_MEMBER: &str = r#"{"groupId": "$group",
    "memberDeltas": [{"action": "REMOVE", "subjectId": "$user"}]}"#;
const NO_EXTERNAL_MEMBER: &str = r#"{"groupId": "$external_group",
    "memberDeltas": [{"action": "REMOVE", "subjectId": "$user"}]}"#;

macro_rules! delta {
    ($resource:literal) => {
        concat!(
            r#"{"resourceId": ""#,
            $resource,
            r#"", "accessBindingDeltas": [{"action": "REMOVE", "accessBinding":
            {"roleId": "organization-manager.viewer",
            "subject": {"id": "$user", "type": "userAccount"}}}]}"#
        )
    };
}

/// Every rpc, except those that this version does not serve and those that no permission guards.
pub const CASES: &[Case] = &[
    plain("OrganizationService/Get", ORGANIZATION),
    plain("OrganizationService/List", "{}"),
    fenced("OrganizationService/Update", ORGANIZATION),
    plain("OrganizationService/ListOperations", ORGANIZATION),
    plain("OrganizationService/ListAccessBindings", ON_ORGANIZATION),
    fenced("OrganizationService/SetAccessBindings", SET_ON_ORGANIZATION),
    fenced(
        "OrganizationService/UpdateAccessBindings",
        delta!("$organization"),
    ),
    plain(
        "OrganizationService/ListAccessPolicyBindings",
        ON_ORGANIZATION,
    ),
    fenced("OrganizationService/BindAccessPolicy", POLICY),
    fenced("OrganizationService/UnbindAccessPolicy", UNBOUND),
    fenced(
        "OrganizationService/UpdateAccessPolicyBindingParameters",
        POLICY,
    ),
    plain("UserpoolService/Get", POOL),
    plain("UserpoolService/List", ORGANIZATION),
    fenced(
        "UserpoolService/Create",
        r#"{"organizationId": "$organization", "name": "fresh", "defaultSubdomain": "fresh"}"#,
    ),
    fenced(
        "UserpoolService/Update",
        r#"{"userpoolId": "$pool", "updateMask": "labels"}"#,
    ),
    fenced("UserpoolService/Delete", POOL),
    plain("UserpoolService/ListOperations", POOL),
    plain("UserpoolService/GetDomain", DOMAIN),
    plain("UserpoolService/ListDomains", POOL),
    fenced(
        "UserpoolService/AddDomain",
        r#"{"userpoolId": "$pool", "domain": "example.org"}"#,
    ),
    fenced("UserpoolService/ValidateDomain", DOMAIN),
    fenced("UserpoolService/DeleteDomain", DOMAIN),
    plain("UserpoolService/ListAccessBindings", ON_POOL),
    fenced("UserpoolService/SetAccessBindings", ON_POOL),
    fenced("UserpoolService/UpdateAccessBindings", delta!("$pool")),
    plain("UserService/Get", USER),
    plain("UserService/List", POOL),
    plain(
        "UserService/ResolveExternalIds",
        r#"{"userpoolId": "$pool", "externalIds": ["x"]}"#,
    ),
    special(
        "UserService/Create",
        "password_hash",
        &[P::UsersManage, P::UsersCreateWithHash],
        HASH,
    ),
    special(
        "UserService/Create",
        "password_spec",
        &[P::UsersManage],
        WEAK_PASSWORD,
    ),
    Case {
        mode: Mode::Fenced,
        ..special(
            "UserService/Update",
            "full_name",
            &[P::UsersManageState, P::UsersManage],
            r#"{"userId": "$user", "fullName": "The ann", "updateMask": "fullName"}"#,
        )
    },
    Case {
        mode: Mode::Fenced,
        ..special(
            "UserService/Update",
            "expires_at",
            &[P::UsersManageState],
            r#"{"userId": "$user", "expiresAt": "2099-01-01T00:00:00Z", "updateMask": "expiresAt"}"#,
        )
    },
    fenced("UserService/Delete", USER),
    fenced(
        "UserService/Suspend",
        r#"{"userId": "$user", "reason": "test"}"#,
    ),
    fenced("UserService/Reactivate", USER),
    fenced(
        "UserService/ConvertToExternal",
        r#"{"userId": "$user", "externalId": "guid"}"#,
    ),
    fenced("UserService/SetPasswordHash", SET_HASH),
    plain("UserService/SetOwnPassword", OWN_PASSWORD),
    plain("UserService/SetOthersPassword", OTHERS_PASSWORD),
    fenced("UserService/CommitPassword", COMMIT),
    plain("UserService/GeneratePassword", "{}"),
    plain("UserService/GetSelfPasswordMetadata", "{}"),
    plain(
        "SynchronizationService/GetSynchronizationSettings",
        CONTAINER,
    ),
    plain(
        "SynchronizationService/ListSupportedAttributes",
        r#"{"flavor": "ACTIVE_DIRECTORY"}"#,
    ),
    fenced(
        "SynchronizationService/CreateSynchronizationSettings",
        r#"{"subjectContainerId": "$pool", "filter": {"domain": "corp.example"}}"#,
    ),
    fenced(
        "SynchronizationService/UpdateSynchronizationSettings",
        r#"{"subjectContainerId": "$pool", "updateMask": "allowToCaptureUsers"}"#,
    ),
    fenced(
        "SynchronizationService/DeleteSynchronizationSettings",
        CONTAINER,
    ),
    plain("SynchronizationService/GetReplicationToken", STREAM),
    special(
        SET_TOKEN,
        "",
        &[P::ReplicationTokenUse, P::SyncObjectsUse],
        TOKEN,
    ),
    special(
        SET_TOKEN,
        "account state",
        &[P::ReplicationTokenUse, P::SyncAccountStateUse],
        STATE_TOKEN,
    ),
    special(
        SET_TOKEN,
        "password hashes",
        &[P::ReplicationTokenUse, P::SyncPasswordHashesUse],
        HASH_TOKEN,
    ),
    fenced("SynchronizationService/ResetReplicationToken", CONTAINER),
    plain("SynchronizationSessionService/GetSession", SESSION),
    plain("SynchronizationSessionService/ListSessions", CONTAINER),
    special(
        "SynchronizationSessionService/OpenSession",
        "",
        &[P::SyncSessionsUse, P::SyncObjectsUse],
        OPENING,
    ),
    special(
        "SynchronizationSessionService/OpenSession",
        "account state",
        &[P::SyncSessionsUse, P::SyncAccountStateUse],
        STATE_OPENING,
    ),
    special(
        "SynchronizationSessionService/OpenSession",
        "password hashes",
        &[P::SyncSessionsUse, P::SyncPasswordHashesUse],
        HASH_OPENING,
    ),
    Case {
        method: "SynchronizationSessionService/OpenSession",
        variant: "forced",
        mode: Mode::Forced,
        needs: &[P::SyncSessionsUse, P::SyncObjectsUse, P::SyncSessionsForce],
        instead: &[],
        request: OPENING,
    },
    plain("SynchronizationSessionService/Heartbeat", OWN_SESSION),
    plain(
        "SynchronizationSessionService/ReportSessionProgress",
        PROGRESS,
    ),
    Case {
        method: "SynchronizationSessionService/CloseSession",
        variant: "own",
        mode: Mode::Plain,
        needs: &[P::SyncSessionsGet, P::SyncSessionsUse],
        instead: &[P::SyncSessionsGet, P::SyncSessionsCloseAny],
        request: OWN_SESSION,
    },
    special(
        "SynchronizationSessionService/CloseSession",
        "of another",
        &[P::SyncSessionsGet, P::SyncSessionsCloseAny],
        SESSION,
    ),
    plain("GroupService/Get", GROUP),
    plain("GroupService/List", ORGANIZATION),
    plain("GroupService/ListOperations", GROUP),
    plain("GroupService/ListMembers", GROUP),
    plain("GroupService/ListEffective", r#"{"subjectId": "$user"}"#),
    plain("GroupService/ListExternal", CONTAINER),
    plain(
        "GroupService/ResolveExternal",
        r#"{"subjectContainerId": "$pool", "externalId": "guid-external"}"#,
    ),
    fenced(
        "GroupService/Create",
        r#"{"organizationId": "$organization", "name": "fresh"}"#,
    ),
    special(
        "GroupService/Update",
        "basic",
        &[P::GroupsGet, P::GroupsManage],
        RENAMED,
    ),
    special(
        "GroupService/Update",
        "external",
        &[P::GroupsGet, P::GroupsManageExternal],
        EXTERNAL_RENAMED,
    ),
    special(
        "GroupService/Update",
        "labels of external",
        &[P::GroupsGet, P::GroupsManage],
        LABELLED,
    ),
    special(
        "GroupService/Delete",
        "basic",
        &[P::GroupsGet, P::GroupsManage],
        r#"{"groupId": "$fresh_group"}"#,
    ),
    special(
        "GroupService/Delete",
        "external",
        &[P::GroupsGet, P::GroupsManageExternal],
        r#"{"groupId": "$fresh_external_group"}"#,
    ),
    special(
        "GroupService/UpdateMembers",
        "basic",
        &[P::GroupsGet, P::GroupsUpdateMembers],
        NO_MEMBER,
    ),
    special(
        "GroupService/UpdateMembers",
        "external",
        &[P::GroupsGet, P::GroupsManageExternal],
        NO_EXTERNAL_MEMBER,
    ),
    special(
        "GroupService/CreateExternal",
        "",
        &[P::ExtGroupsBind, P::GroupsCreateExternal],
        EXTERNAL_GROUP,
    ),
    special(
        "GroupService/ConvertToExternal",
        "",
        &[P::GroupsConvertExternal, P::ExtGroupsBind],
        TO_EXTERNAL,
    ),
    fenced("GroupService/ConvertAllToBasic", CONTAINER),
    plain("GroupService/ListAccessBindings", ON_GROUP),
    fenced("GroupService/SetAccessBindings", ON_GROUP),
    fenced("GroupService/UpdateAccessBindings", delta!("$group")),
    plain("OperationService/Get", OPERATION),
    plain("OperationService/Cancel", OPERATION),
    plain("IamTokenService/Create", r#"{"jwt": "x"}"#),
    plain("IamTokenService/CreateForServiceAccount", ACCOUNT),
    plain("IamTokenService/Revoke", r#"{"iamToken": "x"}"#),
    plain("ApiEndpointService/Get", r#"{"apiEndpointId": "iam"}"#),
    plain("ApiEndpointService/List", "{}"),
    fenced(
        "PasswordService/SetChangeRequired",
        r#"{"userId": "$user", "required": true}"#,
    ),
    plain("ServiceAccountService/Get", ACCOUNT),
    plain("ServiceAccountService/List", ORGANIZATION),
    fenced(
        "ServiceAccountService/Create",
        r#"{"organizationId": "$organization", "name": "fresh"}"#,
    ),
    fenced(
        "ServiceAccountService/Update",
        r#"{"serviceAccountId": "$account", "updateMask": "description"}"#,
    ),
    fenced("ServiceAccountService/Disable", ACCOUNT),
    fenced("ServiceAccountService/Enable", ACCOUNT),
    fenced("ServiceAccountService/Delete", ACCOUNT),
    plain("ServiceAccountService/ListOperations", ACCOUNT),
    plain("ServiceAccountService/CreateKey", ACCOUNT),
    plain(
        "SignInService/SignIn",
        r#"{"username": "x@x.example", "password": "x"}"#,
    ),
    plain(
        "SignInService/ChangePassword",
        r#"{"changeToken": "x", "newPassword": "x"}"#,
    ),
    plain("SignInService/Refresh", r#"{"refreshToken": "x"}"#),
    plain("SignInService/SignOut", "{}"),
    plain("SignInService/ListSessions", USER),
    plain(
        "SignInService/EndSession",
        r#"{"signInSessionId": "sis00000000000000000"}"#,
    ),
    plain("SignInService/EndAllSessions", USER),
    plain("ServiceAccountService/GetKey", KEY),
    plain("ServiceAccountService/ListKeys", ACCOUNT),
    fenced("ServiceAccountService/DisableKey", KEY),
    fenced("ServiceAccountService/EnableKey", KEY),
    fenced("ServiceAccountService/DeleteKey", KEY),
    special(
        "AuditService/List",
        "organization",
        &[P::UserpoolsAuditGet, P::AuditGet],
        ORGANIZATION,
    ),
    special(
        "AuditService/List",
        "pool",
        &[P::UserpoolsAuditGet],
        r#"{"organizationId": "$organization", "userpoolId": "$pool"}"#,
    ),
    special(
        "AuditService/Get",
        "pool",
        &[P::UserpoolsAuditGet],
        r#"{"eventId": "$event"}"#,
    ),
];

/// Methods that answer with a stream; `password_writeback` tests who may open it.
pub const STREAMS: &[&str] = &["UserService/GetPasswordChanges"];
