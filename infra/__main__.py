"""The Pulumi program: one stack is one platform."""

from pulumi import RunError

from modelyard.errors import ModelyardError
from modelyard_infra.program import run

try:
    run()
except ModelyardError as error:
    raise RunError(str(error)) from None
