"""Invalid input for every validation option of every constrained field, out of the descriptors.

For each field of each request, however deep, a request is made that breaks one option of it; the
hub must refuse it with INVALID_ARGUMENT and name that field. What else is missing in the request is
named, too, so nothing has to be valid but the broken field's surroundings.
"""

import re

import grpc
from google.protobuf import descriptor, message_factory
from google.rpc import code_pb2, error_details_pb2
from yandex.cloud import validation_pb2 as options

from checks import detail, details_of

DURATION = "google.protobuf.Duration"
TIMESTAMP = "google.protobuf.Timestamp"
UNITS = {"s": 1, "m": 60, "h": 3600}

# Tried until one does not match the pattern of a field.
ODD_TEXTS = ("!", "-", "A b", "\n", "é", "x" * 5000)


def bounds(text):
    """The smallest and the largest value of `1-64`, `<=50`, `>0` and the like; None: no bound."""
    if text.startswith("<="):
        return None, text[2:]
    if text.startswith(">="):
        return text[2:], None
    low, _, high = text.partition("-")
    assert low and high, f"unknown range {text!r}"
    return low, high


def seconds(text):
    return int(text[:-1]) * UNITS[text[-1]]


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_list(field):
    return field.label == descriptor.FieldDescriptor.LABEL_REPEATED and not is_map(field)


def option(field, extension):
    given = field.GetOptions()
    return given.Extensions[extension] if given.HasExtension(extension) else None


def wrong_lengths(text):
    """Texts that are too long and, where there is such a thing, too short."""
    low, high = bounds(text)
    if high is not None:
        yield "x" * (int(high) + 1)
    if low is not None and int(low) > 1:
        yield "x" * (int(low) - 1)


def mismatch(pattern):
    return next(text for text in ODD_TEXTS if not re.fullmatch(pattern, text))


class Violation:
    """One broken option: what it is, where, and how a request comes to have it."""

    def __init__(self, kind, path, apply):
        self.kind = kind
        self.path = path
        self.apply = apply


def put(field, value):
    """A function that sets `field` of a message to one value, list item or map value."""

    def apply(message):
        if is_map(field):
            getattr(message, field.name)["key"] = value
        elif is_list(field):
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)

    return apply


def entries(field, count):
    """A function that gives a list or map `count` entries."""

    def apply(message):
        target = getattr(message, field.name)
        for number in range(count):
            if is_map(field):
                target[f"k{number}"] = "v"
            elif field.message_type is not None:
                target.add()
            else:
                target.append(f"v{number}")

    return apply


def broken_value(field, text):
    """Functions that set a number, length of time or moment outside of the range `text`."""
    kind = field.message_type.full_name if field.message_type else None
    if kind == TIMESTAMP:
        # Ranges of moments are written out: the first and the last of them stand for all.
        yield lambda message: getattr(message, field.name).FromJsonString("9999-01-01T00:00:00Z")
        yield lambda message: getattr(message, field.name).FromJsonString("1969-01-01T00:00:00Z")
        return
    low, high = bounds(text)
    if kind == DURATION:
        for value in (seconds(low) - 1, seconds(high) + 1):
            yield lambda message, value=value: getattr(message, field.name).FromSeconds(value)
        return
    assert kind is None, f"{field.full_name} has a range and the type {kind}"
    if low is not None and int(low) != 1:  # 0 means "not given"
        yield put(field, int(low) - 1)
    if high is not None:
        yield put(field, int(high) + 1)


def leave_out(_message):
    pass


def keys(field, rule):
    """Functions that give a map a key that breaks `rule`."""

    def key(text):
        return lambda message: getattr(message, field.name).__setitem__(text, "v")

    if rule.pattern:
        yield key(mismatch(rule.pattern))
    if rule.length:
        yield from (key(text) for text in wrong_lengths(rule.length))
    assert not rule.value, f"{field.full_name}: keys have no numbers here"


def of_field(field, path):
    """The violations of one field that stands at `path`."""
    if option(field, options.required):
        yield Violation("required", path, leave_out)
        if field.enum_type is not None:
            yield Violation("required", path, put(field, 9999))
    if (length := option(field, options.length)) is not None:
        for text in wrong_lengths(length):
            yield Violation("length", path, put(field, text))
    if (pattern := option(field, options.pattern)) is not None:
        yield Violation("pattern", path, put(field, mismatch(pattern)))
    if (value := option(field, options.value)) is not None:
        for apply in broken_value(field, value):
            yield Violation("value", path, apply)
    if (size := option(field, options.size)) is not None:
        low, high = bounds(size)
        if low is not None and int(low) > 0:
            yield Violation("size", path, entries(field, int(low) - 1))
        yield Violation("size", path, entries(field, int(high) + 1))
    if option(field, options.map_key) is not None:
        for apply in keys(field, option(field, options.map_key)):
            yield Violation("map_key", path, apply)
    unknown = [extension for extension in (options.unique, options.bytes) if option(field, extension)]
    assert not unknown, f"{field.full_name}: no violation is known for {unknown}"


def of_message(message, prefix="", outer=()):
    """All violations of a message and of the messages in it."""
    assert message.full_name not in outer, f"{message.full_name} holds itself"
    for oneof in message.oneofs:
        if oneof.GetOptions().Extensions[options.exactly_one]:
            yield Violation("exactly_one", prefix + oneof.name, leave_out)
    for field in message.fields:
        path = prefix + field.name
        yield from of_field(field, path)
        inner = field.message_type
        if inner is None or is_map(field) or not inner.full_name.startswith("yandex."):
            continue
        nested = f"{path}[0]." if is_list(field) else f"{path}."
        for violation in of_message(inner, nested, (*outer, message.full_name)):
            yield Violation(violation.kind, violation.path, inside(field, violation.apply))


def inside(field, apply):
    """A function that does `apply` to a message in `field`."""

    def enter(message):
        target = getattr(message, field.name)
        if is_list(field):
            apply(target.add())
        else:
            target.SetInParent()
            apply(target)

    return enter


def refused_field(call, request, violation):
    """Makes a call that must be refused because of the field of `violation`."""
    try:
        call(request, timeout=30)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, f"{error.code()}: {error.details()}"
        assert details_of(error).code == code_pb2.INVALID_ARGUMENT
        found = detail(error, error_details_pb2.BadRequest).field_violations
        fields = [item.field for item in found]
        # An item of a list or an entry of a map is named behind its field.
        named = [name for name in fields if name == violation.path or name.startswith(f"{violation.path}[")]
        assert named, f"{violation.path} is not among {fields}"
        return
    raise AssertionError("accepted")


def check_method(checks, call, method):
    """Tries every violation of one method; returns the kinds of options that were broken."""
    kinds = set()
    for violation in of_message(method.input_type):
        request = message_factory.GetMessageClass(method.input_type)()
        violation.apply(request)
        name = f"{method.containing_service.name}.{method.name}: {violation.kind} of {violation.path}"
        checks.run_generated(name, lambda: refused_field(call, request, violation))
        kinds.add(violation.kind)
    return kinds
