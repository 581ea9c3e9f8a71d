"""Gets a model's files into a pod before its server starts.

    python -m modelyard.serving.kubernetes.fetch SETTINGS.json

Which model is in the variable MODELYARD_FETCH, as JSON. Ends with 0 when all files are there, with REFUSED when another
try would be of no use, and with 1 when the tracking server couldn't be asked for too long.
"""

import json
import os
import sys
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat

from modelyard.errors import AnswerIsNo, ModelyardError
from modelyard.processes.files import write_private
from modelyard.registry.mlflow import MlflowRegistry
from modelyard.registry.versions import ModelVersion
from modelyard.serving.kubernetes.settings import REFUSED
from modelyard.serving.model_store import digests
from modelyard.serving.settings import TrackingSettings

VARIABLE = "MODELYARD_FETCH"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0


class FetchSettings(BaseModel):
    """Where models are fetched from.

    Attributes:
        tracking: The tracking server, and who may read there.
        patience_seconds: How long to try while it doesn't answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tracking: TrackingSettings
    patience_seconds: PositiveFloat = 300


class Wanted(BaseModel):
    """A model, and where its files go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    source: str
    folder: Path
    manifest: Path


def fetch(settings: FetchSettings, wanted: Wanted) -> None:
    """Have all files there, and their digests beside them.

    Raises:
        AnswerIsNo: there are no such files, or they aren't to be had.
        ModelyardError: the tracking server didn't answer for too long.
    """
    model = ModelVersion(wanted.name, wanted.version, wanted.source)
    end, pause = time.monotonic() + settings.patience_seconds, FIRST_PAUSE
    while True:
        try:
            _download(settings.tracking, model, wanted)
            return
        except AnswerIsNo:
            raise
        except ModelyardError as error:
            if time.monotonic() + pause > end:
                raise
            print(f"trying again in {pause:g} s: {error}", flush=True)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _download(tracking: TrackingSettings, model: ModelVersion, wanted: Wanted) -> None:
    if wanted.manifest.exists() and json.loads(wanted.manifest.read_text()) == digests(wanted.folder):
        return  # the pod's container was started anew, its volume is as it was
    with MlflowRegistry.connect(tracking.url, tracking.username, tracking.password_file) as registry:
        registry.download(model, wanted.folder)
    write_private(wanted.manifest, json.dumps(digests(wanted.folder), indent=1))


def main(arguments: list[str]) -> int:
    """Get the model that the environment names; returns the exit code."""
    (file,) = arguments
    settings = FetchSettings.model_validate_json(Path(file).read_bytes())
    wanted = Wanted.model_validate_json(os.environ[VARIABLE])
    try:
        fetch(settings, wanted)
    except ModelyardError as error:
        print(error, file=sys.stderr, flush=True)
        return REFUSED if isinstance(error, AnswerIsNo) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
