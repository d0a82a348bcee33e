"""Drives a running hub with the unmodified official SDK, over TLS and endpoint discovery.

Usage: scenario.py KEY_FILE CA_FILE HOST:PORT ORGANIZATION_ID

Prints one line for each check and how many ran; ends with 1 when one failed.
"""

import json
import sys
import uuid

import grpc
import yandexcloud
from google.protobuf import duration_pb2, empty_pb2, field_mask_pb2
from google.rpc import error_details_pb2
from yandex.cloud.endpoint import api_endpoint_service_pb2 as endpoint
from yandex.cloud.endpoint.api_endpoint_service_pb2_grpc import ApiEndpointServiceStub
from yandex.cloud.operation import operation_service_pb2 as operations
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub
from yandex.cloud.organizationmanager.v1 import organization_service_pb2
from yandex.cloud.organizationmanager.v1.idp import (
    synchronization_service_pb2 as settings,
    synchronization_settings_pb2 as model,
    userpool_pb2,
    userpool_service_pb2 as pools,
)
from yandex.cloud.organizationmanager.v1.idp.synchronization_service_pb2_grpc import (
    SynchronizationServiceStub,
)
from yandex.cloud.organizationmanager.v1.idp.userpool_service_pb2_grpc import UserpoolServiceStub
from yandex.cloud.organizationmanager.v1.organization_service_pb2_grpc import (
    OrganizationServiceStub,
)

from checks import Checks, detail, equal, invalid, refused
from ending import Ending
from reflection import VERSIONS, compare_served_files
from synchronization import Synchronization
from whole_contract import WholeContract

CHECKS_MIN = 179
Code = grpc.StatusCode


class Scenario(Synchronization, Ending):
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
