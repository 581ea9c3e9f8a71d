#!/bin/sh
# Writes requirements.lock anew; arguments go to uv (`--upgrade`).
cd "$(dirname "$0")" && exec ../../../.venv/bin/uv pip compile requirements.txt --universal --python-version 3.11 \
    --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet -o requirements.lock "$@"
