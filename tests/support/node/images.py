"""Images of one static program each, made here and pushed to the node's registry.

The format is that of https://github.com/opencontainers/image-spec, the protocol that of
https://github.com/opencontainers/distribution-spec.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def push(registry: str, name: str, files: Mapping[str, Path], entrypoint: Sequence[str], *, tag: str = "") -> str:
    """Have an image in the registry.

    Args:
        registry: `host:port`, plain HTTP.
        name: Of the image.
        files: What is in it: a path → the file to put there, executable.
        entrypoint: What it runs.
        tag: Left out, one that follows from what is in it.

    Returns:
        Its reference, by digest.
    """
    stamps = [(path, str(file), file.stat().st_size, file.stat().st_mtime_ns) for path, file in sorted(files.items())]
    tag = tag or hashlib.sha256(json.dumps([stamps, list(entrypoint)]).encode()).hexdigest()[:16]
    with httpx.Client(base_url=f"http://{registry}", timeout=30) as client:
        found = client.head(f"/v2/{name}/manifests/{tag}", headers={"Accept": MANIFEST})
        if found.status_code == 200:
            return f"{registry}/{name}@{found.headers['docker-content-digest']}"
        manifest = _uploaded(client, name, files, entrypoint)
        done = client.put(f"/v2/{name}/manifests/{tag}", content=manifest, headers={"Content-Type": MANIFEST})
        done.raise_for_status()
        return f"{registry}/{name}@{done.headers['docker-content-digest']}"


def again(reference: str) -> str:
    """The same image under another digest: its manifest says something more.

    Args:
        reference: By digest, in a registry over plain HTTP that takes pushes.

    Returns:
        The other one's.
    """
    place, _, digest = reference.partition("@")
    registry, _, name = place.partition("/")
    with httpx.Client(base_url=f"http://{registry}", timeout=30) as client:
        found = client.get(f"/v2/{name}/manifests/{digest}", headers={"Accept": f"{MANIFEST}, {DOCKER_MANIFEST}"})
        found.raise_for_status()
        manifest = found.json()
        manifest["annotations"] = {**manifest.get("annotations", {}), "dev.modelyard.test": "the same again"}
        kind = {"Content-Type": found.headers["content-type"]}
        done = client.put(f"/v2/{name}/manifests/again", content=json.dumps(manifest).encode(), headers=kind)
        done.raise_for_status()
        return f"{place}@{done.headers['docker-content-digest']}"


def _uploaded(client: httpx.Client, name: str, files: Mapping[str, Path], entrypoint: Sequence[str]) -> bytes:
    """Upload layer and configuration; returns the manifest that names them."""
    layer = _layer(files)
    compressed = gzip.compress(layer, compresslevel=1, mtime=0)
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "User": "65532", "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _upload(client, name, CONFIG, json.dumps(config).encode()),
        "layers": [_upload(client, name, LAYER, compressed)],
    }
    return json.dumps(document).encode()


def _layer(files: Mapping[str, Path]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = file.stat().st_size, 0o755
            with file.open("rb") as content:
                archive.addfile(entry, content)
    return output.getvalue()


def _upload(client: httpx.Client, name: str, media_type: str, content: bytes) -> dict[str, Any]:
    digest = _digest(content)
    if client.head(f"/v2/{name}/blobs/{digest}").status_code != 200:
        begun = client.post(f"/v2/{name}/blobs/uploads/")
        begun.raise_for_status()
        place = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
        client.put(place, content=content).raise_for_status()
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
