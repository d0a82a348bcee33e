"""Access policies of the organization: bound, changed, listed and unbound."""

import grpc
from yandex.cloud.access import access_pb2 as access

from checks import equal, invalid, refused

Code = grpc.StatusCode
POLICY = "iam.denyServiceAccountCreation"


class AccessPolicies:
    """With the clients of `contract`."""

    def __init__(self, contract):
        self.contract = contract
        self.check, self.wait = contract.check, contract.wait
        self.organizations = contract.organizations
        self.organization_id = contract.organization_id

    def run(self):
        make = lambda **page: access.ListAccessPolicyBindingsRequest(
            resource_id=self.organization_id, **page
        )
        self.check("an access policy is bound", self.bind_policy)
        self.check("an access policy is bound once", self.bind_policy_twice)
        self.check("an unknown access policy is refused", self.unknown_policy)
        self.contract.is_listed_in_pages(
            "access policies", self.organizations.ListAccessPolicyBindings, make,
            "access_policy_bindings",
        )
        self.check("the message of an access policy is changed", self.change_policy)
        self.check("an access policy is unbound", self.unbind_policy)
        self.check("an access policy is unbound once", self.unbind_policy_twice)

    def bound(self):
        request = access.ListAccessPolicyBindingsRequest(resource_id=self.organization_id)
        found = self.organizations.ListAccessPolicyBindings(request).access_policy_bindings
        return {item.access_policy_template_id: dict(item.parameters) for item in found}

    def policy(self, template, **parameters):
        return access.AccessPolicyBinding(
            access_policy_template_id=template, parameters=parameters
        )

    def bind(self, template):
        request = access.BindAccessPolicyRequest(
            resource_id=self.organization_id, access_policy_binding=self.policy(template)
        )
        return self.organizations.BindAccessPolicy(request)

    def bind_policy(self):
        made = self.wait(
            self.bind(POLICY), access.BindAccessPolicyResponse, access.BindAccessPolicyMetadata
        )
        equal(made.meta.access_policy_binding, self.policy(POLICY))
        equal(self.bound(), {POLICY: {}})

    def bind_policy_twice(self):
        refused(Code.ALREADY_EXISTS, lambda: self.bind(POLICY))

    def unknown_policy(self):
        field = "access_policy_binding.access_policy_template_id"
        invalid(field, lambda: self.bind("no.such.policy"))

    def change_policy(self):
        request = access.UpdateAccessPolicyBindingParametersRequest(
            resource_id=self.organization_id,
            access_policy_binding=self.policy(POLICY, message="ask ann"),
        )
        self.wait(
            self.organizations.UpdateAccessPolicyBindingParameters(request),
            access.UpdateAccessPolicyBindingParametersResponse,
        )
        equal(self.bound(), {POLICY: {"message": "ask ann"}})

    def unbind(self):
        request = access.UnbindAccessPolicyRequest(
            resource_id=self.organization_id, access_policy_template_id=POLICY
        )
        return self.organizations.UnbindAccessPolicy(request)

    def unbind_policy(self):
        gone = self.wait(
            self.unbind(), access.UnbindAccessPolicyResponse, access.UnbindAccessPolicyMetadata
        )
        equal(gone.meta.access_policy_template_id, POLICY)
        equal(self.bound(), {})

    def unbind_policy_twice(self):
        refused(Code.NOT_FOUND, self.unbind)
