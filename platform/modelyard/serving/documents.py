"""What Envoy's documents have in common."""

import hashlib
import json
from typing import Any

from modelyard.serving.settings import RouterSettings

type_url = "type.googleapis.com/envoy.{}".format
Document = dict[str, Any]


def watched(settings: RouterSettings, file: str) -> Document:
    """A configuration source: a file that is replaced by renaming."""
    return {"path_config_source": {"path": str(settings.folder / file)}, "resource_api_version": "V3"}


def discovery(kind: str, resources: list[Document]) -> Document:
    """What Envoy reads from one file; its version is a digest of its content."""
    version = hashlib.sha256(json.dumps(resources).encode()).hexdigest()[:16]
    return {"version_info": version, "resources": [{"@type": type_url(kind)} | resource for resource in resources]}
