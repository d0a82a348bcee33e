"""Tokens: in the name of a service account, used, and ended before their time."""

import grpc
import yandexcloud
from yandex.cloud.iam.v1 import iam_token_service_pb2 as tokens
from yandex.cloud.iam.v1.iam_token_service_pb2_grpc import IamTokenServiceStub
from yandex.cloud.organizationmanager.v1 import organization_service_pb2 as organizations
from yandex.cloud.organizationmanager.v1.organization_service_pb2_grpc import (
    OrganizationServiceStub,
)
from yandexcloud._auth_fabric import get_auth_token_requester

from checks import equal, invalid, refused

Code = grpc.StatusCode


def bearer(client, key):
    """The metadata of a caller with a token of its own: the SDK puts none on calls of this service."""
    request = get_auth_token_requester(service_account_key=key).get_token_request()
    return (("authorization", f"Bearer {client.Create(request).iam_token}"),)


class Identity:
    """Hand-written checks of IamTokenService, with the clients of `scenario`."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.check = scenario.check
        self.subject_id = scenario.key["service_account_id"]
        self.client = scenario.sdk.client(IamTokenServiceStub)

    def run(self):
        self.check("a JWT that is none gets no token", self.bad_jwt)
        self.check("no identity gets no token", self.no_identity)
        self.metadata = self.check("a key gets a token", lambda: bearer(self.client, self.scenario.key))
        made = self.check("a token in the name of an account is made", self.create_for)
        assert made is not None, "without a token the rest cannot be checked"
        self.check("that token signs its bearer in", self.list_organizations)
        self.check("that token gives no further token", self.no_chain)
        self.check("an unknown account gives no token", self.unknown_account)
        self.check("a stranger gets no token in the name of an account", self.stranger)
        self.check("a token that is none cannot be ended", self.revoke_nothing)
        self.check("a token is ended", self.revoke)
        self.check("an ended token is refused", self.ended)
        self.check("a token is ended once", self.revoke_twice)

    def bad_jwt(self):
        request = tokens.CreateIamTokenRequest(jwt="no.jwt.x")
        refused(Code.UNAUTHENTICATED, lambda: self.client.Create(request))

    def no_identity(self):
        invalid("identity", lambda: self.client.Create(tokens.CreateIamTokenRequest()))

    def create(self, service_account_id, metadata):
        request = tokens.CreateIamTokenForServiceAccountRequest(
            service_account_id=service_account_id
        )
        return self.client.CreateForServiceAccount(request, metadata=metadata)

    def create_for(self):
        made = self.create(self.subject_id, self.metadata)
        assert made.expires_at.seconds, "the token has no end"
        self.token = made.iam_token
        assert self.token and self.token not in self.metadata[0][1], "it is a token of its own"
        return self.token

    def list_organizations(self):
        scenario = self.scenario
        sdk = yandexcloud.SDK(
            iam_token=self.token, endpoint=scenario.address, root_certificates=scenario.ca
        )
        client = sdk.client(OrganizationServiceStub)
        found = client.List(organizations.ListOrganizationsRequest()).organizations
        equal([item.id for item in found], [scenario.organization_id])

    def no_chain(self):
        metadata = (("authorization", f"Bearer {self.token}"),)
        refused(Code.FAILED_PRECONDITION, lambda: self.create(self.subject_id, metadata))

    def unknown_account(self):
        refused(Code.NOT_FOUND, lambda: self.create("aje00000000000000000", self.metadata))

    def stranger(self):
        refused(Code.UNAUTHENTICATED, lambda: self.create(self.subject_id, ()))

    def end(self, token):
        request = tokens.RevokeIamTokenRequest(iam_token=token)
        return self.client.Revoke(request, metadata=self.metadata)

    def revoke_nothing(self):
        refused(Code.NOT_FOUND, lambda: self.end("t1.no.token"))

    def revoke(self):
        equal(self.end(self.token).subject_id, self.subject_id)

    def ended(self):
        refused(Code.UNAUTHENTICATED, self.list_organizations)

    def revoke_twice(self):
        refused(Code.NOT_FOUND, lambda: self.end(self.token))
