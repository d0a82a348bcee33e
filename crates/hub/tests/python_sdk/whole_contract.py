"""The rest of the contract: domains, groups, bindings, access policies, operations.

Runs behind the synchronization of `scenario.py`, on pools and groups of its own.
"""

import grpc
from google.protobuf import empty_pb2, field_mask_pb2
from google.rpc import code_pb2
from yandex.cloud.access import access_pb2 as access
from yandex.cloud.operation import operation_service_pb2 as operations
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub
from yandex.cloud.organizationmanager.v1 import group_pb2, organization_pb2
from yandex.cloud.organizationmanager.v1 import group_service_pb2 as groups
from yandex.cloud.organizationmanager.v1 import organization_service_pb2 as organizations
from yandex.cloud.organizationmanager.v1.idp import userpool_pb2
from yandex.cloud.organizationmanager.v1.idp import user_service_pb2 as users
from yandex.cloud.organizationmanager.v1.idp import userpool_service_pb2 as pools

from checks import equal, invalid, refused
from generated import Generated
from identity import Identity
from policies import AccessPolicies
from writeback import Writeback

Code = grpc.StatusCode
ROLE = "organization-manager.userpools.viewer"
GROUP_ROLE = "organization-manager.groups.viewer"
PAGES_MAX = 20

def mask(*paths):
    return field_mask_pb2.FieldMask(paths=paths)


class WholeContract:
    """What is checked behind the synchronization, with the clients of `scenario`."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.check, self.wait = scenario.check, scenario.wait
        self.pools, self.groups, self.users = scenario.pools, scenario.groups, scenario.users
        self.organizations = scenario.organizations
        self.organization_id = scenario.organization_id
        self.operations = scenario.sdk.client(OperationServiceStub)
        self.subject_id = scenario.key["service_account_id"]

    def run(self):
        for part in (self.pool, self.domains, self.group, self.effective, self.organization):
            part()
        self.bindings("pool", self.pools, self.pool_id, ROLE)
        self.bindings("group", self.groups, self.group_id, GROUP_ROLE)
        self.organization_bindings()
        AccessPolicies(self).run()
        Identity(self.scenario).run()
        Writeback(self.scenario).run()
        self.filters()
        self.ending()
        Generated(self.scenario).run()

    def pages(self, call, make, field):
        """Every item of a listing, two on a page."""
        found, token = [], ""
        for _ in range(PAGES_MAX):
            page = call(make(page_size=2, page_token=token))
            items = list(getattr(page, field))
            assert len(items) <= 2, f"{len(items)} items on a page of 2"
            found += items
            token = page.next_page_token
            if not token:
                return found
        raise AssertionError(f"more than {PAGES_MAX} pages")

    def is_listed_in_pages(self, name, call, make, field):
        """Three checks that every listing passes."""
        self.check(f"{name} are listed in pages", lambda: self.pages(call, make, field))
        broken = lambda: call(make(page_token="broken"))
        self.check(f"{name}: a broken page token is refused", lambda: invalid("page_token", broken))
        many = lambda: call(make(page_size=1001))
        self.check(f"{name}: a page of 1001 is refused", lambda: invalid("page_size", many))

    # Pools and domains

    def pool(self):
        made = self.check("a pool for the rest is created", self.create_pool)
        assert made is not None, "without a pool the rest cannot be checked"
        self.check("a mask changes only the description of a pool", self.update_pool)
        self.check("without a mask every field of a pool is replaced", self.replace_pool)
        self.check("an unknown path in the mask of a pool is refused", self.bad_pool_mask)
        self.check("an unknown pool is not updated", self.update_no_pool)
        make = lambda **page: pools.ListUserpoolOperationsRequest(userpool_id=self.pool_id, **page)
        self.is_listed_in_pages("operations of a pool", self.pools.ListOperations, make, "operations")
        self.check("the operations of a pool tell its changes", self.pool_operations)
        make = lambda **page: pools.ListUserpoolsRequest(organization_id=self.organization_id, **page)
        self.is_listed_in_pages("pools", self.pools.List, make, "userpools")

    def create_pool(self):
        request = self.scenario.pool_request("rest", description="first", labels={"a": "b"})
        pool = self.wait(self.pools.Create(request), userpool_pb2.Userpool).response
        self.pool_id = pool.id
        return pool

    def update(self, *paths, **fields):
        request = pools.UpdateUserpoolRequest(userpool_id=self.pool_id, **fields)
        if paths:
            request.update_mask.CopyFrom(mask(*paths))
        operation = self.pools.Update(request)
        return self.wait(operation, userpool_pb2.Userpool, pools.UpdateUserpoolMetadata)

    def update_pool(self):
        changed = self.update("description", description="second", name="ignored")
        equal(changed.meta.userpool_id, self.pool_id)
        equal((changed.response.name, changed.response.description), ("rest", "second"))
        equal(dict(changed.response.labels), {"a": "b"})

    def replace_pool(self):
        changed = self.update(name="rest-2").response
        equal((changed.name, changed.description, dict(changed.labels)), ("rest-2", "", {}))

    def bad_pool_mask(self):
        invalid("update_mask", lambda: self.update("no_such_field"))

    def update_no_pool(self):
        request = pools.UpdateUserpoolRequest(
            userpool_id="ek000000000000000000", update_mask=mask("description")
        )
        refused(Code.NOT_FOUND, lambda: self.pools.Update(request))

    def pool_operations(self):
        request = pools.ListUserpoolOperationsRequest(userpool_id=self.pool_id)
        found = self.pools.ListOperations(request).operations
        assert len(found) >= 3, f"{len(found)} operations"
        times = [operation.created_at.ToDatetime() for operation in found]
        equal(times, sorted(times, reverse=True))
        request = operations.GetOperationRequest(operation_id=found[0].id)
        equal(self.operations.Get(request).id, found[0].id)

    def domains(self):
        self.check("a domain is added and asks for a proof", self.add_domain)
        self.check("a domain is found", self.get_domain)
        self.check("a domain is tied once", self.domain_twice)
        self.check("an unknown domain is NOT_FOUND", self.no_domain)
        make = lambda **page: pools.ListUserpoolDomainsRequest(userpool_id=self.pool_id, **page)
        self.is_listed_in_pages("domains", self.pools.ListDomains, make, "domains")
        self.check("domains are filtered", self.filter_domains)
        self.check("a search for the proof of a domain begins", self.validate_domain)
        self.check("a running search is cancelled", self.cancel_search)
        self.check("a domain is untied", self.delete_domain)

    def domain(self):
        request = pools.GetUserpoolDomainRequest(userpool_id=self.pool_id, domain="corp.example")
        return self.pools.GetDomain(request)

    def add(self):
        request = pools.AddUserpoolDomainRequest(userpool_id=self.pool_id, domain="corp.example")
        return self.pools.AddDomain(request)

    def add_domain(self):
        added = self.wait(self.add(), userpool_pb2.Domain, pools.AddUserpoolDomainMetadata)
        equal((added.response.domain, added.meta.userpool_id), ("corp.example", self.pool_id))
        assert added.response.challenges, "no challenge"

    def get_domain(self):
        equal(self.domain().domain, "corp.example")

    def domain_twice(self):
        refused(Code.ALREADY_EXISTS, self.add)

    def no_domain(self):
        request = pools.GetUserpoolDomainRequest(userpool_id=self.pool_id, domain="no.example")
        refused(Code.NOT_FOUND, lambda: self.pools.GetDomain(request))

    def filter_domains(self):
        request = pools.ListUserpoolDomainsRequest(
            userpool_id=self.pool_id, filter='domain = "corp.example"'
        )
        equal([item.domain for item in self.pools.ListDomains(request).domains], ["corp.example"])

    def validate_domain(self):
        request = pools.ValidateUserpoolDomainRequest(
            userpool_id=self.pool_id, domain="corp.example"
        )
        self.search = self.pools.ValidateDomain(request)
        assert not self.search.done, "nobody can have found a proof"
        equal(self.domain().status, userpool_pb2.Domain.VALIDATING)

    def cancel_search(self):
        request = operations.CancelOperationRequest(operation_id=self.search.id)
        ended = self.operations.Cancel(request)
        assert ended.done, "it goes on"
        equal((ended.id, ended.error.code), (self.search.id, code_pb2.CANCELLED))
        found = self.operations.Get(operations.GetOperationRequest(operation_id=ended.id))
        equal(found, ended)
        equal(self.domain().status, userpool_pb2.Domain.NEED_TO_VALIDATE)
        refused(Code.FAILED_PRECONDITION, lambda: self.operations.Cancel(request))

    def delete_domain(self):
        request = pools.DeleteUserpoolDomainRequest(userpool_id=self.pool_id, domain="corp.example")
        self.wait(self.pools.DeleteDomain(request), empty_pb2.Empty, pools.DeleteUserpoolDomainMetadata)
        refused(Code.NOT_FOUND, self.domain)

    # Groups

    def group(self):
        self.check("a group is created", self.create_group)
        self.check("a group is found", self.get_group)
        self.check("the name of a group is taken once", self.group_twice)
        self.check("a mask changes only the description of a group", self.update_group)
        self.check("groups are filtered", self.filter_groups)
        make = lambda **page: groups.ListGroupsRequest(organization_id=self.organization_id, **page)
        self.is_listed_in_pages("groups", self.groups.List, make, "groups")
        make = lambda **page: groups.ListGroupOperationsRequest(group_id=self.group_id, **page)
        self.is_listed_in_pages("operations of a group", self.groups.ListOperations, make, "operations")
        self.check("a group becomes external", self.group_to_external)
        self.check("all groups of a pool become basic", self.groups_to_basic)

    def create_group_request(self):
        return groups.CreateGroupRequest(
            organization_id=self.organization_id, name="Readers", labels={"team": "a"}
        )

    def create_group(self):
        operation = self.groups.Create(self.create_group_request())
        made = self.wait(operation, group_pb2.Group, groups.CreateGroupMetadata)
        equal(made.meta.group_id, made.response.id)
        self.group_id = made.response.id

    def get_group(self):
        found = self.groups.Get(groups.GetGroupRequest(group_id=self.group_id))
        equal((found.name, dict(found.labels), found.external_id), ("Readers", {"team": "a"}, ""))
        return found

    def group_twice(self):
        refused(Code.ALREADY_EXISTS, lambda: self.groups.Create(self.create_group_request()))

    def update_group(self):
        request = groups.UpdateGroupRequest(
            group_id=self.group_id, update_mask=mask("description"), description="read", name="No"
        )
        changed = self.wait(self.groups.Update(request), group_pb2.Group).response
        equal((changed.name, changed.description), ("Readers", "read"))

    def filter_groups(self):
        request = groups.ListGroupsRequest(
            organization_id=self.organization_id, filter='name = "Readers"'
        )
        equal([group.id for group in self.groups.List(request).groups], [self.group_id])

    def group_to_external(self):
        request = groups.ConvertToExternalGroupRequest(
            group_id=self.group_id, subject_container_id=self.pool_id, external_id="S-1-5-21-7"
        )
        group = self.wait(self.groups.ConvertToExternal(request), group_pb2.Group).response
        equal((group.external_id, group.subject_container_id), ("S-1-5-21-7", self.pool_id))

    def groups_to_basic(self):
        request = groups.ConvertAllToBasicGroupsRequest(subject_container_id=self.pool_id)
        operation = self.groups.ConvertAllToBasic(request)
        self.scenario.sdk.wait_operation_and_get_result(operation, timeout=60)
        self.get_group()

    def effective(self):
        self.check("a user becomes a member", self.join)
        make = lambda **page: groups.ListEffectiveRequest(
            subject_id=self.scenario.user_ids[0], organization_id=self.organization_id, **page
        )
        self.is_listed_in_pages(
            "effective groups", self.groups.ListEffective, make, "group_membership_info"
        )
        self.check("the groups of a user are listed", lambda: self.user_groups(1))
        self.check("a user leaves a group", self.leave)
        self.check("the groups of a user are listed again", lambda: self.user_groups(0))

    def change_member(self, action):
        request = groups.UpdateGroupMembersRequest(group_id=self.group_id)
        request.member_deltas.add(action=action, subject_id=self.scenario.user_ids[0])
        self.wait(self.groups.UpdateMembers(request))

    def join(self):
        self.change_member(groups.MemberDelta.ADD)

    def leave(self):
        self.change_member(groups.MemberDelta.REMOVE)

    def user_groups(self, count):
        request = groups.ListEffectiveRequest(
            subject_id=self.scenario.user_ids[0], organization_id=self.organization_id
        )
        equal(len(self.groups.ListEffective(request).group_membership_info), count)

    # The organization

    def organization(self):
        self.check("the title of the organization is changed", self.rename)
        self.check("an unknown path in its mask is refused", self.bad_organization_mask)
        self.check("an unknown organization is not updated", self.no_organization)
        make = lambda **page: organizations.ListOrganizationOperationsRequest(
            organization_id=self.organization_id, **page
        )
        self.is_listed_in_pages(
            "operations of the organization", self.organizations.ListOperations, make, "operations"
        )

    def rename(self):
        request = organizations.UpdateOrganizationRequest(
            organization_id=self.organization_id, update_mask=mask("title"), title="Renamed"
        )
        operation = self.organizations.Update(request)
        changed = self.wait(
            operation, organization_pb2.Organization, organizations.UpdateOrganizationMetadata
        )
        equal((changed.response.title, changed.response.id), ("Renamed", self.organization_id))

    def bad_organization_mask(self):
        request = organizations.UpdateOrganizationRequest(
            organization_id=self.organization_id, update_mask=mask("id")
        )
        invalid("update_mask", lambda: self.organizations.Update(request))

    def no_organization(self):
        request = organizations.UpdateOrganizationRequest(
            organization_id="bpf00000000000000000", update_mask=mask("title"), title="x"
        )
        refused(Code.NOT_FOUND, lambda: self.organizations.Update(request))

    # Access

    def binding(self, role):
        subject = access.Subject(id=self.subject_id, type="serviceAccount")
        return access.AccessBinding(role_id=role, subject=subject)

    def roles(self, client, resource_id):
        request = access.ListAccessBindingsRequest(resource_id=resource_id)
        return {
            (binding.role_id, binding.subject.id)
            for binding in client.ListAccessBindings(request).access_bindings
        }

    def change_binding(self, client, resource_id, action, role):
        request = access.UpdateAccessBindingsRequest(resource_id=resource_id)
        request.access_binding_deltas.add(action=action, access_binding=self.binding(role))
        operation = client.UpdateAccessBindings(request)
        self.scenario.sdk.wait_operation_and_get_result(operation, timeout=60)

    def bindings(self, name, client, resource_id, role):
        entry = (role, self.subject_id)

        def added():
            self.change_binding(client, resource_id, access.ADD, role)
            assert entry in self.roles(client, resource_id)

        def removed():
            self.change_binding(client, resource_id, access.REMOVE, role)
            assert entry not in self.roles(client, resource_id)

        def replaced():
            request = access.SetAccessBindingsRequest(
                resource_id=resource_id, access_bindings=[self.binding(role)]
            )
            operation = client.SetAccessBindings(request)
            self.scenario.sdk.wait_operation_and_get_result(operation, timeout=60)
            equal(self.roles(client, resource_id), {entry})

        def unknown_role():
            self.change_binding(client, resource_id, access.ADD, "no.such.role")

        def unknown_resource():
            self.change_binding(client, "ek000000000000000000", access.ADD, role)

        self.check(f"a binding of a {name} is added", added)
        self.check(f"a binding of a {name} is removed", removed)
        self.check(f"the bindings of a {name} are replaced", replaced)
        self.check(f"an unknown role on a {name} is refused", lambda: refused(Code.INVALID_ARGUMENT, unknown_role))
        self.check(f"bindings of an unknown {name} are refused", lambda: refused(Code.NOT_FOUND, unknown_resource))
        make = lambda **page: access.ListAccessBindingsRequest(resource_id=resource_id, **page)
        self.is_listed_in_pages(
            f"bindings of a {name}", client.ListAccessBindings, make, "access_bindings"
        )

    def organization_bindings(self):
        client, resource_id = self.organizations, self.organization_id
        self.check(
            "the administrator is bound to the organization",
            lambda: self.assert_bound(client, resource_id),
        )
        self.check(
            "a binding of the organization is added",
            lambda: self.change_binding(client, resource_id, access.ADD, ROLE),
        )
        self.check(
            "a binding of the organization is removed",
            lambda: self.change_binding(client, resource_id, access.REMOVE, ROLE),
        )
        make = lambda **page: access.ListAccessBindingsRequest(resource_id=resource_id, **page)
        self.is_listed_in_pages(
            "bindings of the organization", client.ListAccessBindings, make, "access_bindings"
        )

    def assert_bound(self, client, resource_id):
        assert any(subject == self.subject_id for _, subject in self.roles(client, resource_id))

    # Filters

    def filters(self):
        organization, pool = {"organization_id": self.organization_id}, {"userpool_id": self.pool_id}
        people = {"userpool_id": self.scenario.pool_id}
        listings = {
            "pools": lambda text: self.pools.List(pools.ListUserpoolsRequest(**organization, filter=text)),
            "domains": lambda text: self.pools.ListDomains(pools.ListUserpoolDomainsRequest(**pool, filter=text)),
            "groups": lambda text: self.groups.List(groups.ListGroupsRequest(**organization, filter=text)),
            "users": lambda text: self.users.List(users.ListUsersRequest(**people, filter=text)),
            "organizations": lambda text: self.organizations.List(
                organizations.ListOrganizationsRequest(filter=text)
            ),
        }
        for name, call in listings.items():
            field = lambda call=call: invalid("filter", lambda: call("no_such_field = 'x'"))
            self.check(f"{name}: a filter of an unknown field is refused", field)
            syntax = lambda call=call: invalid("filter", lambda: call("name = = 'x'"))
            self.check(f"{name}: a filter without sense is refused", syntax)
        self.check(
            "a filter takes a list of values",
            lambda: equal([pool.name for pool in listings["pools"]("name IN ('people', 'x')").userpools], ["people"]),
        )
        self.check(
            "a filter takes a part of a value",
            lambda: equal(len(listings["users"]("username contains 'USER3'").users), 1),
        )

    # The end

    def ending(self):
        self.check("the group is deleted", self.delete_group)
        self.check("the pool is deleted", self.delete_pool)
        self.check("what is done cannot be cancelled", self.cancel_done)

    def delete_group(self):
        request = groups.DeleteGroupRequest(group_id=self.group_id)
        self.wait(self.groups.Delete(request), empty_pb2.Empty, groups.DeleteGroupMetadata)
        refused(Code.NOT_FOUND, lambda: self.groups.Get(groups.GetGroupRequest(group_id=self.group_id)))

    def delete_pool(self):
        request = pools.DeleteUserpoolRequest(userpool_id=self.pool_id)
        self.last = self.pools.Delete(request)
        self.wait(self.last, empty_pb2.Empty, pools.DeleteUserpoolMetadata)
        request = pools.GetUserpoolRequest(userpool_id=self.pool_id)
        refused(Code.NOT_FOUND, lambda: self.pools.Get(request))

    def cancel_done(self):
        request = operations.CancelOperationRequest(operation_id=self.last.id)
        refused(Code.FAILED_PRECONDITION, lambda: self.operations.Cancel(request))

