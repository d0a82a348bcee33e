"""Breaks every option of every field of every service, with the clients of the SDK."""

import functools
import importlib

import grpc
from google.protobuf import message_factory

from checks import equal
from identity import bearer
from reflection import SERVICES
from violations import check_method

Code = grpc.StatusCode
GENERATED_MIN = 500

# Every kind of option that constrains a field of these services.
KINDS = {"required", "length", "pattern", "value", "size", "map_key", "exactly_one"}


FILES = {
    "UserService": "organizationmanager.v1.idp.user_service",
    "UserpoolService": "organizationmanager.v1.idp.userpool_service",
    "SynchronizationService": "organizationmanager.v1.idp.synchronization_service",
    "SynchronizationSessionService": "organizationmanager.v1.idp.synchronization_session_service",
    "GroupService": "organizationmanager.v1.group_service",
    "OrganizationService": "organizationmanager.v1.organization_service",
    "OperationService": "operation.operation_service",
    "IamTokenService": "iam.v1.iam_token_service",
    "ApiEndpointService": "endpoint.api_endpoint_service",
}


def services():
    """The descriptor and the client of every service of the contract."""
    for full_name in SERVICES:
        name = full_name.rsplit(".", 1)[1]
        file = f"yandex.cloud.{FILES[name]}_pb2"
        stub = getattr(importlib.import_module(f"{file}_grpc"), f"{name}Stub")
        yield importlib.import_module(file).DESCRIPTOR.services_by_name[name], stub


def streamed(call, request, timeout):
    """The first answer of a method that is a stream on both sides, as if it had one answer."""
    return next(call(iter([request]), timeout=timeout))


class Generated:
    """All of them against the hub of `scenario`."""

    def __init__(self, scenario):
        self.scenario = scenario

    def run(self):
        checks, kinds = self.scenario.checks, set()
        unserved = set()
        for service, stub in services():
            client = self.scenario.sdk.client(stub)
            for method in service.methods:
                call = getattr(client, method.name)
                if service.name == "IamTokenService":
                    # The SDK puts no token on calls of the service that gives tokens.
                    call = functools.partial(call, metadata=bearer(client, self.scenario.key))
                if method.client_streaming:
                    call = functools.partial(streamed, call)
                if self.is_served(call, method):
                    kinds |= check_method(checks, call, method)
                else:
                    unserved.add(f"{service.name}.{method.name}")

        def expected():
            assert not unserved, f"not served: {unserved}"
            equal(kinds, KINDS)
            assert checks.generated >= GENERATED_MIN, f"only {checks.generated} were generated"

        self.scenario.check("every rpc is served and every kind of option was broken", expected)

    @staticmethod
    def is_served(call, method):
        request = message_factory.GetMessageClass(method.input_type)()
        try:
            call(request, timeout=30)
        except grpc.RpcError as error:
            return error.code() != Code.UNIMPLEMENTED
        return True
