//! `SynchronizationSessionService`: agents open, feed and close sessions.

use rollcall_domain::access::{self, Permission};
use rollcall_domain::filter::{Filter, SESSION_FIELDS};
use rollcall_domain::id::{SessionId, UserpoolId};
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::progress::{ChangeInfo, Counts, ProgressEntry};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_session::{
    self, Brake, Change, CloseRight, HubWork, OpenOutcome, OpenRequest, SessionType, SyncSession,
    Verdict,
};
use rollcall_domain::sync_settings::SyncSettings;
use rollcall_kit::secret::SecretString;
use rollcall_proto::idp;
use rollcall_proto::idp::synchronization_session_service_server::SynchronizationSessionService;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::call::Pace;
use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, sync_settings};
use crate::wire::{WireEnum, render_timestamp};

#[tonic::async_trait]
impl SynchronizationSessionService for Service {
    async fn open_session(
        &self,
        request: Request<idp::OpenSessionRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Open a synchronization session", open)
            .await
    }

    async fn close_session(
        &self,
        request: Request<idp::CloseSessionRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Close a synchronization session", close)
            .await
    }

    async fn report_session_progress(
        &self,
        request: Request<idp::ReportSessionProgressRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(
            request,
            "Report progress of a synchronization session",
            report_progress,
        )
        .await
    }

    async fn heartbeat(
        &self,
        request: Request<idp::HeartbeatRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Extend a synchronization session", heartbeat)
            .await
    }

    async fn get_session(
        &self,
        request: Request<idp::GetSessionRequest>,
    ) -> Result<Response<idp::GetSessionResponse>, Status> {
        self.read(request, get).await
    }

    async fn list_sessions(
        &self,
        request: Request<idp::ListSessionsRequest>,
    ) -> Result<Response<idp::ListSessionsResponse>, Status> {
        self.read(request, list).await
    }
}

async fn open(cx: &Context, tx: &Tx, request: &idp::OpenSessionRequest) -> Result<Done, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    let bindings = cx
        .authorize(tx, Permission::SyncSessionsUse, Scope::Userpool(&pool_id))
        .await?;
    let brake = match cx.call.pace {
        Pace::Regular => Brake::On,
        Pace::Forced => {
            access::require(&bindings, Permission::SyncSessionsForce)?;
            Brake::Off
        }
    };
    let session_type = SessionType::parse_wire("session_type", request.session_type)?;
    cx.authorize(tx, session_type.permission(), Scope::Userpool(&pool_id))
        .await?;
    let settings = tx.find_sync_settings(&pool_id).await?;
    let token = tx.find_replication_token(&pool_id, session_type).await?;
    let facts = tx.find_open_facts(&pool_id, session_type).await?;
    let request = OpenRequest {
        id: SessionId::new(cx.new_id(SessionId::PREFIX)),
        subject_container_id: pool_id.clone(),
        session_type,
        agent_id: request.agent_id.clone(),
        caller: cx.caller()?.id.clone(),
        brake,
    };
    let outcome = sync_session::open(request, facts, cx.hub.lease, cx.call.now)?;
    save_outcome(tx, &outcome).await?;
    let token = token.and_then(|token| token.token);
    let (session_id, response) = render_outcome(&outcome, token, settings);
    Ok(Done::new(
        &idp::OpenSessionMetadata { session_id },
        &response,
        resource(&pool_id),
    ))
}

async fn save_outcome(tx: &Tx, outcome: &OpenOutcome) -> Result<(), Error> {
    match outcome {
        OpenOutcome::Success { session, ended } => {
            if let Some(ended) = ended {
                tx.save_sync_session(ended).await?;
            }
            tx.insert_sync_session(session).await?;
        }
        OpenOutcome::TooEarly {
            ended: Some(ended), ..
        } => tx.save_sync_session(ended).await?,
        OpenOutcome::TooEarly { ended: None, .. } | OpenOutcome::OpenedSessionExists { .. } => {}
    }
    Ok(())
}

async fn close(cx: &Context, tx: &Tx, request: &idp::CloseSessionRequest) -> Result<Done, Error> {
    let session = find(cx, tx, &request.session_id, Permission::SyncSessionsGet).await?;
    let session = tx.count_sync_session(session).await?;
    let pool_id = session.subject_container_id.clone();
    let bindings = cx
        .authorize(tx, Permission::SyncSessionsGet, Scope::Userpool(&pool_id))
        .await?;
    let right = if access::allows(&bindings, Permission::SyncSessionsCloseAny) {
        CloseRight::Any
    } else {
        access::require(&bindings, Permission::SyncSessionsUse)?;
        CloseRight::Own
    };
    let verdict = if request.failed {
        Verdict::Failed {
            reason: request.fail_reason.clone(),
        }
    } else {
        Verdict::Successful
    };
    let work = if tx.count_sealed_passwords_of_session(&session.id).await? == 0 {
        HubWork::Done
    } else {
        HubWork::Left
    };
    let closed = session.close(&cx.caller()?.id, right, &verdict, work, cx.call.now)?;
    if closed.change == Change::Made {
        tx.save_sync_session(&closed.session).await?;
        let stream = closed.session.session_type;
        let token = tx.find_replication_token(&pool_id, stream).await?;
        if let Some(token) =
            token.and_then(|token| token.after_session(&closed.session, cx.call.now))
        {
            tx.save_replication_token(&token).await?;
        }
    }
    let session_id = request.session_id.clone();
    Ok(Done::new(
        &idp::CloseSessionMetadata { session_id },
        &render(&closed.session),
        resource(&pool_id),
    ))
}

async fn report_progress(
    cx: &Context,
    tx: &Tx,
    request: &idp::ReportSessionProgressRequest,
) -> Result<Done, Error> {
    let session = find(cx, tx, &request.session_id, Permission::SyncSessionsUse).await?;
    let entries = parse_entries(&request.progress_entries)?;
    let caller = &cx.caller()?.id;
    let session = session.report_progress(caller, &entries, cx.hub.lease, cx.call.now)?;
    tx.save_sync_session(&session).await?;
    let session_id = request.session_id.clone();
    Ok(Done::new(
        &idp::ReportSessionProgressMetadata { session_id },
        &render(&session),
        resource(&session.subject_container_id),
    ))
}

async fn heartbeat(cx: &Context, tx: &Tx, request: &idp::HeartbeatRequest) -> Result<Done, Error> {
    let session = find(cx, tx, &request.session_id, Permission::SyncSessionsUse).await?;
    let session = session.heartbeat(&cx.caller()?.id, cx.hub.lease, cx.call.now)?;
    tx.save_sync_session(&session).await?;
    let session_id = request.session_id.clone();
    Ok(Done::new(
        &idp::HeartbeatMetadata { session_id },
        &(),
        resource(&session.subject_container_id),
    ))
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &idp::GetSessionRequest,
) -> Result<idp::GetSessionResponse, Error> {
    let session = find(cx, tx, &request.session_id, Permission::SyncSessionsGet).await?;
    let session = tx.count_sync_session(session).await?;
    Ok(idp::GetSessionResponse {
        session: Some(render(&session.at(cx.call.now))),
    })
}

async fn list(
    cx: &Context,
    tx: &Tx,
    request: &idp::ListSessionsRequest,
) -> Result<idp::ListSessionsResponse, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(tx, Permission::SyncSessionsGet, Scope::Userpool(&pool_id))
        .await?;
    let filter = Filter::parse(&request.filter, SESSION_FIELDS)?;
    let list = cx.list(pool_id.as_str(), &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx
        .list_sync_sessions(&pool_id, &filter, cx.call.now, &page)
        .await?;
    Ok(idp::ListSessionsResponse {
        sessions: page
            .items
            .iter()
            .map(|session| render(&session.at(cx.call.now)))
            .collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// Finds a session the caller has `permission` on.
async fn find(
    cx: &Context,
    tx: &Tx,
    id: &str,
    permission: Permission,
) -> Result<SyncSession, Error> {
    let found = tx.find_sync_session(&SessionId::from(id)).await?;
    Ok(cx.admit(tx, permission, id, found).await?.0)
}

fn resource(pool_id: &UserpoolId) -> OperationResource {
    OperationResource {
        kind: OperationResourceKind::Synchronization,
        id: pool_id.to_string(),
        parent_id: pool_id.to_string(),
    }
}

fn parse_entries(entries: &[idp::ProgressEntry]) -> Result<Vec<ProgressEntry>, Refusal> {
    entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let field = format!("progress_entries[{index}]");
            let changes = entry
                .change_info
                .iter()
                .enumerate()
                .map(|(index, info)| {
                    let field = format!("{field}.change_info[{index}].change_type");
                    Ok(ChangeInfo {
                        change_type: WireEnum::parse_wire(&field, info.change_type)?,
                        counts: Counts {
                            successful: info.successful,
                            failed: info.failed,
                        },
                    })
                })
                .collect::<Result<_, Refusal>>()?;
            let field = format!("{field}.object_type");
            Ok(ProgressEntry {
                object_type: WireEnum::parse_wire(&field, entry.object_type)?,
                changes,
            })
        })
        .collect()
}

fn render_outcome(
    outcome: &OpenOutcome,
    token: Option<SecretString>,
    settings: Option<SyncSettings>,
) -> (String, idp::OpenSessionResponse) {
    use idp::open_session_response::SessionInfo;
    match outcome {
        OpenOutcome::Success { session, .. } => (
            session.id.to_string(),
            idp::OpenSessionResponse {
                result: idp::OpenSessionResult::Success.into(),
                replication_token: token
                    .map(|token| token.expose().to_owned())
                    .unwrap_or_default(),
                synchronization_settings: settings.map(sync_settings::render),
                session_info: Some(SessionInfo::OpenedSession(render(session))),
            },
        ),
        OpenOutcome::OpenedSessionExists { session } => (
            session.id.to_string(),
            idp::OpenSessionResponse {
                result: idp::OpenSessionResult::OpenedSessionExists.into(),
                session_info: Some(SessionInfo::OpenedSession(render(session))),
                ..Default::default()
            },
        ),
        OpenOutcome::TooEarly {
            next_session_at, ..
        } => (
            String::new(),
            idp::OpenSessionResponse {
                result: idp::OpenSessionResult::TooEarly.into(),
                session_info: Some(SessionInfo::NextSessionAt(render_timestamp(
                    *next_session_at,
                ))),
                ..Default::default()
            },
        ),
    }
}

fn render(session: &SyncSession) -> idp::SynchronizationSession {
    idp::SynchronizationSession {
        session_id: session.id.to_string(),
        agent_id: session.agent_id.clone(),
        created_at: Some(render_timestamp(session.created_at)),
        expires_at: Some(render_timestamp(session.expires_at)),
        closed_at: session.closed_at.map(render_timestamp),
        sync_mode: session.sync_mode.to_wire(),
        status: session.status.to_wire(),
        progress_entries: session
            .progress
            .entries()
            .iter()
            .map(render_entry)
            .collect(),
        fail_reason: session.fail_reason.clone(),
        session_type: session.session_type.to_wire(),
    }
}

fn render_entry(entry: &ProgressEntry) -> idp::ProgressEntry {
    idp::ProgressEntry {
        object_type: entry.object_type.to_wire(),
        change_info: entry
            .changes
            .iter()
            .map(|change| idp::ChangeInfo {
                change_type: change.change_type.to_wire(),
                successful: change.counts.successful,
                failed: change.counts.failed,
            })
            .collect(),
    }
}
