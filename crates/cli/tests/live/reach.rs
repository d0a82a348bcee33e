//! Every rpc of the contract is called by some command, or stands here with a reason why not.

use std::collections::BTreeSet;

use rollcall_proto::METHODS;

use crate::world::World;

const ORGANIZATION: &str = "/yandex.cloud.organizationmanager.v1.OrganizationService/";
const GROUP: &str = "/yandex.cloud.organizationmanager.v1.GroupService/";
const USERPOOL: &str = "/yandex.cloud.organizationmanager.v1.idp.UserpoolService/";
const USER: &str = "/yandex.cloud.organizationmanager.v1.idp.UserService/";
const SYNCHRONIZATION: &str = "/yandex.cloud.organizationmanager.v1.idp.SynchronizationService/";
const SESSION: &str = "/yandex.cloud.organizationmanager.v1.idp.SynchronizationSessionService/";
const OPERATION: &str = "/yandex.cloud.operation.OperationService/";
const ENDPOINT: &str = "/yandex.cloud.endpoint.ApiEndpointService/";
const TOKEN: &str = "/yandex.cloud.iam.v1.IamTokenService/";
const SERVICE_ACCOUNT: &str = "/rollcall.admin.v1.ServiceAccountService/";
const PASSWORD: &str = "/rollcall.admin.v1.PasswordService/";
const SIGN_IN: &str = "/rollcall.signin.v1.SignInService/";
const AUDIT: &str = "/rollcall.admin.v1.AuditService/";

/// A command for each rpc. Identifiers are made up: a refused call is a call.
const COMMANDS: &[(&str, &str, &str)] = &[
    (ORGANIZATION, "Get", "organization get bpf1"),
    (ORGANIZATION, "List", "organization list"),
    (ORGANIZATION, "Update", "organization update --title X"),
    (ORGANIZATION, "ListOperations", "organization operations"),
    (ORGANIZATION, "ListAccessBindings", "access list"),
    (
        ORGANIZATION,
        "SetAccessBindings",
        "access set king=system:x --yes",
    ),
    (
        ORGANIZATION,
        "UpdateAccessBindings",
        "access add viewer system:x",
    ),
    (
        ORGANIZATION,
        "ListAccessPolicyBindings",
        "access policies list",
    ),
    (ORGANIZATION, "BindAccessPolicy", "access policies bind x"),
    (
        ORGANIZATION,
        "UnbindAccessPolicy",
        "access policies unbind x",
    ),
    (
        ORGANIZATION,
        "UpdateAccessPolicyBindingParameters",
        "access policies update x --parameter a=b",
    ),
    (GROUP, "Get", "group get aje00000000000000000"),
    (GROUP, "ResolveExternal", "group resolve-external x"),
    (GROUP, "List", "group list"),
    (GROUP, "ListExternal", "group list-external"),
    (GROUP, "Create", "group create Staff"),
    (
        GROUP,
        "CreateExternal",
        "group create-external Staff --external-id x",
    ),
    (
        GROUP,
        "Update",
        "group update aje00000000000000000 --name Staff",
    ),
    (
        GROUP,
        "ConvertToExternal",
        "group convert-to-external aje00000000000000000 --external-id x",
    ),
    (
        GROUP,
        "ConvertAllToBasic",
        "group convert-all-to-basic --yes",
    ),
    (GROUP, "Delete", "group delete aje00000000000000000 --yes"),
    (
        GROUP,
        "ListOperations",
        "group operations aje00000000000000000",
    ),
    (
        GROUP,
        "ListMembers",
        "group list-members aje00000000000000000",
    ),
    (
        GROUP,
        "UpdateMembers",
        "group update-members aje00000000000000000 --add aje00000000000000001",
    ),
    (
        GROUP,
        "ListAccessBindings",
        "access list --group aje00000000000000000",
    ),
    (
        GROUP,
        "SetAccessBindings",
        "access set --none --group aje00000000000000000 --yes",
    ),
    (
        GROUP,
        "UpdateAccessBindings",
        "access remove groups.editor system:x --group aje00000000000000000",
    ),
    (
        GROUP,
        "ListEffective",
        "group effective aje00000000000000000",
    ),
    (USERPOOL, "Get", "userpool get staff"),
    (USERPOOL, "List", "userpool list"),
    (
        USERPOOL,
        "Create",
        "userpool create staff --default-subdomain x",
    ),
    (
        USERPOOL,
        "Update",
        "userpool update ek000000000000000000 --description x",
    ),
    (
        USERPOOL,
        "Delete",
        "userpool delete ek000000000000000000 --yes",
    ),
    (USERPOOL, "GetDomain", "userpool domains get corp.example"),
    (USERPOOL, "ListDomains", "userpool domains list"),
    (USERPOOL, "AddDomain", "userpool domains add corp.example"),
    (
        USERPOOL,
        "ValidateDomain",
        "userpool domains validate none.example",
    ),
    (
        USERPOOL,
        "DeleteDomain",
        "userpool domains delete none.example --yes",
    ),
    (USERPOOL, "ListOperations", "userpool operations staff"),
    (USERPOOL, "ListAccessBindings", "access list --pool staff"),
    (
        USERPOOL,
        "SetAccessBindings",
        "access set --none --pool staff --yes",
    ),
    (
        USERPOOL,
        "UpdateAccessBindings",
        "access add userpools.viewer system:x --pool staff",
    ),
    (USER, "Get", "user get aje00000000000000000"),
    (USER, "List", "user list"),
    (
        USER,
        "Create",
        "user create anna@corp.example --full-name Anna",
    ),
    (
        USER,
        "Update",
        "user update aje00000000000000000 --email x@y.example",
    ),
    (USER, "Delete", "user delete aje00000000000000000 --yes"),
    (USER, "Suspend", "user suspend aje00000000000000000"),
    (USER, "Reactivate", "user reactivate aje00000000000000000"),
    (
        USER,
        "ConvertToExternal",
        "user convert-to-external aje00000000000000000 --external-id x",
    ),
    (
        USER,
        "SetPasswordHash",
        "user set-password-hash aje00000000000000000",
    ),
    (USER, "ResolveExternalIds", "user resolve-external-ids x"),
    (
        SYNCHRONIZATION,
        "ResetReplicationToken",
        "settings reset-token --yes",
    ),
    (
        SYNCHRONIZATION,
        "CreateSynchronizationSettings",
        "settings create --domain corp.example",
    ),
    (
        SYNCHRONIZATION,
        "UpdateSynchronizationSettings",
        "settings update --interval 30m",
    ),
    (
        SYNCHRONIZATION,
        "DeleteSynchronizationSettings",
        "settings delete --yes",
    ),
    (
        SYNCHRONIZATION,
        "GetSynchronizationSettings",
        "settings get",
    ),
    (
        SYNCHRONIZATION,
        "ListSupportedAttributes",
        "settings list-supported-attributes",
    ),
    (SESSION, "GetSession", "session get sys00000000000000000"),
    (SESSION, "ListSessions", "session list"),
    (OPERATION, "Get", "operation get ops00000000000000000"),
    (OPERATION, "Cancel", "operation cancel ops00000000000000000"),
    (ENDPOINT, "Get", "endpoint get iam"),
    (ENDPOINT, "List", "endpoint list"),
    (TOKEN, "Create", "token create"),
    (
        TOKEN,
        "CreateForServiceAccount",
        "token create --service-account aje00000000000000000",
    ),
    (TOKEN, "Revoke", "token revoke"),
    (
        SERVICE_ACCOUNT,
        "Get",
        "service-account get aje00000000000000000",
    ),
    (SERVICE_ACCOUNT, "List", "service-account list"),
    (SERVICE_ACCOUNT, "Create", "service-account create agent"),
    (
        SERVICE_ACCOUNT,
        "Update",
        "service-account update aje00000000000000000 --description x",
    ),
    (
        SERVICE_ACCOUNT,
        "Disable",
        "service-account disable aje00000000000000000",
    ),
    (
        SERVICE_ACCOUNT,
        "Enable",
        "service-account enable aje00000000000000000",
    ),
    (
        SERVICE_ACCOUNT,
        "Delete",
        "service-account delete aje00000000000000000 --yes",
    ),
    (
        SERVICE_ACCOUNT,
        "ListOperations",
        "service-account operations aje00000000000000000",
    ),
    (
        SERVICE_ACCOUNT,
        "CreateKey",
        "key create aje00000000000000000 --file -",
    ),
    (SERVICE_ACCOUNT, "GetKey", "key get aje00000000000000000"),
    (SERVICE_ACCOUNT, "ListKeys", "key list aje00000000000000000"),
    (
        SERVICE_ACCOUNT,
        "DisableKey",
        "key disable aje00000000000000000",
    ),
    (
        SERVICE_ACCOUNT,
        "EnableKey",
        "key enable aje00000000000000000",
    ),
    (
        SERVICE_ACCOUNT,
        "DeleteKey",
        "key delete aje00000000000000000 --yes",
    ),
    (SIGN_IN, "SignIn", "sign-in anna@corp.example"),
    (SIGN_IN, "Refresh", "sign-in-session refresh"),
    (SIGN_IN, "SignOut", "sign-in-session sign-out"),
    (
        SIGN_IN,
        "ListSessions",
        "sign-in-session list aje00000000000000000",
    ),
    (
        SIGN_IN,
        "EndSession",
        "sign-in-session end sis00000000000000000",
    ),
    (
        SIGN_IN,
        "EndAllSessions",
        "sign-in-session end-all aje00000000000000000",
    ),
    (AUDIT, "Get", "audit get x"),
    (AUDIT, "List", "audit list"),
];

const BY_AGENTS: &str = "the business of agents: a person who did it would disturb one";
const PASSWORDS: &str = "passwords are changed in a later version";

const BY_SIGN_IN: &str = "a part of `sign-in`, when the password has to be changed";

/// Rpcs without a command.
const NOT_REACHED: &[(&str, &str, &str)] = &[
    (SESSION, "OpenSession", BY_AGENTS),
    (SESSION, "CloseSession", BY_AGENTS),
    (SESSION, "ReportSessionProgress", BY_AGENTS),
    (SESSION, "Heartbeat", BY_AGENTS),
    (SYNCHRONIZATION, "SetReplicationToken", BY_AGENTS),
    (SYNCHRONIZATION, "GetReplicationToken", BY_AGENTS),
    (USER, "GetPasswordChanges", BY_AGENTS),
    (USER, "CommitPassword", BY_AGENTS),
    (PASSWORD, "SetChangeRequired", BY_AGENTS),
    (SIGN_IN, "ChangePassword", BY_SIGN_IN),
    (USER, "SetOwnPassword", PASSWORDS),
    (USER, "SetOthersPassword", PASSWORDS),
    (USER, "GeneratePassword", PASSWORDS),
    (USER, "GetSelfPasswordMetadata", PASSWORDS),
];

#[test]
fn every_rpc_has_a_command_or_a_reason() {
    let named: Vec<String> = COMMANDS
        .iter()
        .chain(NOT_REACHED)
        .map(|(service, name, _)| format!("{service}{name}"))
        .collect();
    let once: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    assert_eq!(once.len(), named.len(), "an rpc stands here twice");
    let all: BTreeSet<&str> = METHODS.iter().map(|method| method.path).collect();
    assert_eq!(once, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_makes_its_call() {
    let world = World::start().await;
    world.done(&["userpool", "create", "staff", "--default-subdomain", "corp"]);
    let mut silent = Vec::new();
    for (service, name, command) in COMMANDS {
        let words: Vec<&str> = command.split(' ').collect();
        let path = format!("{service}{name}");
        let calls = world.calls(&words, "Correct-Horse-7-battery\n");
        // The token is exchanged by the connection itself, before any call.
        let is_exchange = *service == TOKEN && *name == "Create";
        if !is_exchange && !calls.contains(&path) {
            silent.push(format!("{command}: no {path}, but {calls:?}"));
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}
