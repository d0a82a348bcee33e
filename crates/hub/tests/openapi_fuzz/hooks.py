"""What schemathesis is told about the hub besides its OpenAPI document.

Random ids lead to NOT_FOUND only. So most calls name things that exist: the test made some and
lists their ids in the file of FUZZ_KNOWN, by the JSON names of the fields that take them. What the
hub answered is counted in the file of FUZZ_SEEN.
"""

import atexit
import collections
import json
import os

import schemathesis
from hypothesis import strategies as st

with open(os.environ["FUZZ_KNOWN"], encoding="utf-8") as file:
    KNOWN = json.load(file)

# Calls that would end the fuzzing for all others when they succeed: they take away the rights of
# the caller, or its account.
SPARED = {
    "OrganizationService_SetAccessBindings",
    "OrganizationService_UpdateAccessBindings",
    "ServiceAccountService_Delete",
    "ServiceAccountService_Disable",
    "ServiceAccountService_DeleteKey",
}

# Three of four calls name something that exists.
CHANCES = (True, True, True, False)


def candidates(path, name):
    """The ids that exist for the field `name` of a call to `path`."""
    if name == "resourceId":
        for part, kind in (
            ("/groups", "groupId"),
            ("/userpools", "userpoolId"),
            ("/organizations", "organizationId"),
        ):
            if part in path:
                return KNOWN[kind]
    return KNOWN.get(name, [])


def with_known(path, values, draw):
    """A copy of `values` in which ids are replaced by existing ones."""
    replaced = dict(values)
    for name in sorted(replaced):
        ids = candidates(path, name)
        if ids and isinstance(replaced[name], str) and draw(st.sampled_from(CHANCES)):
            replaced[name] = draw(st.sampled_from(ids))
    return replaced


def mixed(context, strategy):
    operation = context.operation
    if operation.definition.raw.get("operationId") in SPARED:
        return strategy

    @st.composite
    def build(draw):
        values = draw(strategy)
        value = getattr(values, "value", values)
        if not isinstance(value, dict):
            return values
        replaced = with_known(operation.path, value, draw)
        if value is values:
            return replaced
        values.value = replaced
        return values

    return build()


@schemathesis.hook
def before_generate_path_parameters(context, strategy):
    return mixed(context, strategy)


@schemathesis.hook
def before_generate_query(context, strategy):
    return mixed(context, strategy)


@schemathesis.hook
def before_generate_body(context, strategy):
    return mixed(context, strategy)


SEEN = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    operation = case.operation.definition.raw.get("operationId", "")
    SEEN[operation][str(response.status_code)] += 1


@schemathesis.check
def has_documented_status(context, response, case):
    """`default` stands for what clients need not expect; the hub must not need it."""
    documented = case.operation.definition.raw["responses"]
    # Answers to methods that a path does not have, and to OPTIONS, belong to no operation.
    if response.status_code not in (204, 405) and str(response.status_code) not in documented:
        raise AssertionError(f"the document does not name the status {response.status_code}")


@schemathesis.check
def names_its_request(context, response, case):
    """Each answer can be found in the log of the hub."""
    if not response.headers.get("x-request-id"):
        raise AssertionError("the answer has no x-request-id")


@atexit.register
def save():
    with open(os.environ["FUZZ_SEEN"], "w", encoding="utf-8") as file:
        json.dump(SEEN, file)
