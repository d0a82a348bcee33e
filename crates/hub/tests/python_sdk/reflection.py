"""Compares what server reflection serves with the descriptors inside the official package.

The reflection protocol is written out here with dynamic messages: the official SDK does not bring
the generated ones.
"""

import importlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

VERSIONS = ("v1", "v1alpha")

# Importing these registers the options, so that they are compared field by field.
OPTIONS = (
    "google.api.annotations_pb2",
    "yandex.cloud.validation_pb2",
    "yandex.cloud.api.operation_pb2",
)

IDP = "yandex.cloud.organizationmanager.v1.idp"
SERVICES = (
    f"{IDP}.SynchronizationSessionService",
    f"{IDP}.SynchronizationService",
    f"{IDP}.UserService",
    f"{IDP}.UserpoolService",
    "yandex.cloud.organizationmanager.v1.GroupService",
    "yandex.cloud.organizationmanager.v1.OrganizationService",
    "yandex.cloud.operation.OperationService",
    "yandex.cloud.iam.v1.IamTokenService",
    "yandex.cloud.endpoint.ApiEndpointService",
)

# Our own services beside the official ones.
ADDITIONS = (
    "rollcall.admin.v1.AuditService",
    "rollcall.admin.v1.PasswordService",
    "rollcall.admin.v1.ServiceAccountService",
    "rollcall.signin.v1.SignInService",
)


class Reflection:
    """Asks one version of the reflection service."""

    def __init__(self, channel, version):
        package = f"grpc.reflection.{version}"
        pool = descriptor_pool.DescriptorPool()
        pool.Add(protocol_file(package))
        message = lambda name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{package}.{name}")
        )
        self.request = message("ServerReflectionRequest")
        self.call = channel.stream_stream(
            f"/{package}.ServerReflection/ServerReflectionInfo",
            request_serializer=self.request.SerializeToString,
            response_deserializer=message("ServerReflectionResponse").FromString,
        )

    def ask(self, **question):
        answers = list(self.call(iter([self.request(**question)]), timeout=30))
        assert len(answers) == 1, f"{question}: {len(answers)} answers"
        assert not answers[0].error_response.error_code, f"{question}: {answers[0].error_response}"
        return answers[0]

    def services(self):
        answer = self.ask(list_services="*")
        return [service.name for service in answer.list_services_response.service]

    def files_of_symbol(self, symbol):
        return self._files(self.ask(file_containing_symbol=symbol))

    def files_named(self, name):
        return self._files(self.ask(file_by_filename=name))

    @staticmethod
    def _files(answer):
        raw = answer.file_descriptor_response.file_descriptor_proto
        files = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in raw]
        assert files, "no file was served"
        return files


def protocol_file(package):
    """The part of the reflection protocol that is needed here."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}/reflection.proto", package=package, syntax="proto3"
    )

    def message(name, *fields):
        added = file.message_type.add(name=name)
        for number, field, label, field_type in fields:
            entry = added.field.add(name=field, number=number, label=label)
            if isinstance(field_type, str):
                entry.type, entry.type_name = kind.TYPE_MESSAGE, f".{package}.{field_type}"
            else:
                entry.type = field_type

    one, many = kind.LABEL_OPTIONAL, kind.LABEL_REPEATED
    message(
        "ServerReflectionRequest",
        (1, "host", one, kind.TYPE_STRING),
        (3, "file_by_filename", one, kind.TYPE_STRING),
        (4, "file_containing_symbol", one, kind.TYPE_STRING),
        (7, "list_services", one, kind.TYPE_STRING),
    )
    message(
        "ServerReflectionResponse",
        (4, "file_descriptor_response", one, "FileDescriptorResponse"),
        (6, "list_services_response", one, "ListServiceResponse"),
        (7, "error_response", one, "ErrorResponse"),
    )
    message("FileDescriptorResponse", (1, "file_descriptor_proto", many, kind.TYPE_BYTES))
    message("ListServiceResponse", (1, "service", many, "ServiceResponse"))
    message("ServiceResponse", (1, "name", one, kind.TYPE_STRING))
    message(
        "ErrorResponse",
        (1, "error_code", one, kind.TYPE_INT32),
        (2, "error_message", one, kind.TYPE_STRING),
    )
    return file


def without_positions(file):
    """A file without its comments and positions, and without JSON names nobody wrote."""
    copy = descriptor_pb2.FileDescriptorProto.FromString(file.SerializeToString())
    copy.ClearField("source_code_info")
    messages = list(copy.message_type)
    for extension in copy.extension:
        extension.ClearField("json_name")
    while messages:
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            head, *tail = field.name.split("_")
            if field.json_name == head + "".join(part.capitalize() for part in tail):
                field.ClearField("json_name")
    return copy


def official_file(name):
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    return descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)


def compare_served_files(channel, version):
    """Follows all imports of all services; returns how many files were compared."""
    for module in OPTIONS:
        importlib.import_module(module)
    reflection = Reflection(channel, version)
    served = reflection.services()
    missing = [service for service in SERVICES if service not in served]
    assert not missing, f"not served: {missing}"
    foreign = [name for name in served if name.startswith("yandex.") and name not in SERVICES]
    assert not foreign, f"served, but not expected: {foreign}"
    added = sorted(name for name in served if name.startswith("rollcall."))
    assert added == sorted(ADDITIONS), f"our own services are {added}"
    waiting = [file for service in SERVICES for file in reflection.files_of_symbol(service)]
    compared = set()
    while waiting:
        file = waiting.pop()
        if file.name in compared or not file.name.startswith("yandex/"):
            continue
        compared.add(file.name)
        ours, theirs = without_positions(file), without_positions(official_file(file.name))
        assert ours == theirs, f"{file.name} differs from the official package"
        for dependency in file.dependency:
            waiting.extend(reflection.files_named(dependency))
    return len(compared)
