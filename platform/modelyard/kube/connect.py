"""`modelyard connect`: learn of a platform in a cluster that was made from another machine, as CI jobs have to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from modelyard.descriptor import Cluster, Descriptor

CONFIG_MAP, KEY = "modelyard-platform", "descriptor.json"
OF_ONE_MACHINE = ("folder", "cluster")  # fields of a descriptor that every machine has its own of


def register(app: typer.Typer) -> None:
    """Plug the command into `modelyard`."""
    app.command()(connect)


def connect(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The platform's namespace")],
    context: Annotated[str | None, typer.Option(help="Of the kubeconfig [default: its current one]")] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="[default: KUBECONFIG, ~/.kube/config, or the account of the pod this runs in]")
    ] = None,
) -> None:
    """Learn of a platform in a cluster that was made from another machine; other commands then work on it from here."""
    from modelyard.kube import kubeconfig as kubeconfigs

    platform = learn(kubeconfigs.place(kubeconfig, context, namespace))
    print(f"platform {platform.stack!r} is known here now: `modelyard status --stack {platform.stack}`")


def published(document: Mapping[str, Any]) -> str:
    """What a platform's namespace says of it, for `learn`.

    Args:
        document: The fields of a descriptor.
    """
    own = {key: value for key, value in document.items() if key not in OF_ONE_MACHINE}
    return json.dumps(own, indent=1, sort_keys=True) + "\n"


def learn(cluster: "Cluster") -> "Descriptor":
    """Write the descriptor of the platform in a namespace, as this machine reaches it; returns it.

    Raises:
        Unreachable: the cluster doesn't answer.
        ModelyardError: there is no platform, or a platform of its name is known here that is another one.
    """
    from modelyard.descriptor import FILE_NAME, as_text, find, parse, platforms
    from modelyard.errors import ModelyardError
    from modelyard.home import ensure_passable, home, platform_folder
    from modelyard.kube import remote
    from modelyard.processes.files import write_private

    found = remote.config_map(cluster, CONFIG_MAP)
    if found is None:
        raise ModelyardError(
            f"the namespace {cluster.namespace} of context {cluster.context!r} has no platform: no ConfigMap "
            f"{CONFIG_MAP} is there",
            fix="`kubectl get namespaces -l app.kubernetes.io/part-of=modelyard` lists those of platforms; one that an "
            "older Modelyard made has it after the next `up`",
        )
    document = json.loads(found["data"][KEY])
    folder = platform_folder(document["stack"])
    own = {"folder": folder, "cluster": cluster.model_dump()}
    platform = parse(
        json.dumps(document | own, default=str), f"the ConfigMap {CONFIG_MAP}", fix="update this Modelyard"
    )
    if platform.stack in platforms() and not _is_same(find(platform.stack).cluster, cluster):
        raise ModelyardError(
            f"another platform {platform.stack!r} is known here already: {folder / FILE_NAME}",
            fix="set MODELYARD_HOME to another folder to work on both",
        )
    ensure_passable(home())
    write_private(folder / FILE_NAME, as_text(platform))
    return platform


def _is_same(known: "Cluster | None", found: "Cluster") -> bool:
    return known is not None and (known.context, known.namespace) == (found.context, found.namespace)
