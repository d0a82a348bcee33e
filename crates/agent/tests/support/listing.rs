//! What the hub holds.

use rollcall_lab::oracle::{Group, State, User};
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{ListSessionsRequest, ListUsersRequest, SynchronizationSession};
use rollcall_proto::organizationmanager::{ListExternalGroupsRequest, ListGroupMembersRequest};
use tonic::Code;

use super::{Directory, World};

impl<D: Directory> World<D> {
    /// Memberships of suspended users in groups that the hub holds: it does not list them.
    pub async fn hidden_memberships(&self) -> usize {
        let (expected, found) = (self.expected(), self.found().await);
        let inactive = |id: &&String| expected.state.users.get(*id).is_some_and(|u| !u.active);
        let groups = expected
            .state
            .groups
            .iter()
            .filter(|(id, _)| found.groups.contains_key(*id));
        groups
            .map(|(_, group)| group.members.iter().filter(inactive).count())
            .sum()
    }

    /// What the hub holds.
    pub async fn found(&self) -> State {
        let mut state = State::default();
        let mut external_ids = std::collections::BTreeMap::new();
        for user in self.users().await {
            let fields = [
                ("fullName", user.full_name),
                ("givenName", user.given_name),
                ("familyName", user.family_name),
                ("email", user.email),
                ("phoneNumber", user.phone_number),
                ("companyName", user.company_name),
                ("jobTitle", user.job_title),
                ("department", user.department),
                ("employeeId", user.employee_id),
            ];
            external_ids.insert(user.id, user.external_id.clone());
            let there = User {
                username: user.username.to_lowercase(),
                fields: fields.into_iter().filter(|(_, v)| !v.is_empty()).collect(),
                active: user.status == Status::Active as i32,
                expires_at_seconds: user.expires_at.map(|at| at.seconds),
            };
            state.users.insert(user.external_id, there);
        }
        let request = ListExternalGroupsRequest {
            subject_container_id: self.pool.id.clone(),
            page_size: 1_000,
            ..ListExternalGroupsRequest::default()
        };
        let listed = self.client.groups().list_external(request).await.unwrap();
        'groups: for group in listed.into_inner().groups {
            let mut members = std::collections::BTreeSet::new();
            let mut request = ListGroupMembersRequest {
                group_id: group.id,
                page_size: 1_000,
                ..ListGroupMembersRequest::default()
            };
            loop {
                let page = match self.client.groups().list_members(request.clone()).await {
                    Ok(page) => page.into_inner(),
                    // A service at work deleted it since the list of groups.
                    Err(status) if status.code() == Code::NotFound => continue 'groups,
                    Err(status) => panic!("{status}"),
                };
                // A user the service created since the list of users goes by its own id.
                members.extend(page.members.iter().map(|member| {
                    let known = external_ids.get(&member.subject_id);
                    known.unwrap_or(&member.subject_id).clone()
                }));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            let there = Group {
                name: group.name,
                description: group.description,
                members,
            };
            state.groups.insert(group.external_id, there);
        }
        state
    }

    pub async fn users(&self) -> Vec<rollcall_proto::idp::User> {
        let mut request = ListUsersRequest {
            userpool_id: self.pool.id.clone(),
            page_size: 1_000,
            ..ListUsersRequest::default()
        };
        let mut users = Vec::new();
        loop {
            let page = self.client.users().list(request.clone()).await.unwrap();
            let page = page.into_inner();
            users.extend(page.users);
            if page.next_page_token.is_empty() {
                return users;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The hub's id of the user with this login, without its domain.
    pub async fn id_of(&self, login: &str) -> Option<String> {
        let wanted = format!("{login}@{}", self.domain());
        let users = self.users().await;
        let found = users.into_iter().find(|user| user.username == wanted);
        found.map(|user| user.id)
    }

    /// Sessions of the objects, newest first.
    pub async fn sessions(&self) -> Vec<SynchronizationSession> {
        self.sessions_of("AD_SYNC").await
    }

    /// Sessions of one stream, newest first.
    pub async fn sessions_of(&self, session_type: &str) -> Vec<SynchronizationSession> {
        let request = ListSessionsRequest {
            subject_container_id: self.pool.id.clone(),
            filter: format!("session_type = '{session_type}'"),
            ..ListSessionsRequest::default()
        };
        let mut sessions = self.client.synchronization_sessions();
        let listed = sessions.list_sessions(request).await.unwrap();
        listed.into_inner().sessions
    }

    /// Whether the hub wants the password changed. No rpc shows it: only its store tells.
    pub async fn must_change_password(&self, user_id: &str) -> bool {
        let store = &self.hub.as_ref().unwrap().hub.store;
        let id = user_id.into();
        let found = store.read(async move |tx| tx.find_password(&id).await);
        let kind = found.await.unwrap().unwrap().kind.to_string();
        kind == "TEMPORARY"
    }
}
