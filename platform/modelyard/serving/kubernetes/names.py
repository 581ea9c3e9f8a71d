"""Names of the objects that belong to a model: short enough, and different for different models."""

import hashlib
import re

LONGEST = 26  # versions, KServe and pods add to it, and labels have 63 letters at most

MODEL = "modelyard.dev/model"  # label: the short name; annotation: the whole one
VERSION = "modelyard.dev/version"


def short(model: str) -> str:
    """A model's name as Kubernetes can have it in names and labels.

    >>> short("bike-demand"), short("Bike demand!")
    ('bike-demand', 'bike-demand-0b9d4f0b')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", model.lower())[:LONGEST].strip("-")
    return plain if plain == model else f"{plain}-{hashlib.sha256(model.encode()).hexdigest()[:8]}".lstrip("-")


def of_model(model: str) -> str:
    """Its route."""
    return f"model-{short(model)}"


def of_version(model: str, version: int) -> str:
    """A version's workload, and what belongs to that."""
    return f"model-{short(model)}-v{version}"
