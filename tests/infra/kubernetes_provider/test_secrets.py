"""What is secret stays so: state has it encrypted only."""

import base64

from pulumi import Output, export
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, Secret

SECRET = "sesame-open-up"
ENCODED = base64.b64encode(SECRET.encode()).decode()


def test_a_secret_is_in_the_cluster_and_not_in_state(yard):
    def program():
        made = Secret("login", metadata=yard.named("login"), string_data={"password": SECRET})
        export("again", made.data["password"])

    assert yard.up(program) == {"create": 1}
    assert yard.get("secrets/login")["data"]["password"] == ENCODED
    assert yard.refresh() == {"same": 1}
    assert SECRET not in yard.state() + "".join(yard.said)
    assert ENCODED not in yard.state() + "".join(yard.said)


def test_a_secret_text_is_secret_wherever_it_goes(yard):
    def program():
        labels = {"app": "app"}
        variables = [{"name": "URL", "value": Output.secret(f"db://{SECRET}@host")}]
        containers = [{"name": "side", "image": "none"}, {"name": "main", "image": "none", "env": variables}]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        spec = {"replicas": 0, "selector": {"match_labels": labels}, "template": template}
        Deployment("app", metadata=yard.named("app"), spec=spec)
        ConfigMap("page", metadata=yard.named("page"), data={"key": Output.secret(SECRET)})

    assert yard.up(program) == {"create": 2}
    assert yard.refresh() == {"same": 2}
    assert SECRET not in yard.state() + "".join(yard.said)
    assert yard.get("configmaps/page")["data"] == {"key": SECRET}
