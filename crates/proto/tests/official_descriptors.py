"""Compares a serialized FileDescriptorSet with the official Python package `yandexcloud`.

Usage: official_descriptors.py DESCRIPTOR_SET

Every file of the set outside `google/` and `rollcall/` must equal the official file of the same name: packages,
names, numbers, types, order, reserved ranges and all options with their extensions. Comments and
source positions are ours and are not compared. Services of the files in the set must be exactly
those of the official file. Ends with 1 and a difference when something is not equal.
"""

import difflib
import importlib
import sys

from google.protobuf import descriptor_pb2, text_format

# Importing these registers the extensions, so that options decode instead of staying unknown.
EXTENSIONS = (
    "google.api.annotations_pb2",
    "yandex.cloud.validation_pb2",
    "yandex.cloud.api.operation_pb2",
)
FILES_MIN = 19


def default_json_name(name):
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def fill_json_names(messages):
    for message in messages:
        for field in message.field:
            if not field.HasField("json_name"):
                field.json_name = default_json_name(field.name)
        for extension in message.extension:
            extension.ClearField("json_name")
        fill_json_names(message.nested_type)


def canonical(descriptor):
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(descriptor)
    copy.ClearField("source_code_info")
    for extension in copy.extension:
        extension.ClearField("json_name")
    fill_json_names(copy.message_type)
    return copy


def official(name):
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    # The bytes the package was made from, so that no runtime normalises them on the way.
    return descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def main(path):
    for module in EXTENSIONS:
        importlib.import_module(module)
    with open(path, "rb") as file:
        ours = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    compared = 0
    for file in ours.file:
        if file.name.startswith(("google/", "rollcall/")):
            continue
        a, b = canonical(official(file.name)), canonical(file)
        if a.SerializeToString(deterministic=True) != b.SerializeToString(deterministic=True):
            wanted = text_format.MessageToString(a).splitlines()
            found = text_format.MessageToString(b).splitlines()
            print(f"{file.name} differs from the official package:")
            print("\n".join(difflib.unified_diff(wanted, found, "official", "ours", lineterm="")))
            return 1
        compared += 1
    if compared < FILES_MIN:
        print(f"only {compared} files were compared, expected at least {FILES_MIN}")
        return 1
    print(f"{compared} files equal the official package")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
