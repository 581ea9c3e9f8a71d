"""Which files may be loaded although loading them can run code."""

from pathlib import Path

from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.loading.files import ModelFiles

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"x\x9c": "zlib"}


def refuse_unless_allowed(files: ModelFiles, what: str, *, allow_pickle: bool) -> None:
    """Stop here if a model may not be unpickled.

    Args:
        files: The model's.
        what: What about it can run code, for the message.
        allow_pickle: Whether somebody has allowed it for this model by name.

    Raises:
        ModelRefused: nobody has.
    """
    if not allow_pickle:
        raise ModelRefused(
            f"{files.folder} is {what}: loading it can run any code that somebody put there. Log it again in a format "
            "that can't (skops, ONNX, a booster's own format), or allow this one model by name: allow_pickle"
        )


def described(path: Path) -> str:
    """What the beginning of a file looks like, for somebody who wonders why it is refused.

    Args:
        path: The file.
    """
    with path.open("rb") as file:
        start = file.read(6)
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return f"something packed with {name}, as pickles often are"
    if start[:1] == b"\x80":
        return "a pickle"
    return f"something that starts with {start!r}"
