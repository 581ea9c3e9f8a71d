"""Write what of this release's platform in a cluster holds data: `python -m tests.support.cluster_state_fixture`.

Once per release. What is kept decides whether a later program goes on with it or replaces it: under which type and name
it is in the state, and what was asked for.
"""

import json
from typing import Any

import modelyard
from tests.support.cluster_platform import said
from tests.support.lone_cluster_platform import a_lone_cluster_platform
from tests.support.state_fixture import FIXTURES

FILE = FIXTURES / f"cluster-data-{modelyard.__version__}.json"
HOLD_DATA = ("Namespace", "PersistentVolumeClaim", "StatefulSet", "GeneratedPassword")
Kept = dict[str, Any]


def place_of(urn: str) -> str:
    """Where a resource is in a state: its parent's type, its own, and its name. Another place is another resource."""
    _, _, types, name = urn.split("::", 3)
    return "::".join(["$".join(types.split("$")[-2:]), name])


def holds_data(urn: str) -> bool:
    kind = urn.split("::")[2].rsplit("$", maxsplit=1)[-1]
    return not kind.startswith("modelyard:") and kind.rsplit(":", 1)[-1] in HOLD_DATA


def kept(exported: str, *, stack: str) -> list[Kept]:
    """What holds data, without what belongs to one stack.

    Args:
        exported: By `pulumi stack export`.
        stack: Its name.
    """
    resources = json.loads(exported)["deployment"]["resources"]
    found = [
        {"place": place_of(one["urn"]), "inputs": {k: v for k, v in one["inputs"].items() if not k.startswith("__")}}
        for one in resources
        if holds_data(one["urn"]) and not one.get("delete")
    ]
    text = json.dumps(sorted(found, key=lambda one: str(one["place"])))
    named: list[Kept] = json.loads(text.replace(stack, "@STACK@"))
    return named


def main() -> None:
    with a_lone_cluster_platform() as platform:
        platform.up()
        found = kept(said(platform.pulumi("stack", "export")), stack=platform.stack)
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
