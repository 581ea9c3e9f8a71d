"""Train, deploy, and check that the serving cluster answers what the model says, to 1e-9 relative."""

import argparse
import os
import ssl
import subprocess
import sys

import httpx
import numpy as np

from modelyard import descriptor, environment

TOLERANCE = 1e-9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default=None)
    stack = parser.parse_args().stack
    platform = descriptor.find(stack)
    for name, value in environment.variables(platform).items():
        os.environ[name] = value if isinstance(value, str) else value.read()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

    import mlflow
    import train

    model, version = train.train()
    mlflow.MlflowClient().set_registered_model_alias(train.NAME, "champion", version)
    print(f"registered {train.NAME} version {version} as its champion")
    subprocess.run(
        [sys.executable, "-c", "from modelyard.cli import main; main()", "deploy", f"{train.NAME}@champion"], check=True
    )

    july = train.rows(("July",))
    features = july[train.NUMBERS + train.WORDS]
    here = model.predict(features)
    served = predictions(platform.serving_cluster.url, train.NAME, features)
    for where, values in (("here", here), ("served", served)):
        errors = values - july[train.TARGET].to_numpy()
        print(f"{where:>8}: July MAE {np.abs(errors).mean():.6f}  RMSE {np.sqrt((errors**2).mean()):.6f}")
    if served.shape != here.shape or not np.isfinite(served).all():
        print(
            f"error: {served.shape} values were served for {here.shape} rows, or some are no numbers", file=sys.stderr
        )
        return 1
    worst = float(np.max(np.abs(served - here) / np.maximum(np.abs(here), 1e-300)))
    print(f"largest relative difference over {len(here)} rows: {worst:.1e}")
    if worst > TOLERANCE:
        print(f"error: what is served differs from the model by more than {TOLERANCE:g}", file=sys.stderr)
        return 1
    return 0


def predictions(url: str, name: str, features) -> np.ndarray:
    """Ask the serving cluster for all rows at once."""
    body = {"dataframe_split": features.to_dict(orient="split", index=False)}
    key = {"x-api-key": os.environ["MODELYARD_SERVING_KEY"]} if "MODELYARD_SERVING_KEY" in os.environ else {}
    trust = ssl.create_default_context()  # httpx's own doesn't know what the machine or SSL_CERT_FILE trusts
    asked = f"{url}/models/{name}/invocations"
    answer = httpx.post(asked, json=body, headers=key, timeout=60, trust_env=False, verify=trust)
    answer.raise_for_status()
    return np.asarray(answer.json()["predictions"], dtype=float)


if __name__ == "__main__":
    sys.exit(main())
