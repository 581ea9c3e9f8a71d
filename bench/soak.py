"""Ask a model server a million times and watch its memory: `python bench/soak.py [--requests 1000000]`."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import wrk
from bench.models import cancer, v2
from bench.servers import INFER, ours


def main() -> None:
    """Print the memory after each tenth of the requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        model, frame = cancer(place / "numbers")
        log = json.dumps({"store": {"destination": f"{place}/store"}, "spool": f"{place}/spool", "sample": 0.01})
        with ours(model, place / "proofs", "--payload-log", log) as (url, started):
            process, asked = psutil.Process(started.pid), 0
            while asked < given.requests:
                load = wrk.run(url + INFER, v2(frame.iloc[:1]), connections=16, seconds=20)
                asked += round(load.requests_per_second * 20)
                held = process.memory_info().rss / 2**20
                print(f"{asked:>9,} requests, {held:.1f} MiB resident, {process.num_fds()} files open", flush=True)


if __name__ == "__main__":
    main()
