"""Runs in a pod: logs runs one after the other for a time, and says which were acknowledged.

Its arguments: how many seconds, and the tracking server's address. Prints `began` once the server has answered: a new
pod is let through NetworkPolicies a moment after it was started, and only then does it count. Prints a JSON document at
the end: names of the runs that the server acknowledged, and what else it answered.
"""

import base64
import http.client
import json
import sys
import time
from pathlib import Path


def main() -> None:
    seconds, host = float(sys.argv[1]), sys.argv[2]
    password = Path("/run/secrets/admin/password").read_text().strip()
    login = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()
    began = wait_for(host)
    acknowledged: list[str] = []
    failed: dict[str, int] = {}
    end = began + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        body = {"experiment_id": "0", "run_name": f"run-{number}", "start_time": 1}
        try:
            answer = ask(host, login, "/api/2.0/mlflow/runs/create", body)
            acknowledged.append(answer["run"]["info"]["run_id"])
        except (OSError, http.client.HTTPException, ValueError) as error:
            failed[f"{type(error).__name__}: {error}"[:200]] = (
                failed.get(f"{type(error).__name__}: {error}"[:200], 0) + 1
            )
            time.sleep(0.2)
        time.sleep(0.02)
    print(json.dumps({"acknowledged": acknowledged, "failed": failed}))


def wait_for(host: str, patience: float = 60) -> float:
    """Ask until there is any answer at all; returns when that was, in seconds of the monotonic clock."""
    end = time.monotonic() + patience
    while True:
        connection = http.client.HTTPConnection(host, timeout=5)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
            print("began", flush=True)
            return time.monotonic()
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
