"""API servers that restart, and such that aren't there."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pulumi import ResourceOptions, automation
from pulumi_kubernetes import Provider
from pulumi_kubernetes.core.v1 import ConfigMap

from tests.support.api_server import free_ports


def test_an_up_goes_on_when_the_api_server_comes_back(yard, api_server):
    def program():
        waits = yard.deployment(replicas=1, annotations={"pulumi.com/timeoutSeconds": "90"})
        ConfigMap("colors", metadata=yard.named("colors"), opts=ResourceOptions(depends_on=[waits]))

    with ThreadPoolExecutor() as pool:
        run = pool.submit(yard.up, program)
        pod = yard.first_pod()
        api_server.stop()
        time.sleep(1)
        api_server.start()
        yard.run_pod(pod)
        assert run.result() == {"create": 2}


def test_an_api_server_that_is_not_there_is_named(yard, api_server, tmp_path):
    port = free_ports(1)[0]
    text = api_server.kubeconfig.read_text().replace(api_server.url, f"https://127.0.0.1:{port}")
    (tmp_path / "elsewhere").write_text(text)
    yard.kubeconfig = str(tmp_path / "elsewhere")
    with pytest.raises(
        automation.CommandError, match=rf"https://127.0.0.1:{port} \(context 'modelyard-test' of .*/else"
    ):
        yard.preview(lambda: ConfigMap("colors", metadata=yard.named("colors")))


def test_a_context_that_is_not_there_is_named_with_those_that_are(yard):
    def program():
        other = Provider("other", context="production")
        ConfigMap("colors", metadata=yard.named("colors"), opts=ResourceOptions(provider=other))

    with pytest.raises(automation.CommandError, match="no context 'production': its contexts are modelyard-test"):
        yard.preview(program)
