"""Password writeback as an agent on the official SDK does it, on a pool of its own."""

import queue

import grpc
from yandex.cloud.operation import operation_service_pb2 as operations
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub
from yandex.cloud.organizationmanager.v1.idp import (
    synchronization_service_pb2 as settings,
    synchronization_settings_pb2 as model,
    user_pb2,
    user_service_pb2 as users,
    userpool_pb2,
    userpool_service_pb2 as pools,
)

from checks import equal, invalid, refused

Code = grpc.StatusCode
Failure = users.PasswordWritebackErrorDetails
PATIENCE_SECONDS = 30


class Writeback:
    """Resets of a password, with the clients of `scenario`."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.check, self.wait = scenario.check, scenario.wait
        self.users = scenario.users
        self.requests = None

    def run(self):
        made = self.check("a pool writes passwords back", self.make)
        assert made is not None, "without such a pool nothing else can work"
        self.check("a reset waits for the directory and ends with the commit", self.accepted)
        self.check("a refusal fails the operation with its details", self.refused)
        self.check("an offset ahead of the head is OUT_OF_RANGE", self.ahead)

    def make(self):
        scenario = self.scenario
        request = scenario.pool_request("offices")
        pool = self.wait(scenario.pools.Create(request), userpool_pb2.Userpool).response
        self.pool_id = pool.id
        request = settings.CreateSynchronizationSettingsRequest(
            subject_container_id=pool.id,
            filter=model.SynchronizationFilter(domain="corp.example"),
            enable_password_writeback=True,
        )
        operation = scenario.settings.CreateSynchronizationSettings(request)
        self.wait(operation, model.SynchronizationSettings)
        request = users.CreateUserRequest(
            userpool_id=pool.id,
            username=f"ann@{pool.domains[0]}",
            full_name="Ann",
            external_id="guid-ann",
            password_spec=users.PasswordSpec(password="Staple & battery 8"),
        )
        self.user_id = self.wait(self.users.Create(request), user_pb2.User).response.id
        return self.user_id

    def subscribe(self, offset=0):
        first = users.GetPasswordChangesRequest(
            userpool_id=self.pool_id, agent_id="agent-1", offset=offset
        )
        # Each stream has its own: one that ends late would take the first request of the next.
        self.requests = queue.Queue()
        self.requests.put(first)
        return self.users.GetPasswordChanges(iter(self.requests.get, None), timeout=PATIENCE_SECONDS)

    def reset(self, password):
        request = users.SetOthersPasswordRequest(
            user_id=self.user_id, password_spec=users.PasswordSpec(password=password)
        )
        operation = self.users.SetOthersPassword(request)
        assert not operation.done
        return operation

    def commit(self, change, **more):
        request = users.CommitPasswordRequest(
            userpool_id=self.pool_id,
            external_user_id=change.external_user_id,
            modifying_operation_id=change.modifying_operation_id,
            password=change.password,
            need_change=change.need_change,
            generated=change.generated,
            **more,
        )
        return self.wait(self.users.CommitPassword(request), meta=users.CommitPasswordMetadata)

    def accepted(self):
        stream = self.subscribe()
        operation = self.reset("Correct horse 7")
        change = next(stream)
        equal(change.external_user_id, "guid-ann")
        equal(change.modifying_operation_id, operation.id)
        equal((change.password, change.old_password), ("Correct horse 7", ""))
        equal(self.commit(change).meta.userpool_id, self.pool_id)
        self.requests.put(
            users.GetPasswordChangesRequest(
                userpool_id=self.pool_id, agent_id="agent-1", offset=change.offset
            )
        )
        self.wait(operation, users.SetOthersPasswordResponse)
        self.requests.put(None)
        stream.cancel()

    def refused(self):
        stream = self.subscribe()
        operation = self.reset("Paper * scissors 9")
        change = next(stream)
        wrong = users.CommitPasswordRequest(
            userpool_id=self.pool_id,
            external_user_id=change.external_user_id,
            modifying_operation_id=change.modifying_operation_id,
            password="another",
        )
        invalid("password", lambda: self.users.CommitPassword(wrong))
        details = Failure(
            error_code=Failure.PASSWORD_POLICY_VIOLATION,
            error_message="PASSWORD_USED_BEFORE: 0000052D: in history",
        )
        self.commit(change, error_details=details)
        request = operations.GetOperationRequest(operation_id=operation.id)
        error = self.scenario.sdk.client(OperationServiceStub).Get(request).error
        equal(error.code, Code.INVALID_ARGUMENT.value[0])
        found = [Failure() for packed in error.details if packed.Is(Failure.DESCRIPTOR)]
        equal(len(found), 1)
        self.requests.put(None)
        stream.cancel()

    def ahead(self):
        stream = self.subscribe(offset=1_000)
        refused(Code.OUT_OF_RANGE, lambda: next(stream))
        self.requests.put(None)
