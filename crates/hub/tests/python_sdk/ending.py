"""The groups that an agent makes under its session, and the end of the session."""

import time

import grpc
from google.protobuf import empty_pb2, field_mask_pb2
from google.rpc import error_details_pb2
from yandex.cloud.operation import operation_service_pb2 as operations
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub
from yandex.cloud.organizationmanager.v1 import group_pb2
from yandex.cloud.organizationmanager.v1 import group_service_pb2 as groups
from yandex.cloud.organizationmanager.v1.group_service_pb2_grpc import GroupServiceStub
from yandex.cloud.organizationmanager.v1.idp import (
    synchronization_session_service_pb2 as sessions,
    synchronization_settings_pb2 as model,
    user_service_pb2 as users,
)

from checks import detail, equal, refused

Code = grpc.StatusCode


class Ending:
    """The groups of a session, and its end."""

    # Groups

    def group(self):
        self.groups = self.sdk.client(GroupServiceStub)
        made = self.check("an external group is created", self.create_group)
        assert made is not None, "without a group the rest cannot be checked"
        self.check("the group is resolved by its external id", self.resolve_group)
        self.check("external groups are listed", self.list_external_groups)
        self.check("an external group exists once", self.group_in_use)
        self.check("members are added and removed", self.members)
        self.check("an unknown member is NOT_FOUND and changes nothing", self.unknown_member)
        self.check("a subject twice in one call is refused", self.member_twice)
        self.check("a group is renamed", self.rename_group)
        self.check("a group is deleted", self.delete_group)

    def group_request(self, name, external_id):
        return groups.CreateExternalGroupRequest(
            organization_id=self.organization_id,
            subject_container_id=self.pool_id,
            name=name,
            external_id=external_id,
        )

    def create_group(self):
        operation = self.groups.CreateExternal(
            self.group_request("Engineers", "S-1/5:21"), metadata=self.under_session()
        )
        made = self.wait(operation, group_pb2.Group, groups.CreateExternalGroupMetadata)
        equal(made.meta.group_id, made.response.id)
        equal(made.meta.external_id, "S-1/5:21")
        self.group_id = made.response.id
        return made.response

    def resolve_group(self):
        request = groups.ResolveExternalGroupRequest(
            subject_container_id=self.pool_id, external_id="S-1/5:21"
        )
        equal(self.groups.ResolveExternal(request).id, self.group_id)
        request.external_id = "nobody"
        refused(Code.NOT_FOUND, lambda: self.groups.ResolveExternal(request))

    def list_external_groups(self):
        request = groups.ListExternalGroupsRequest(subject_container_id=self.pool_id)
        equal([group.id for group in self.groups.ListExternal(request).groups], [self.group_id])

    def group_in_use(self):
        request = self.group_request("Others", "S-1/5:21")
        refused(Code.ALREADY_EXISTS, lambda: self.groups.CreateExternal(request))

    def deltas(self, *deltas):
        request = groups.UpdateGroupMembersRequest(group_id=self.group_id)
        for action, subject_id in deltas:
            request.member_deltas.add(action=action, subject_id=subject_id)
        return self.groups.UpdateMembers(request, metadata=self.under_session())

    def member_ids(self):
        request = groups.ListGroupMembersRequest(group_id=self.group_id)
        return sorted(member.subject_id for member in self.groups.ListMembers(request).members)

    def members(self):
        add, remove = groups.MemberDelta.ADD, groups.MemberDelta.REMOVE
        first, second, third = self.user_ids[:3]
        operation = self.deltas((add, first), (add, second))
        self.wait(operation, empty_pb2.Empty, groups.UpdateGroupMembersMetadata)
        equal(self.member_ids(), sorted([first, second]))
        # Adding a member and removing a stranger change nothing, so a batch can be repeated.
        self.wait(self.deltas((add, first), (remove, third), (remove, second)))
        equal(self.member_ids(), [first])

    def unknown_member(self):
        before = self.member_ids()
        add = groups.MemberDelta.ADD
        refused(
            Code.NOT_FOUND,
            lambda: self.deltas((add, self.user_ids[2]), (add, "aje00000000000000000")),
        )
        equal(self.member_ids(), before)

    def member_twice(self):
        add, remove = groups.MemberDelta.ADD, groups.MemberDelta.REMOVE
        subject = self.user_ids[0]
        refused(Code.INVALID_ARGUMENT, lambda: self.deltas((add, subject), (remove, subject)))

    def rename_group(self):
        request = groups.UpdateGroupRequest(
            group_id=self.group_id,
            update_mask=field_mask_pb2.FieldMask(paths=["name"]),
            name="Developers",
        )
        changed = self.wait(
            self.groups.Update(request, metadata=self.under_session()), group_pb2.Group
        ).response
        equal((changed.name, changed.external_id), ("Developers", "S-1/5:21"))

    def delete_group(self):
        request = groups.DeleteGroupRequest(group_id=self.group_id)
        self.wait(self.groups.Delete(request, metadata=self.under_session()))
        get = groups.GetGroupRequest(group_id=self.group_id)
        refused(Code.NOT_FOUND, lambda: self.groups.Get(get))

    # The end

    def close(self):
        closed = self.check("the session is closed with its counters", self.close_session)
        assert closed is not None, "without the end the rest cannot be checked"
        self.check("closing again gives the same session", self.close_again)
        self.check("a closed session takes no heartbeat", self.heartbeat_after_the_end)
        self.check("a closed session cannot write", self.write_after_the_end)
        self.check("sessions are listed, newest first", self.list_sessions)
        self.check("the next session comes in its time", self.too_early)
        self.check("an unknown operation is NOT_FOUND", self.unknown_operation)

    def close_request(self, **more):
        return sessions.CloseSessionRequest(session_id=self.session_id, **more)

    def close_session(self):
        operation = self.sessions.CloseSession(self.close_request())
        closed = self.wait(
            operation, sessions.SynchronizationSession, sessions.CloseSessionMetadata
        ).response
        # PENDING while imported hashes are still being strengthened.
        assert closed.status in (sessions.COMPLETED, sessions.PENDING), closed.status
        assert closed.HasField("closed_at")
        equal(self.counters(closed)[sessions.USER, sessions.CREATE], (10, 2))
        return closed

    def close_again(self):
        again = self.wait(
            self.sessions.CloseSession(self.close_request()), sessions.SynchronizationSession
        ).response
        equal(again.session_id, self.session_id)
        refused(
            Code.FAILED_PRECONDITION,
            lambda: self.sessions.CloseSession(self.close_request(failed=True)),
        )

    def heartbeat_after_the_end(self):
        request = sessions.HeartbeatRequest(session_id=self.session_id)
        # A successful close leaves PENDING, whose lease may still be renewed, then COMPLETED.
        deadline = time.monotonic() + 60
        while self.get_session().status == sessions.PENDING and time.monotonic() < deadline:
            time.sleep(0.2)
        equal(self.get_session().status, sessions.COMPLETED)
        error = refused(Code.FAILED_PRECONDITION, lambda: self.sessions.Heartbeat(request))
        assert detail(error, error_details_pb2.ErrorInfo).reason

    def write_after_the_end(self):
        request = users.SuspendUserRequest(user_id=self.user_ids[0])
        refused(
            Code.FAILED_PRECONDITION,
            lambda: self.users.Suspend(request, metadata=self.under_session()),
        )

    def list_sessions(self):
        request = sessions.ListSessionsRequest(subject_container_id=self.pool_id)
        found = list(self.sessions.ListSessions(request).sessions)
        times = [session.created_at.ToDatetime() for session in found]
        equal(times, sorted(times, reverse=True))
        equal(found[-1].session_id, self.session_id)
        request.filter = 'session_type = "AD_SYNC"'
        equal(
            [session.session_id for session in self.sessions.ListSessions(request).sessions],
            [self.session_id],
        )

    def too_early(self):
        answer = self.open_session("agent-1")
        equal(answer.response.result, sessions.TOO_EARLY)
        assert answer.response.HasField("next_session_at")
        equal(answer.meta.session_id, "")
        # An administrator may ask for a run at once; now there is a token, so it is a delta.
        request = sessions.OpenSessionRequest(
            subject_container_id=self.pool_id, agent_id="agent-1", session_type=model.AD_SYNC
        )
        forced = self.sessions.OpenSession(request, metadata=(("x-sync-force", "1"),))
        opened = self.wait(forced, sessions.OpenSessionResponse).response
        equal(opened.result, sessions.SUCCESS)
        equal(opened.opened_session.sync_mode, sessions.DELTA)
        equal(opened.replication_token, "v1:cookie")

    def unknown_operation(self):
        request = operations.GetOperationRequest(operation_id="ops00000000000000000")
        stub = self.sdk.client(OperationServiceStub)
        refused(Code.NOT_FOUND, lambda: stub.Get(request))
