"""Runs in a pod: logs runs one after the other until it is told to stop (SIGTERM), and says which were acknowledged.

Its arguments: how many seconds at most, and the tracking server's address. Prints a line for each thing that happens:
`began` once the server has answered (a new pod is let through NetworkPolicies a moment after it was started, and only
then does it count), `acknowledged RUN` for each run that the server says it has, `failed REASON` for each other answer.
"""

import base64
import http.client
import json
import signal
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    seconds, host = float(sys.argv[1]), sys.argv[2]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    password = Path("/run/secrets/admin/password").read_text().strip()
    login = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()
    wait_for(host)
    end = time.monotonic() + seconds
    number = 0
    while not stop.is_set() and time.monotonic() < end:
        number += 1
        body = {"experiment_id": "0", "run_name": f"run-{number}", "start_time": 1}
        try:
            answer = ask(host, login, "/api/2.0/mlflow/runs/create", body)
            print("acknowledged", answer["run"]["info"]["run_id"], flush=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            print("failed", " ".join(f"{type(error).__name__}: {error}".split())[:200], flush=True)
            time.sleep(0.2)
        time.sleep(0.02)


def wait_for(host: str, patience: float = 60) -> None:
    """Ask until there is any answer at all."""
    end = time.monotonic() + patience
    while True:
        connection = http.client.HTTPConnection(host, timeout=5)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
            print("began", flush=True)
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        finally:
            connection.close()


def ask(host: str, login: str, path: str, body: dict[str, object]) -> dict[str, dict[str, dict[str, str]]]:
    """One request on a connection of its own, so that each may meet another replica."""
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        headers = {"Authorization": login, "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise ValueError(f"{response.status} {text}")
        answer: dict[str, dict[str, dict[str, str]]] = json.loads(text)
        return answer
    finally:
        connection.close()


if __name__ == "__main__":
    main()
