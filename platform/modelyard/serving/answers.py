"""What clients are told that no model server answers, in the same words wherever models are served."""

from collections.abc import Sequence
from typing import Any

Body = dict[str, Any]
MODEL_HEADER = "x-modelyard-model"
VERSION_HEADER = "x-modelyard-version"
NAMES_IN_HINT = 20
NOTHING_DEPLOYED: Body = {"error": "no model is deployed yet", "hint": "deploy one: `modelyard deploy NAME`"}
NOTHING_HERE: Body = {
    "error": "there is nothing here",
    "hint": "paths: /v2/models/NAME/infer, /models/NAME/invocations, /invocations, /v2/health/ready",
}
LIVE: Body = {"live": True}
SERVER: Body = {"name": "modelyard", "version": "2", "extensions": []}


def unknown(models: Sequence[str]) -> Body:
    """Somebody asked for a model that isn't deployed."""
    return {"error": "no such model is deployed", "hint": f"deployed models: {listed(models)}"}


def unable(model: str, reason: str) -> Body:
    """A deployed model has no replica that could answer."""
    return {
        "error": f"model {model!r} can't answer: {reason}",
        "hint": "`modelyard models` says more; try again later",
    }


def not_this_version(model: str, live: Sequence[int]) -> Body:
    """Somebody asked for a version that isn't served."""
    versions = ", ".join(map(str, live))
    return {"error": f"model {model!r} is not served in this version", "hint": f"versions served now: {versions}"}


def say_which(models: Sequence[str], how: str) -> Body:
    """Somebody named no model, and there are several."""
    return {
        "error": f"{len(models)} models are deployed: say which one",
        "hint": f"{how}; NAME is one of: {listed(models)}",
    }


def listed(names: Sequence[str]) -> str:
    """Names for a sentence; not more than a person reads."""
    more = len(names) - NAMES_IN_HINT
    return ", ".join(sorted(names)[:NAMES_IN_HINT]) + (f" and {more} more" if more > 0 else "")
