//! Every role and every rpc: who may call what, and that nobody else learns anything.
//!
//! The table in `snapshots` is what the roles promise; read it whenever it changes.

#[path = "access_matrix/cases.rs"]
mod cases;

use std::collections::BTreeSet;

use prost_reflect::DynamicMessage;
use rollcall_domain::access::{Permission, ResourceRef, Role};
use rollcall_domain::named::Named as _;
use rollcall_hub::method_access::{Rule, find_rule};
use rollcall_kit::timestamp::Span;
use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::{METHODS, admin, descriptor_pool, idp};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Caller, Harness, find_method};
use cases::{CASES, Case, Mode, STREAMS};

/// The codes of the roles in order of declaration.
const CODES: [&str; 25] = [
    "SA", "SO", "SS", "SH", "SW", "UA", "UV", "UU", "UE", "UM", "XV", "XM", "XC", "GV", "GE", "GM",
    "GA", "GC", "GX", "GZ", "OA", "OV", "OE", "OM", "OO",
];
/// An id that nothing has.
const MISSING: &str = "aje00000000000000000";
/// A session that nobody opened.
const NO_SESSION: &str = "sys00000000000000000";

/// A hub with one thing of each noun.
struct Things {
    hub: Harness,
    /// Names as in the cases, with ids.
    ids: Vec<(&'static str, String)>,
    fresh: usize,
    /// The session that a caller opened last.
    own_session: Option<String>,
}

fn operation_metadata<M: prost::Message + Default>(operation: &Operation) -> M {
    let metadata = operation.metadata.as_ref().unwrap();
    M::decode(metadata.value.as_slice()).unwrap()
}

/// Opens a session in the first of the streams that the caller may work in.
async fn open_session(caller: &Caller, pool_id: &str, agent_id: &str) -> Result<String, Status> {
    let mut refused = Status::unimplemented("no stream");
    for stream in [
        idp::SessionType::AdUserControl,
        idp::SessionType::AdSync,
        idp::SessionType::AdPasswordHash,
    ] {
        let request = idp::OpenSessionRequest {
            subject_container_id: pool_id.into(),
            agent_id: agent_id.into(),
            session_type: stream.into(),
        };
        let opened = caller
            .with("x-sync-force", "1")
            .call::<_, Operation>("SynchronizationSessionService/OpenSession", &request)
            .await;
        match opened {
            Ok(opened) => {
                let metadata = operation_metadata::<idp::OpenSessionMetadata>(&opened);
                return Ok(metadata.session_id);
            }
            Err(status) => refused = status,
        }
    }
    Err(refused)
}

impl Things {
    async fn make() -> Self {
        let hub = Harness::start().await;
        let owner = hub.administrator.clone();
        let request = om::CreateGroupRequest {
            organization_id: hub.made.organization_id.clone(),
            name: "Basic".into(),
            ..Default::default()
        };
        let created: Operation = owner.call("GroupService/Create", &request).await.unwrap();
        let group = operation_metadata::<om::CreateGroupMetadata>(&created).group_id;
        let settings = idp::CreateSynchronizationSettingsRequest {
            subject_container_id: hub.pool_id.clone(),
            filter: Some(idp::SynchronizationFilter {
                domain: "corp.example".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let settings: Operation = owner
            .call(
                "SynchronizationService/CreateSynchronizationSettings",
                &settings,
            )
            .await
            .unwrap();
        let request = admin::CreateServiceAccountRequest {
            organization_id: hub.made.organization_id.clone(),
            name: "agent".into(),
            ..Default::default()
        };
        let created: Operation = owner
            .call("ServiceAccountService/Create", &request)
            .await
            .unwrap();
        let account =
            operation_metadata::<admin::CreateServiceAccountMetadata>(&created).service_account_id;
        let request = admin::CreateKeyRequest {
            service_account_id: account.clone(),
            ..Default::default()
        };
        let key: admin::CreateKeyResponse = owner
            .call("ServiceAccountService/CreateKey", &request)
            .await
            .unwrap();
        let guests = hub.create_pool("guests").await;
        let mut things = Self {
            ids: vec![
                ("organization", hub.made.organization_id.clone()),
                ("pool", hub.pool_id.clone()),
                ("user", hub.create_user("ann").await),
                ("group", group),
                ("operation", settings.id),
                ("account", account),
                ("key", key.key.unwrap().id),
                (
                    "session",
                    open_session(&owner, &hub.pool_id, "agent-9").await.unwrap(),
                ),
                ("guests", guests),
            ],
            hub,
            fresh: 0,
            own_session: None,
        };
        let external = things.create_external("External", "guid-external").await;
        things.ids.push(("external_group", external));
        let request = admin::ListAuditEventsRequest {
            organization_id: things.id("organization").to_owned(),
            userpool_id: things.id("pool").to_owned(),
            ..Default::default()
        };
        let events: admin::ListAuditEventsResponse = things
            .hub
            .administrator
            .call("AuditService/List", &request)
            .await
            .unwrap();
        things
            .ids
            .push(("event", events.events[0].event_id.clone()));
        things
    }

    fn id(&self, name: &str) -> &str {
        let found = self.ids.iter().find(|(known, _)| *known == name);
        found.map(|(_, id)| id.as_str()).unwrap()
    }

    async fn create_external(&self, name: &str, external_id: &str) -> String {
        let request = om::CreateExternalGroupRequest {
            organization_id: self.id("organization").to_owned(),
            subject_container_id: self.id("pool").to_owned(),
            name: name.into(),
            external_id: external_id.into(),
            ..Default::default()
        };
        let owner = &self.hub.administrator;
        let created: Operation = owner
            .call("GroupService/CreateExternal", &request)
            .await
            .unwrap();
        operation_metadata::<om::CreateExternalGroupMetadata>(&created).group_id
    }

    /// The request of a case, with ids in place of names; `caller` opens its own sessions.
    async fn request(&mut self, case: &Case, caller: &Caller) -> String {
        self.fresh += 1;
        let fresh = format!("fresh{}", self.fresh);
        let mut text = case.request.to_owned();
        if text.contains("$fresh_external_group") {
            let id = self.create_external(&fresh, &fresh).await;
            text = text.replace("$fresh_external_group", &id);
        }
        if text.contains("$fresh_group") {
            let request = om::CreateGroupRequest {
                organization_id: self.id("organization").to_owned(),
                name: fresh.clone(),
                ..Default::default()
            };
            let owner = &self.hub.administrator;
            let created: Operation = owner.call("GroupService/Create", &request).await.unwrap();
            let id = operation_metadata::<om::CreateGroupMetadata>(&created).group_id;
            text = text.replace("$fresh_group", &id);
        }
        if text.contains("$own_session") {
            // Whoever may open one has one of its own; the others name that of somebody else.
            if let Some(last) = self.own_session.take() {
                let request = idp::CloseSessionRequest {
                    session_id: last,
                    ..Default::default()
                };
                let close = "SynchronizationSessionService/CloseSession";
                let owner = &self.hub.administrator;
                let _: Operation = owner.call(close, &request).await.unwrap();
            }
            let own = open_session(caller, self.id("guests"), "agent-1").await;
            self.own_session = own.ok();
            let other = self.id("session").to_owned();
            let id = self.own_session.clone().unwrap_or(other);
            text = text.replace("$own_session", &id);
        }
        text = text.replace("$fresh", &fresh);
        self.fill(&text, "", "")
    }

    /// Replaces names with ids, but `name` with `id`.
    fn fill(&self, text: &str, name: &str, id: &str) -> String {
        let mut names: Vec<_> = self.ids.iter().collect();
        // `$external_group` before `$group` would not matter, `$organization` before `$o` would.
        names.sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        let mut text = text.to_owned();
        for (known, known_id) in names {
            let id = if *known == name { id } else { known_id };
            text = text.replace(&format!("${known}\""), &format!("{id}\""));
        }
        text
    }
}

async fn call(caller: &Caller, case: &Case, request: &str) -> Result<(), Status> {
    let caller = match case.mode {
        Mode::Plain => caller.clone(),
        Mode::Fenced => caller.with("x-sync-session-id", NO_SESSION),
        Mode::Forced => caller.with("x-sync-force", "1"),
    };
    let message = descriptor_pool()
        .get_message_by_name(find_method(case.method).request)
        .unwrap();
    let mut json = serde_json::Deserializer::from_str(request);
    let message = DynamicMessage::deserialize(message, &mut json)
        .unwrap_or_else(|error| panic!("{} {request}: {error}", case.method));
    caller.call::<_, ()>(case.method, &message).await
}

fn rule(case: &Case) -> Rule {
    find_rule(find_method(case.method).path).unwrap()
}

fn needs(case: &Case) -> &'static [Permission] {
    match rule(case) {
        Rule::Permissions(listed) if case.needs.is_empty() => {
            assert_eq!(listed.len(), 1, "{} must say what it needs", case.method);
            listed
        }
        Rule::Permissions(listed) => {
            let known = case
                .needs
                .iter()
                .all(|permission| listed.contains(permission));
            let first = case.needs.contains(&listed[0]);
            assert!(known && first, "{} {}", case.method, case.variant);
            case.needs
        }
        Rule::Anonymous | Rule::Authenticated => &[],
    }
}

fn is_expected(role: Option<Role>, needs: &[Permission]) -> bool {
    needs.iter().all(|permission| {
        role.is_some_and(|role| role == Role::Owner || permission.roles().contains(&role))
    })
}

fn name(case: &Case) -> String {
    match case.variant {
        "" => case.method.to_owned(),
        variant => format!("{} ({variant})", case.method),
    }
}

#[test]
fn every_rpc_has_a_case() {
    let cases: BTreeSet<_> = CASES
        .iter()
        .map(|case| find_method(case.method).path)
        .collect();
    let streams = STREAMS.iter().map(|name| find_method(name).path);
    let covered: BTreeSet<_> = cases.iter().copied().chain(streams).collect();
    let all: BTreeSet<_> = METHODS.iter().map(|method| method.path).collect();
    assert_eq!(covered, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_rpcs() {
    let mut things = Things::make().await;
    let mut callers = vec![(
        None,
        things.hub.account(&[], things.hub.organization()).await,
    )];
    for role in Role::ALL {
        let short = role.name().trim_start_matches("organization-manager.");
        let caller = things
            .hub
            .account(&[short], things.hub.organization())
            .await;
        callers.push((Some(*role), caller));
    }
    let width = CASES.iter().map(|case| name(case).len()).max().unwrap();
    let mut table = format!("{:width$}  -- {}\n", "", CODES.join(" "));
    let mut wrong = Vec::new();
    for case in CASES {
        let needs = needs(case);
        let mut row = format!("{:width$} ", name(case));
        for (role, caller) in &callers {
            // Rates are counted by the hub's clock.
            things.hub.advance(Span::seconds(1));
            let request = things.request(case, caller).await;
            let answer = call(caller, case, &request).await;
            let code = answer.map_or_else(|status| status.code(), |()| Code::Ok);
            if matches!(
                code,
                Code::Internal | Code::Unimplemented | Code::Unauthenticated
            ) && rule(case) != Rule::Anonymous
            {
                wrong.push(format!("{} answers {code:?}", name(case)));
            }
            let allowed = code != Code::PermissionDenied;
            let expected = is_expected(*role, needs)
                || !case.instead.is_empty() && is_expected(*role, case.instead);
            if allowed != expected {
                let role = role.map_or("nobody", |role| role.name());
                wrong.push(format!("{} by {role}: {code:?}", name(case)));
            }
            row.push_str(if allowed { "  +" } else { "  ." });
        }
        table.push_str(&row);
        table.push('\n');
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    insta::with_settings!({
        snapshot_path => "../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("access_matrix__roles_and_rpcs", table) });
}

/// What a refusal tells, apart from the request it belongs to; an id of the request is its own.
fn told(status: &Status, id: &str) -> (Code, String, String, usize) {
    let details = status.get_error_details();
    let reason = details.error_info().unwrap().reason.clone();
    let violations = details.bad_request();
    (
        status.code(),
        status.message().replace(id, "<id>"),
        reason,
        violations.map_or(0, |bad| bad.field_violations.len()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_looks_like_what_is_missing() {
    let mut things = Things::make().await;
    let nobody = things.hub.account(&[], things.hub.organization()).await;
    let guests = ResourceRef::userpool(&things.id("guests").into());
    let neighbour = things.hub.account(&["admin"], guests).await;
    let other_group = things.create_external("Other", "guid-other").await;
    let other_group = ResourceRef::group(&other_group.as_str().into());
    let group_admin = things.hub.account(&["admin"], other_group).await;
    let names: Vec<_> = things.ids.clone();
    let mut probed = 0;
    for case in CASES {
        let guarded = matches!(rule(case), Rule::Permissions(_));
        if !guarded && !case.method.starts_with("OperationService/") {
            continue;
        }
        for caller in [&nobody, &neighbour, &group_admin] {
            things.hub.advance(Span::seconds(1));
            things.fresh += 1;
            let fresh = format!("fresh{}", things.fresh);
            let text = case
                .request
                .replace("$fresh_group", "$group")
                .replace("$fresh_external_group", "$external_group")
                .replace("$own_session", "$session")
                .replace("$fresh", &fresh);
            for (name, id) in &names {
                if !text.contains(&format!("${name}\"")) {
                    continue;
                }
                let existing = call(caller, case, &things.fill(&text, name, id)).await;
                let existing = existing.unwrap_err();
                let missing = call(caller, case, &things.fill(&text, name, MISSING)).await;
                let missing = missing.unwrap_err();
                assert_eq!(
                    told(&existing, id),
                    told(&missing, MISSING),
                    "{} {name}",
                    super::access_matrix::name(case)
                );
                let code = if guarded {
                    Code::PermissionDenied
                } else {
                    Code::NotFound
                };
                assert_eq!(existing.code(), code, "{}", case.method);
                probed += 1;
            }
        }
    }
    assert!(probed > 3 * 70, "{probed} probes");
}
