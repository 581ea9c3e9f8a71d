#!/bin/sh
# Writes requirements.lock anew, in step with the project's own; arguments go to uv (`--upgrade`).
cd "$(dirname "$0")" && exec ../../.venv/bin/uv pip compile requirements.txt --constraint ../../requirements.lock \
    --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet \
    -o requirements.lock "$@"
