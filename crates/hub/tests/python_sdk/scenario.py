"""Drives a running hub with the unmodified official SDK, over TLS and endpoint discovery.

Usage: scenario.py KEY_FILE CA_FILE HOST:PORT ORGANIZATION_ID

Prints one line for each check and how many ran; ends with 1 when one failed.
"""

import json
import sys
import time
import uuid

import grpc
import yandexcloud
from google.protobuf import duration_pb2, empty_pb2, field_mask_pb2, timestamp_pb2, wrappers_pb2
from google.rpc import error_details_pb2
from yandex.cloud.endpoint import api_endpoint_service_pb2 as endpoint
from yandex.cloud.endpoint.api_endpoint_service_pb2_grpc import ApiEndpointServiceStub
from yandex.cloud.operation import operation_service_pb2 as operations
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub
from yandex.cloud.organizationmanager.v1 import group_pb2, organization_service_pb2
from yandex.cloud.organizationmanager.v1 import group_service_pb2 as groups
from yandex.cloud.organizationmanager.v1.group_service_pb2_grpc import GroupServiceStub
from yandex.cloud.organizationmanager.v1.idp import (
    synchronization_service_pb2 as settings,
    synchronization_session_service_pb2 as sessions,
    synchronization_settings_pb2 as model,
    user_pb2,
    user_service_pb2 as users,
    userpool_pb2,
    userpool_service_pb2 as pools,
)
from yandex.cloud.organizationmanager.v1.idp.synchronization_service_pb2_grpc import (
    SynchronizationServiceStub,
)
from yandex.cloud.organizationmanager.v1.idp.synchronization_session_service_pb2_grpc import (
    SynchronizationSessionServiceStub,
)
from yandex.cloud.organizationmanager.v1.idp.user_service_pb2_grpc import UserServiceStub
from yandex.cloud.organizationmanager.v1.idp.userpool_service_pb2_grpc import UserpoolServiceStub
from yandex.cloud.organizationmanager.v1.organization_service_pb2_grpc import (
    OrganizationServiceStub,
)

from checks import Checks, detail, equal, invalid, refused
from reflection import VERSIONS, compare_served_files
from whole_contract import WholeContract

CHECKS_MIN = 150
Code = grpc.StatusCode
NT_HASH = "31d6cfe0d16ae931b73c59d7e0c089c0"


class Scenario:
    """One administrator and one agent against one hub."""

    def __init__(self, key, ca, address, organization_id):
        self.checks = Checks()
        self.key, self.ca, self.address = key, ca, address
        self.organization_id = organization_id
        self.sdk = yandexcloud.SDK(
            service_account_key=key, endpoint=address, root_certificates=ca
        )

    def check(self, name, check):
        return self.checks.run(name, check)

    def wait(self, operation, response=empty_pb2.Empty, meta=None):
        """Waits with the SDK's own waiter; returns its result."""
        return self.sdk.wait_operation_and_get_result(
            operation, response_type=response, meta_type=meta, timeout=60
        )

    # Connecting

    def connect(self):
        found = self.check("endpoint discovery names every service", self.discover)
        assert found is not None, "without endpoints nothing else can work"
        self.check("one endpoint is found by its id", self.one_endpoint)
        self.check("a wrong token is UNAUTHENTICATED", self.wrong_token)
        self.check("no token is UNAUTHENTICATED", self.no_token)
        self.check("a key the hub does not know gets no token", self.unknown_key)
        self.organizations = self.sdk.client(OrganizationServiceStub)
        self.check("the organization is listed", self.organization_listed)
        self.check("the organization is found by its id", self.organization_found)
        for version in VERSIONS:
            self.check(
                f"reflection {version} serves the descriptors of the official package",
                lambda version=version: self.reflection(version),
            )

    def discover(self):
        answer = self.sdk.client(ApiEndpointServiceStub).List(endpoint.ListApiEndpointsRequest())
        found = {item.id: item.address for item in answer.endpoints}
        for service in ("organization-manager", "iam", "operation", "endpoint"):
            equal(found.get(service), self.address)
        return found

    def one_endpoint(self):
        request = endpoint.GetApiEndpointRequest(api_endpoint_id="iam")
        equal(self.sdk.client(ApiEndpointServiceStub).Get(request).address, self.address)

    def wrong_token(self):
        sdk = yandexcloud.SDK(
            iam_token="t1.not-a-token", endpoint=self.address, root_certificates=self.ca
        )
        stub = sdk.client(UserpoolServiceStub)
        request = pools.ListUserpoolsRequest(organization_id=self.organization_id)
        error = refused(Code.UNAUTHENTICATED, lambda: stub.List(request))
        assert detail(error, error_details_pb2.RequestInfo).request_id

    def channel(self):
        return grpc.secure_channel(
            self.address, grpc.ssl_channel_credentials(root_certificates=self.ca)
        )

    def no_token(self):
        with self.channel() as channel:
            stub = OperationServiceStub(channel)
            request = operations.GetOperationRequest(operation_id="ops1")
            refused(Code.UNAUTHENTICATED, lambda: stub.Get(request))

    def unknown_key(self):
        key = dict(self.key, id="aje00000000000000000")
        sdk = yandexcloud.SDK(
            service_account_key=key, endpoint=self.address, root_certificates=self.ca
        )
        stub = sdk.client(UserpoolServiceStub)
        request = pools.ListUserpoolsRequest(organization_id=self.organization_id)
        try:
            stub.List(request)
        except grpc.RpcError as error:
            # The SDK asks for the token inside a channel credential, which reports its own code.
            assert error.code() in (Code.UNAUTHENTICATED, Code.UNAVAILABLE), error.code()
            return
        raise AssertionError("a token was given for an unknown key")

    def organization_listed(self):
        request = organization_service_pb2.ListOrganizationsRequest()
        found = [item.id for item in self.organizations.List(request).organizations]
        equal(found, [self.organization_id])

    def organization_found(self):
        request = organization_service_pb2.GetOrganizationRequest(
            organization_id=self.organization_id
        )
        assert self.organizations.Get(request).name

    def reflection(self, version):
        with self.channel() as channel:
            compared = compare_served_files(channel, version)
        assert compared >= 19, f"only {compared} files were compared"

    # Pools

    def pool(self):
        self.pools = self.sdk.client(UserpoolServiceStub)
        made = self.check("a pool is created", self.create_pool)
        assert made is not None, "without a pool nothing else can work"
        self.check("the pool is found by its id", self.get_pool)
        self.check("the pool is listed and can be filtered", self.list_pools)
        self.check("a name in use is ALREADY_EXISTS", self.pool_name_in_use)
        self.check("an unknown pool is NOT_FOUND", self.unknown_pool)
        self.check("a bad pool names every bad field", self.bad_pool)
        self.check("one idempotency key makes one pool", self.idempotent_pool)

    def pool_request(self, name, **more):
        return pools.CreateUserpoolRequest(
            organization_id=self.organization_id,
            name=name,
            default_subdomain=name,
            **more,
        )

    def create_pool(self):
        request = self.pool_request("people", description="All of us", labels={"a": "b"})
        operation = self.pools.Create(request)
        assert operation.id and operation.created_at.seconds and operation.created_by
        result = self.wait(operation, userpool_pb2.Userpool, pools.CreateUserpoolMetadata)
        equal(result.meta.userpool_id, result.response.id)
        self.pool_id = result.response.id
        self.domain = result.response.domains[0]
        equal(dict(result.response.labels), {"a": "b"})
        return result.response

    def get_pool(self):
        pool = self.pools.Get(pools.GetUserpoolRequest(userpool_id=self.pool_id))
        equal((pool.name, pool.description), ("people", "All of us"))
        equal(pool.organization_id, self.organization_id)

    def list_pools(self):
        request = pools.ListUserpoolsRequest(organization_id=self.organization_id)
        equal([pool.id for pool in self.pools.List(request).userpools], [self.pool_id])
        request.filter = 'name="nobody"'
        equal(len(self.pools.List(request).userpools), 0)
        request.filter = "name ="
        invalid("filter", lambda: self.pools.List(request))

    def pool_name_in_use(self):
        refused(Code.ALREADY_EXISTS, lambda: self.pools.Create(self.pool_request("people")))

    def unknown_pool(self):
        request = pools.GetUserpoolRequest(userpool_id="ek000000000000000000")
        refused(Code.NOT_FOUND, lambda: self.pools.Get(request))

    def bad_pool(self):
        request = self.pool_request("Upper Case", description="x" * 257)
        error = invalid("name", lambda: self.pools.Create(request))
        violations = detail(error, error_details_pb2.BadRequest).field_violations
        equal([violation.field for violation in violations], ["name", "description"])
        invalid("name", lambda: self.pools.Create(self.pool_request("")))
        invalid("userpool_id", lambda: self.pools.Get(pools.GetUserpoolRequest()))

    def idempotent_pool(self):
        metadata = (("idempotency-key", str(uuid.uuid4())),)
        first = self.pools.Create(self.pool_request("twice"), metadata=metadata)
        again = self.pools.Create(self.pool_request("twice"), metadata=metadata)
        equal(again.id, first.id)
        other = self.pool_request("thrice")
        refused(Code.INVALID_ARGUMENT, lambda: self.pools.Create(other, metadata=metadata))

    # Settings

    def synchronization_settings(self):
        self.settings = self.sdk.client(SynchronizationServiceStub)
        self.check("settings are NOT_FOUND before they are made", self.settings_missing)
        self.check("settings are created with the defaults filled in", self.create_settings)
        self.check("settings cannot be created twice", self.settings_twice)
        self.check("a mask changes only what it names", self.update_settings)
        self.check("an unknown path in a mask is refused", self.bad_settings_mask)
        self.check("settings without a filter are refused", self.settings_without_filter)
        self.check("an interval out of bounds is refused", self.bad_interval)
        self.check("supported attributes are listed", self.supported_attributes)
        self.check("there is no replication token at first", self.no_replication_token)

    def get_settings(self):
        return self.settings.GetSynchronizationSettings(
            settings.GetSynchronizationSettingsRequest(subject_container_id=self.pool_id)
        )

    def settings_request(self, **more):
        return settings.CreateSynchronizationSettingsRequest(
            subject_container_id=self.pool_id, **more
        )

    def settings_missing(self):
        refused(Code.NOT_FOUND, self.get_settings)

    def create_settings(self):
        request = self.settings_request(
            filter=model.SynchronizationFilter(
                domain="corp.example", organization_units=["OU=People,DC=corp,DC=example"]
            ),
            replacement_domain=self.domain,
        )
        operation = self.settings.CreateSynchronizationSettings(request)
        made = self.wait(
            operation,
            model.SynchronizationSettings,
            settings.CreateSynchronizationSettingsMetadata,
        )
        equal(made.meta.subject_container_id, self.pool_id)
        equal(made.response.remove_user_behavior, model.REMOVE)
        equal(made.response.synchronization_interval.seconds, 15 * 60)
        equal(self.get_settings(), made.response)

    def settings_twice(self):
        request = self.settings_request(filter=model.SynchronizationFilter(domain="corp.example"))
        refused(
            Code.ALREADY_EXISTS, lambda: self.settings.CreateSynchronizationSettings(request)
        )

    def settings_update(self, paths, **fields):
        request = settings.UpdateSynchronizationSettingsRequest(
            subject_container_id=self.pool_id,
            update_mask=field_mask_pb2.FieldMask(paths=paths),
            **fields,
        )
        return self.settings.UpdateSynchronizationSettings(request)

    def update_settings(self):
        operation = self.settings_update(
            ["remove_user_behavior", "synchronization_interval"],
            remove_user_behavior=model.BLOCK,
            synchronization_interval=duration_pb2.Duration(seconds=30 * 60),
            allow_to_capture_users=True,
        )
        changed = self.wait(operation, model.SynchronizationSettings).response
        equal(changed.remove_user_behavior, model.BLOCK)
        equal(changed.synchronization_interval.seconds, 30 * 60)
        equal(changed.allow_to_capture_users, False)
        equal(changed.filter.domain, "corp.example")

    def bad_settings_mask(self):
        invalid("update_mask", lambda: self.settings_update(["no_such_field"]))

    def settings_without_filter(self):
        invalid(
            "filter",
            lambda: self.settings.CreateSynchronizationSettings(self.settings_request()),
        )

    def bad_interval(self):
        invalid(
            "synchronization_interval",
            lambda: self.settings_update(
                ["synchronization_interval"],
                synchronization_interval=duration_pb2.Duration(seconds=60),
            ),
        )

    def supported_attributes(self):
        request = settings.ListSupportedAttributesRequest(flavor=settings.ACTIVE_DIRECTORY)
        answer = self.settings.ListSupportedAttributes(request)
        targets = {item.target_attribute for item in answer.user_supported_attributes}
        assert {model.USERNAME, model.FULL_NAME, model.EMPLOYEE_ID} <= targets, targets
        equal(len(answer.group_supported_attributes), 2)

    def token(self, session_type=model.AD_SYNC):
        request = settings.GetReplicationTokenRequest(
            subject_container_id=self.pool_id, session_type=session_type
        )
        return self.settings.GetReplicationToken(request).replication_token

    def no_replication_token(self):
        equal(self.token(), "")

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

    # Behind the synchronization

    def whole_contract(self):
        WholeContract(self).run()

    def run(self):
        parts = (
            self.connect,
            self.pool,
            self.synchronization_settings,
            self.session,
            self.people,
            self.group,
            self.close,
            self.whole_contract,
        )
        for part in parts:
            try:
                part()
            except AssertionError as error:
                print(f"the scenario ends early: {error}")
                self.checks.failed.append(part.__name__)
                break
        return self.checks.finish(CHECKS_MIN)


def main(key_path, ca_path, address, organization_id):
    with open(key_path, encoding="utf-8") as file:
        key = json.load(file)
    with open(ca_path, "rb") as file:
        ca = file.read()
    return Scenario(key, ca, address, organization_id).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
