"""What the Pulumi program does: read the settings, build the yard, export where everything is."""

import json
import os
from pathlib import Path
from typing import Any

import pulumi

from modelyard_infra.settings import StackSettings
from modelyard_infra.yard import Yard


def run() -> None:
    """Build the platform of the stack that Pulumi runs.

    Raises:
        ModelyardError: the stack's configuration is wrong; nothing has been registered then.
    """
    stack = pulumi.get_stack()
    file = Path(pulumi.runtime.get_root_directory()) / "stacks" / f"Pulumi.{stack}.yaml"
    config = whole_config(os.environ.get("PULUMI_CONFIG", "{}"))
    Yard(StackSettings.read(stack, config, file, pulumi.get_project())).export_outputs()


def whole_config(document: str) -> dict[str, Any]:
    """Every key of the stack's configuration, unlike `pulumi.Config`, which knows only what is asked for.

    Args:
        document: What the engine puts into PULUMI_CONFIG: a JSON object whose values are strings; numbers,
            booleans and mappings in them are JSON again.
    """
    return {key: _decoded(value) for key, value in json.loads(document).items()}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
