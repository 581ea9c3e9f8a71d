"""Which way to ask a model: the fastest one that is shown to answer like MLflow's own.

Runs in a process of its own (`python -m modelyard.serving.server.loading.proof FOLDER`), because it imports MLflow and
pandas, which the server mostly can do without. What it found is remembered by the model's digest and the versions of
all libraries that have a say, so each model is tried once per machine and change.
"""

import hashlib
import importlib.metadata
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.serving.server.errors import ModelRefused
from modelyard.serving.server.loading.files import ModelFiles, model_files
from modelyard.serving.server.outputs import Output
from modelyard.serving.server.predictors import Path as Way
from modelyard.serving.server.tensors import Array

log = logging.getLogger(__name__)
ULPS = 4
BATCH_TOLERANCES = {"float64": 1e-9, "float32": 1e-5, "float16": 1e-2}
"""Of the largest number in an output: summing in another order moves results by rounding errors."""
SECONDS = 300
_LIBRARIES = ("mlflow", "numpy", "pandas", "scikit-learn", "skops", "xgboost-cpu", "xgboost", "lightgbm", "onnxruntime")
FORMAT = 1


@dataclass(frozen=True)
class Proof:
    """How a model may be asked.

    Attributes:
        way: The fastest way that was shown to be equal.
        row_wise: Whether each row's answer is its own, whatever rows are beside it.
        rows: How many rows it was tried with.
        against: What it was compared with.
        rejected: Why a faster way is not used, by way.
        why_not_batched: Why rows of several requests can't be put together; empty: they can.
    """

    way: Way
    row_wise: bool
    rows: int
    against: str
    rejected: dict[str, str] = field(default_factory=dict)
    why_not_batched: str = ""


def prove(files: ModelFiles, folder: Path, *, allow_pickle: bool) -> Proof:
    """What is known about a model, or found out now in another process.

    Args:
        files: The model's.
        folder: Where proofs are remembered.
        allow_pickle: As for loading it.

    Raises:
        ModelRefused: the model can't be loaded or doesn't answer at all; the message is that process's.
    """
    remembered = place(files, folder)
    try:
        return Proof(**json.loads(remembered.read_bytes()))
    except (OSError, ValueError, TypeError):
        pass
    done = _tried(files, allow_pickle=allow_pickle)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines()
        raise ModelRefused("\n".join(said[-8:]) or f"{files.folder}: trying the model ended with {done.returncode}")
    proof = Proof(**json.loads(lines[-1]))
    remember(proof, remembered)
    return proof


def _tried(files: ModelFiles, *, allow_pickle: bool) -> "subprocess.CompletedProcess[str]":
    """Run the trial in its own process, which ends when this one does."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "modelyard.serving.server.loading.proof", str(files.folder), str(ours)]
    if allow_pickle:
        command.append("--allow-pickle")
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, pass_fds=(ours,), close_fds=True
        )
    except subprocess.TimeoutExpired:
        raise ModelRefused(f"{files.folder}: the model didn't answer {SECONDS} s after its load began") from None
    finally:
        os.close(ours)
        os.close(theirs)


def place(files: ModelFiles, folder: Path) -> Path:
    """The file that the proof of a model is remembered in, among all in a folder."""
    return folder / f"{_key(files)}.json"


def remember(proof: Proof, path: Path) -> None:
    """Keep a proof for the next time; a folder that can't be written to is no reason not to serve."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(asdict(proof)))
        fresh.replace(path)
    except OSError as error:
        log.warning("how this model may be asked can't be remembered, and is found out again next time: %s", error)


def _key(files: ModelFiles) -> str:
    versions = [f"{name} {_version(name)}" for name in _LIBRARIES]
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        own.update(path.read_bytes())
    said = "\n".join([files.digest, str(FORMAT), sys.version, own.hexdigest(), *versions])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def same(one: Output, other: Output, *, batched: bool = False) -> str:
    """What is different about two predictions; empty: nothing.

    Args:
        one: The first.
        other: The second.
        batched: Floating-point numbers may be apart by `BATCH_TOLERANCES` besides by `ULPS` units in the last place.
    """
    if (one.form, list(one.arrays)) != (other.form, list(other.arrays)):
        return f"{one.form} of {list(one.arrays)} instead of {other.form} of {list(other.arrays)}"
    if one.form == "other":
        return "" if repr(one.plain) == repr(other.plain) else "another answer"
    for name, array in one.arrays.items():
        if difference := _difference(array, other.arrays[name], batched):
            return f"{name}: {difference}"
    return ""


def _difference(one: Array, other: Array, batched: bool) -> str:
    if one.dtype != other.dtype or one.shape != other.shape:
        return f"{one.dtype}{list(one.shape)} instead of {other.dtype}{list(other.shape)}"
    if one.dtype.kind == "f":
        apart = np.abs(one - other)
        with np.errstate(invalid="ignore"):
            allowed = ULPS * np.spacing(np.maximum(np.abs(one), np.abs(other)))
            if batched:
                finite = np.abs(other[np.isfinite(other)])
                allowed = allowed + BATCH_TOLERANCES[other.dtype.name] * finite.max(initial=0)
            close = (one == other) | (np.isnan(one) & np.isnan(other)) | (apart <= allowed)
        return (
            "" if close.all() else f"{int((~close).sum())} of {close.size} numbers differ, by up to {apart.max():.3g}"
        )
    if one.dtype.kind == "O":
        return "" if all(_equal(a, b) for a, b in zip(one.ravel(), other.ravel(), strict=True)) else "values differ"
    equal = (one == other) | (np.isnat(one) & np.isnat(other)) if one.dtype.kind in "mM" else one == other
    return "" if bool(equal.all()) else "values differ"


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124 (NaN)


def answer(ask: Callable[[], Output]) -> Output | str:
    """An answer, or the name of the exception there is instead."""
    try:
        return ask()
    except Exception as error:
        return type(error).__name__


def compared(one: Output | str, other: Output | str) -> str:
    """What is different about two answers, each of which may be an exception's name; empty: nothing."""
    if isinstance(one, str) or isinstance(other, str):
        return "" if isinstance(one, str) and isinstance(other, str) else f"{_short(one)} instead of {_short(other)}"
    return same(one, other)


def _short(one: Output | str) -> str:
    return one if isinstance(one, str) else "an answer"


def main(arguments: Sequence[str]) -> int:
    """Try a model and print the proof as JSON; returns an exit code."""
    from modelyard.serving.server.loading.trial import trial

    folder, parent, allow_pickle = Path(arguments[0]), int(arguments[1]), "--allow-pickle" in arguments[2:]
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        print(json.dumps(asdict(trial(model_files(folder), allow_pickle=allow_pickle))))
    except ModelRefused as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _end_with(parent: int) -> None:
    """End this process when the other end of a pipe is closed: whatever the model is doing, nobody waits for it."""
    os.read(parent, 1)
    os._exit(1)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # threads of numerical libraries may take their time
