"""A synchronization session and the users that an agent makes under it."""

import time

import grpc
from google.protobuf import empty_pb2, field_mask_pb2, timestamp_pb2, wrappers_pb2
from yandex.cloud.operation import operation_service_pb2 as operations
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub
from yandex.cloud.organizationmanager.v1.idp import (
    synchronization_service_pb2 as settings,
    synchronization_session_service_pb2 as sessions,
    synchronization_settings_pb2 as model,
    user_pb2,
    user_service_pb2 as users,
)
from yandex.cloud.organizationmanager.v1.idp.synchronization_session_service_pb2_grpc import (
    SynchronizationSessionServiceStub,
)
from yandex.cloud.organizationmanager.v1.idp.user_service_pb2_grpc import UserServiceStub

from checks import equal, invalid, refused

Code = grpc.StatusCode
NT_HASH = "31d6cfe0d16ae931b73c59d7e0c089c0"


class Synchronization:
    """A session and the users made under it."""

    # A session

    def session(self):
        self.sessions = self.sdk.client(SynchronizationSessionServiceStub)
        opened = self.check("a first session opens in full mode with the settings", self.open)
        assert opened is not None, "without a session the rest cannot be checked"
        self.check("the session is found by its id", self.session_found)
        self.check("another agent is told who works", self.other_agent)
        self.check("the streams are independent", self.other_stream)
        self.check("a heartbeat extends the lease", self.heartbeat)
        self.check("progress is reported and the operation waited for", self.report)
        self.check("counters only grow", self.counters_only_grow)
        self.check("a cell given twice is refused", self.duplicate_cell)
        self.check("a negative counter is refused", self.negative_counter)
        self.check("a report without entries is refused", self.empty_report)
        self.check("a session of an unspecified type is refused", self.unspecified_type)
        self.check("an unknown session is NOT_FOUND", self.unknown_session)
        self.check("the replication token is stored", self.set_token)
        self.check("a replication token that is too long is refused", self.long_token)

    def open_session(self, agent_id, session_type=model.AD_SYNC):
        request = sessions.OpenSessionRequest(
            subject_container_id=self.pool_id, agent_id=agent_id, session_type=session_type
        )
        return self.wait(
            self.sessions.OpenSession(request),
            sessions.OpenSessionResponse,
            sessions.OpenSessionMetadata,
        )

    def open(self):
        opened = self.open_session("agent-1")
        equal(opened.response.result, sessions.SUCCESS)
        session = opened.response.opened_session
        equal((session.status, session.sync_mode), (sessions.OPENED, sessions.FULL_SYNC))
        equal(opened.meta.session_id, session.session_id)
        equal(opened.response.synchronization_settings, self.get_settings())
        equal(opened.response.replication_token, "")
        assert session.expires_at.ToDatetime() > session.created_at.ToDatetime()
        self.session_id = session.session_id
        return session

    def get_session(self):
        request = sessions.GetSessionRequest(session_id=self.session_id)
        return self.sessions.GetSession(request).session

    def session_found(self):
        session = self.get_session()
        equal((session.agent_id, session.session_type), ("agent-1", model.AD_SYNC))

    def other_agent(self):
        answer = self.open_session("agent-2")
        equal(answer.response.result, sessions.OPENED_SESSION_EXISTS)
        equal(answer.response.opened_session.session_id, self.session_id)
        equal(answer.response.opened_session.agent_id, "agent-1")
        equal(answer.meta.session_id, self.session_id)
        assert not answer.response.HasField("synchronization_settings")

    def other_stream(self):
        answer = self.open_session("agent-2", model.AD_PASSWORD_HASH)
        equal(answer.response.result, sessions.SUCCESS)
        other = answer.response.opened_session.session_id
        request = sessions.CloseSessionRequest(session_id=other, failed=True, fail_reason="test")
        closed = self.wait(self.sessions.CloseSession(request), sessions.SynchronizationSession)
        equal((closed.response.status, closed.response.fail_reason), (sessions.FAILED, "test"))

    def heartbeat(self):
        before = self.get_session().expires_at.ToDatetime()
        time.sleep(0.01)
        request = sessions.HeartbeatRequest(session_id=self.session_id)
        operation = self.sessions.Heartbeat(request)
        assert operation.done, "a heartbeat is done at once"
        self.wait(operation, empty_pb2.Empty, sessions.HeartbeatMetadata)
        assert self.get_session().expires_at.ToDatetime() > before

    def report_request(self, *cells):
        request = sessions.ReportSessionProgressRequest(session_id=self.session_id)
        for object_type, changes in cells:
            entry = request.progress_entries.add(object_type=object_type)
            for change_type, successful, failed in changes:
                entry.change_info.add(
                    change_type=change_type, successful=successful, failed=failed
                )
        return request

    def counters(self, session):
        return {
            (entry.object_type, info.change_type): (info.successful, info.failed)
            for entry in session.progress_entries
            for info in entry.change_info
        }

    def report(self):
        request = self.report_request(
            (sessions.USER, [(sessions.CREATE, 10, 1), (sessions.UPDATE, 3, 0)]),
            (sessions.MEMBERSHIP, [(sessions.CREATE, 1 << 40, 0)]),
        )
        operation = self.sessions.ReportSessionProgress(request)
        result = self.wait(
            operation, sessions.SynchronizationSession, sessions.ReportSessionProgressMetadata
        )
        equal(result.meta.session_id, self.session_id)
        counters = self.counters(result.response)
        equal(counters[sessions.USER, sessions.CREATE], (10, 1))
        equal(counters[sessions.MEMBERSHIP, sessions.CREATE], (1 << 40, 0))
        stored = self.sdk.client(OperationServiceStub).Get(
            operations.GetOperationRequest(operation_id=operation.id)
        )
        assert stored.done
        name = "yandex.cloud.organizationmanager.v1.idp.ReportSessionProgressMetadata"
        equal(stored.metadata.type_url, f"type.googleapis.com/{name}")

    def counters_only_grow(self):
        request = self.report_request((sessions.USER, [(sessions.CREATE, 5, 2)]))
        operation = self.sessions.ReportSessionProgress(request)
        counters = self.counters(self.wait(operation, sessions.SynchronizationSession).response)
        equal(counters[sessions.USER, sessions.CREATE], (10, 2))
        equal(counters[sessions.USER, sessions.UPDATE], (3, 0))

    def duplicate_cell(self):
        request = self.report_request(
            (sessions.USER, [(sessions.CREATE, 1, 0), (sessions.CREATE, 2, 0)])
        )
        refused(Code.INVALID_ARGUMENT, lambda: self.sessions.ReportSessionProgress(request))

    def negative_counter(self):
        request = self.report_request((sessions.USER, [(sessions.CREATE, -1, 0)]))
        invalid(
            "progress_entries[0].change_info[0].successful",
            lambda: self.sessions.ReportSessionProgress(request),
        )

    def empty_report(self):
        invalid(
            "progress_entries",
            lambda: self.sessions.ReportSessionProgress(self.report_request()),
        )

    def unspecified_type(self):
        invalid("session_type", lambda: self.open_session("agent-1", 0))

    def unknown_session(self):
        request = sessions.GetSessionRequest(session_id="sys00000000000000000")
        refused(Code.NOT_FOUND, lambda: self.sessions.GetSession(request))
        beat = sessions.HeartbeatRequest(session_id="sys00000000000000000")
        refused(Code.NOT_FOUND, lambda: self.sessions.Heartbeat(beat))

    def set_token_to(self, token):
        request = settings.SetReplicationTokenRequest(
            subject_container_id=self.pool_id,
            replication_token=token,
            session_type=model.AD_SYNC,
        )
        return self.settings.SetReplicationToken(request)

    def set_token(self):
        self.wait(self.set_token_to("v1:cookie"))
        equal(self.token(), "v1:cookie")
        equal(self.token(model.AD_USER_CONTROL), "")

    def long_token(self):
        invalid("replication_token", lambda: self.set_token_to("x" * 1001))

    # People

    def people(self):
        self.users = self.sdk.client(UserServiceStub)
        made = self.check("users are created with a hash under the session", self.create_users)
        assert made is not None, "without users the rest cannot be checked"
        self.check("external ids are resolved in the order asked for", self.resolve)
        self.check("users are listed page by page", self.list_users)
        self.check("users are filtered", self.filter_users)
        self.check("a login in use is ALREADY_EXISTS", self.login_in_use)
        self.check("an external id in use is ALREADY_EXISTS", self.external_id_in_use)
        self.check("a domain of nobody is FAILED_PRECONDITION", self.foreign_domain)
        self.check("a user without credentials is refused", self.user_without_credentials)
        self.check("a hash that is none is refused", self.bad_hash)
        self.check("a mask changes only what it names", self.update_user)
        self.check("a user is suspended and reactivated", self.suspend)
        self.check("a local user becomes external", self.convert)
        self.check("a user is deleted", self.delete_user)
        self.check("a stale session cannot write", self.stale_session)

    def under_session(self):
        return (("x-sync-session-id", self.session_id),)

    def user_request(self, number, **more):
        fields = {
            "userpool_id": self.pool_id,
            "username": f"user{number}@{self.domain}",
            "full_name": f"Пользователь {number}",
            "external_id": f"00000000-0000-0000-0000-{number:012d}",
            "password_hash": users.PasswordHash(
                password_hash=NT_HASH, password_hash_type=users.PasswordHash.AD_MD4
            ),
        }
        return users.CreateUserRequest(**{**fields, **more})

    def create_users(self):
        self.user_ids = []
        for number in range(5):
            operation = self.users.Create(
                self.user_request(number), metadata=self.under_session()
            )
            made = self.wait(operation, user_pb2.User, users.CreateUserMetadata)
            equal(made.meta.user_id, made.response.id)
            equal(made.response.status, user_pb2.User.ACTIVE)
            equal(made.response.full_name, f"Пользователь {number}")
            self.user_ids.append(made.response.id)
        return self.user_ids

    def resolve(self):
        ids = [f"00000000-0000-0000-0000-{number:012d}" for number in (3, 99, 0)]
        request = users.ResolveExternalIdsRequest(userpool_id=self.pool_id, external_ids=ids)
        found = self.users.ResolveExternalIds(request).resolved_users
        equal([user.user_id for user in found], [self.user_ids[3], self.user_ids[0]])
        equal([user.external_id for user in found], [ids[0], ids[2]])

    def list_users(self):
        found, token, pages = [], "", 0
        while pages < 10:
            request = users.ListUsersRequest(
                userpool_id=self.pool_id, page_size=2, page_token=token
            )
            page = self.users.List(request)
            found += [user.id for user in page.users]
            token, pages = page.next_page_token, pages + 1
            if not token:
                break
        equal((found, pages), (self.user_ids, 3))
        broken = users.ListUsersRequest(userpool_id=self.pool_id, page_token="broken")
        invalid("page_token", lambda: self.users.List(broken))
        many = users.ListUsersRequest(userpool_id=self.pool_id, page_size=1001)
        invalid("page_size", lambda: self.users.List(many))

    def filter_users(self):
        request = users.ListUsersRequest(
            userpool_id=self.pool_id, filter=f'username = "user3@{self.domain}"'
        )
        equal([user.id for user in self.users.List(request).users], [self.user_ids[3]])

    def create_again(self, **more):
        return lambda: self.users.Create(self.user_request(100, **more))

    def login_in_use(self):
        refused(Code.ALREADY_EXISTS, self.create_again(username=f"USER3@{self.domain}"))

    def external_id_in_use(self):
        taken = "00000000-0000-0000-0000-000000000003"
        refused(Code.ALREADY_EXISTS, self.create_again(external_id=taken))

    def foreign_domain(self):
        refused(Code.FAILED_PRECONDITION, self.create_again(username="a@nobody.example"))

    def user_without_credentials(self):
        invalid("credentials", self.create_again(password_hash=None))

    def bad_hash(self):
        bad = users.PasswordHash(
            password_hash="not a hash", password_hash_type=users.PasswordHash.AD_MD4
        )
        error = invalid("password_hash.password_hash", self.create_again(password_hash=bad))
        assert "not a hash" not in error.details(), "the error repeats the secret"

    def get_user(self, number):
        return self.users.Get(users.GetUserRequest(user_id=self.user_ids[number]))

    def update_user(self):
        request = users.UpdateUserRequest(
            user_id=self.user_ids[1],
            update_mask=field_mask_pb2.FieldMask(paths=["department", "expires_at"]),
            department="Engineering",
            full_name="Not named in the mask",
            expires_at=timestamp_pb2.Timestamp(seconds=4_000_000_000),
        )
        changed = self.wait(self.users.Update(request), user_pb2.User).response
        equal((changed.department, changed.full_name), ("Engineering", "Пользователь 1"))
        equal(changed.expires_at.seconds, 4_000_000_000)
        equal(self.get_user(1), changed)

    def suspend(self):
        suspend = users.SuspendUserRequest(user_id=self.user_ids[2], reason="on leave")
        self.wait(self.users.Suspend(suspend), empty_pb2.Empty, users.SuspendUserMetadata)
        equal(self.get_user(2).status, user_pb2.User.SUSPENDED)
        reactivate = users.ReactivateUserRequest(user_id=self.user_ids[2])
        self.wait(self.users.Reactivate(reactivate))
        equal(self.get_user(2).status, user_pb2.User.ACTIVE)

    def convert(self):
        password = users.PasswordSpec(password="correct-Horse-battery-77-staple")
        operation = self.users.Create(
            self.user_request(
                50,
                external_id="",
                password_hash=None,
                password_spec=password,
                is_active=wrappers_pb2.BoolValue(value=False),
            )
        )
        local = self.wait(operation, user_pb2.User).response
        equal((local.external_id, local.status), ("", user_pb2.User.SUSPENDED))
        request = users.ConvertToExternalUserRequest(user_id=local.id, external_id="captured")
        equal(self.wait(self.users.ConvertToExternal(request), user_pb2.User).response.external_id, "captured")
        other = users.ConvertToExternalUserRequest(user_id=local.id, external_id="other")
        refused(Code.FAILED_PRECONDITION, lambda: self.users.ConvertToExternal(other))
        self.user_ids.append(local.id)

    def delete_user(self):
        user_id = self.user_ids.pop()
        request = users.DeleteUserRequest(user_id=user_id)
        self.wait(self.users.Delete(request, metadata=self.under_session()))
        refused(
            Code.NOT_FOUND, lambda: self.users.Get(users.GetUserRequest(user_id=user_id))
        )

    def stale_session(self):
        metadata = (("x-sync-session-id", "sys00000000000000000"),)
        request = users.SuspendUserRequest(user_id=self.user_ids[0])
        refused(
            Code.FAILED_PRECONDITION, lambda: self.users.Suspend(request, metadata=metadata)
        )
        equal(self.get_user(0).status, user_pb2.User.ACTIVE)
