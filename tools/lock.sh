#!/bin/sh
# Writes requirements.lock anew from pyproject.toml: every package, for every supported Python, with hashes and without
# the address of any index, so that teams behind a mirror need not change it. Arguments go to uv (`--upgrade`).
# Then images/*/requirements.lock: what each image needs of it, at the same versions, for the images' Python on Linux.
set -eu
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/uv pip compile --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate \
        --quiet "$@"
}

image() {
    name=$1
    shift
    compile --constraints requirements.lock --python-platform linux -o "images/$name/requirements.lock" "$@"
}

compile pyproject.toml --all-extras --group dev --universal -o requirements.lock "$@"
image tracking-server pyproject.toml images/tracking-server/requirements.in --extra tracking
image model-server pyproject.toml images/model-server/requirements.in --extra serve --extra boosters --extra onnx
image agent pyproject.toml --extra agent
image postgresql images/postgresql/requirements.in
