"""Find the programs that process kinds run."""

import shutil

from modelyard.errors import ModelyardError


def program(name: str) -> str:
    """The absolute path of a tool on PATH.

    Raises:
        ModelyardError: it isn't there.
    """
    found = shutil.which(name)
    if found is None:
        raise ModelyardError(
            f"the program {name!r} is not on PATH",
            fix='`make tools` gets it onto this machine, and `eval "$(modelyard pulumi-env)"` puts it on PATH',
        )
    return found
