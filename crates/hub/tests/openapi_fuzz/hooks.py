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


NUMBERS = st.integers(min_value=0, max_value=9999)

# Values that must fit to something that exists, or have a range that no schema can tell.
FITTING = {
    "username": NUMBERS.map(lambda number: f"fuzz{number}@{KNOWN['domain'][0]}"),
    "defaultSubdomain": NUMBERS.map(lambda number: f"fuzz{number}"),
    "roleId": st.sampled_from(
        ["organization-manager.viewer", "organization-manager.groups.editor"]
    ),
    "passwordHash": st.just("8846f7eaee8fb117ad06bdd830b7586c"),
    "passwordHashType": st.just("AD_MD4"),
    "synchronizationInterval": st.integers(900, 21600).map(lambda seconds: f"{seconds}s"),
}


def with_known(path, value, draw):
    """`value` with ids replaced by existing ones, at every depth."""
    if isinstance(value, list):
        return [with_known(path, item, draw) for item in value]
    if not isinstance(value, dict):
        return value
    replaced = {}
    for name, inner in value.items():
        ids = candidates(path, name)
        if not isinstance(inner, str):
            replaced[name] = with_known(path, inner, draw)
        elif name == "updateMask" and draw(st.sampled_from(CHANCES)):
            fields = sorted(name for name in value if name != "updateMask" and name.isalpha())
            replaced[name] = ",".join(draw(st.lists(st.sampled_from(fields)))) if fields else inner
        elif ids and draw(st.sampled_from(CHANCES)):
            replaced[name] = draw(st.sampled_from(ids))
        elif name in FITTING and draw(st.sampled_from(CHANCES)):
            replaced[name] = draw(FITTING[name])
        else:
            replaced[name] = inner
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
