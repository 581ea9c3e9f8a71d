"""What a deployed model was asked and answered, and the labels that come later: from the router to the store."""

import json
import os
import re
import subprocess
import sys

import boto3
import httpx
import pytest

from tests.support.local_platform import ROOT, succeeded
from tests.support.prediction_load import v2_request
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "payloads.md").read_text()


@pytest.fixture(scope="module")
def recording(platform, bike_model):
    """The champion behind the router, on a platform that records."""
    before = platform.settings()["modelyard:serving_cluster"]
    platform.change(serving_cluster=before | {"payload_log": {"sample": 1, "redact": ["temp"], "max_seconds": 1}})
    succeeded(platform.run("up", "--stack", platform.stack))
    succeeded(platform.run("deploy", f"{bike_model.name}@champion"))
    yield bike_model
    succeeded(platform.run("undeploy", bike_model.name))
    platform.change(serving_cluster=before)
    succeeded(platform.run("up", "--stack", platform.stack))


@pytest.fixture(scope="module")
def client(platform, recording):
    with httpx.Client(base_url=platform.descriptor.serving_cluster.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def asked(platform, recording, client):
    """Request id → answers, by row; all of it is in the store."""
    answers = {}
    for index in range(3):
        answer = client.post(**invocation(recording, index, index + 1), headers={"x-request-id": f"hour-{index}"})
        answers[f"hour-{index}"] = answer.raise_for_status().json()["predictions"]
    answer = client.post(**invocation(recording, 3, 5), headers={"x-request-id": "two-hours"})
    answers["two-hours"] = answer.raise_for_status().json()["predictions"]
    body = {"id": "over-v2"} | v2_request(recording.features.iloc[5:6])
    answer = client.post(f"/v2/models/{recording.name}/infer", json=body)
    answers["over-v2"] = answer.raise_for_status().json()["outputs"][0]["data"]
    answer = client.post(**invocation(recording, 6, 7))
    answers[answer.headers["x-request-id"]] = answer.raise_for_status().json()["predictions"]
    refused = client.post(
        f"/models/{recording.name}/invocations",
        json={"inputs": {"hr": ["noon"]}},
        headers={"x-request-id": "no-prediction"},
    )
    assert refused.status_code == 400
    eventually(lambda: answers.keys() <= {one["request_id"] for one in records(platform)}, what="all is recorded")
    return answers


def invocation(model, start, end):
    rows = model.features.iloc[start:end].to_dict(orient="split")
    return {"url": f"/models/{model.name}/invocations", "json": {"dataframe_split": rows}}


def records(platform, *options):
    done = platform.run("payloads", "bike-demand", "--last", "1000", "--json", *options)
    return json.loads(done.stdout) if done.returncode == 0 else []


def keys(platform):
    """Everything in the bucket, and its older versions."""
    store = platform.descriptor.artifact_store
    s3 = boto3.resource(
        "s3",
        endpoint_url=store.endpoint_url,
        region_name=store.region,
        aws_access_key_id=store.access_key_file.read_text().strip(),
        aws_secret_access_key=store.secret_key_file.read_text().strip(),
    )
    return {one.object_key for one in s3.Bucket(store.bucket).object_versions.all()}


def test_every_answer_is_recorded_with_what_was_asked(platform, recording, asked):
    of_asked = [one for one in records(platform) if one["request_id"] in asked]
    found = {(one["request_id"], one["row"]): one["output.output-0"] for one in of_asked}
    assert found == {(name, row): value for name, values in asked.items() for row, value in enumerate(values)}
    (first,) = (one for one in of_asked if one["request_id"] == "hour-0")
    want = recording.features.iloc[0].drop("temp").to_dict()
    assert {name: first[f"input.{name}"] for name in want} == want
    assert first["model_version"] == "1"


def test_a_redacted_column_and_a_refused_request_are_not_recorded(platform, asked):
    found = records(platform)
    assert not any(name.endswith(".temp") for one in found for name in one)
    assert "no-prediction" not in {one["request_id"] for one in found}


def test_records_lie_in_the_bucket_by_model_version_and_day(platform, recording, asked):
    place = re.compile(rf"modelyard/payloads/model={recording.name}/version=1/day=\d{{4}}-\d\d-\d\d/[^/]+\.parquet")
    mine = [key for key in keys(platform) if key.startswith("modelyard/")]
    assert mine
    assert [key for key in mine if not place.fullmatch(key)] == []


def test_labels_are_joined_with_the_answers_that_they_are_about(platform, asked, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("request_id,row,label\nhour-0,0,7\nhour-2,0,30\ntwo-hours,1,4\nover-v2,0,5\nnever-asked,0,1\n")
    done = succeeded(platform.run("feedback", "bike-demand", "--labels", str(file), "--json"))
    result = json.loads(done.stdout)
    assert (result["matched"], result["unmatched_ids"]) == (4, ["never-asked"])
    found = {(one["request_id"], one["row"]): one for one in records(platform, "--labelled")}
    assert {key: one["label"] for key, one in found.items()} == {
        ("hour-0", 0): 7.0,
        ("hour-2", 0): 30.0,
        ("two-hours", 1): 4.0,
        ("over-v2", 0): 5.0,
    }
    assert {key: one["output.output-0"] for key, one in found.items()} == {
        (name, row): asked[name][row] for name, row in found
    }


def test_records_deleted_as_the_page_says_are_gone_for_good(platform, asked):
    """The last one: there is nothing left for others."""
    (block,) = re.findall(r"```python\n(import boto3.*?)```", PAGE, re.DOTALL)
    (prefix,) = re.findall(r'prefix = "(.*?)version=1/day=.*?"', block)
    assert any(key.startswith(prefix) for key in keys(platform))
    code = re.sub(r"version=1/day=[^\"]*", "", block)
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | platform.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not any(key.startswith(prefix) for key in keys(platform))
