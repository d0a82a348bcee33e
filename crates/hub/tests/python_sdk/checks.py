"""Named checks: each prints one line; a failed one does not stop the others of the script."""

import traceback

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2


class Checks:
    """Runs and counts checks."""

    def __init__(self):
        self.passed = 0
        # How many of the checks came out of the descriptors.
        self.generated = 0
        self.failed = []
        self.failed_generated = []

    def run(self, name, check):
        """Runs one check; what it returns is returned, None when it failed."""
        try:
            result = check()
        except Exception as error:  # Whatever is wrong, the other checks still say their part.
            self.failed.append(name)
            print(f"FAILED  {name}: {describe(error)}", flush=True)
            if not isinstance(error, (AssertionError, grpc.RpcError)):
                traceback.print_exc()
            return None
        self.passed += 1
        print(f"ok      {name}", flush=True)
        return result

    def run_generated(self, name, check):
        """Runs a check out of the descriptors; only a failed one prints a line."""
        self.generated += 1
        try:
            check()
        except (AssertionError, grpc.RpcError) as error:
            self.failed_generated.append(name)
            print(f"FAILED  {name}: {describe(error)}", flush=True)

    def finish(self, checks_min):
        """Prints the count. The exit code: 0 only if all passed and none were lost on the way."""
        total = self.passed + len(self.failed)
        print(f"{total} checks ran, {self.generated} more for each option of each field")
        failed = self.failed + self.failed_generated
        print(f"{len(failed)} failed")
        for name in failed:
            print(f"  failed: {name}")
        if total < checks_min:
            print(f"at least {checks_min} checks were expected")
        return 1 if failed or total < checks_min else 0


def describe(error):
    if isinstance(error, grpc.RpcError):
        return f"{error.code()}: {error.details()}"
    return f"{type(error).__name__}: {error}"


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def details_of(error):
    """The google.rpc.Status of an error."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    raise AssertionError("the error carries no details")


def detail(error, kind):
    """The first detail of `kind`."""
    for packed in details_of(error).details:
        message = kind()
        if packed.Unpack(message):
            return message
    raise AssertionError(f"the error carries no {kind.__name__}: {details_of(error)}")


def refused(code, call):
    """Makes a call that must fail with `code`; returns the error."""
    try:
        answer = call()
    except grpc.RpcError as error:
        assert error.code() == code, f"{describe(error)}, expected {code}"
        assert error.details(), "the error has no message"
        return error
    raise AssertionError(f"succeeded, expected {code}: {answer}")


def invalid(field, call):
    """Makes a call that must fail with INVALID_ARGUMENT because of `field`."""
    error = refused(grpc.StatusCode.INVALID_ARGUMENT, call)
    equal(details_of(error).code, code_pb2.INVALID_ARGUMENT)
    violations = detail(error, error_details_pb2.BadRequest).field_violations
    fields = [violation.field for violation in violations]
    assert field in fields, f"{field} is not among {fields}"
    for violation in violations:
        assert violation.description, f"{violation.field} has no description"
    return error
