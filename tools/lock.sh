#!/bin/sh
# Writes requirements.lock anew from pyproject.toml: every package, for every supported Python, with hashes and without
# the address of any index, so that teams behind a mirror need not change it. Arguments go to uv (`--upgrade`).
cd "$(dirname "$0")/.." && exec .venv/bin/uv pip compile pyproject.toml --all-extras --group dev --universal \
    --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet -o requirements.lock "$@"
