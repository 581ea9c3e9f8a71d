"""What there is to scrape in a cluster, from what the parts say of themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard_infra.contracts import Reachable, ScrapeTarget, SecretReference
from modelyard_infra.workloads.pods import SECRETS


def as_mapping(target: ScrapeTarget) -> dict[str, Any]:
    """A target as the configuration takes it; its password is a file of Prometheus' pod."""
    known: dict[str, Any] = {"job": target.job, "path": target.path}
    if target.pods and target.pods.each:
        known["each"] = f"_metrics._tcp.{target.pods.each}"
    else:
        known["address"] = target.address
    if target.password:
        known |= {"username": target.username, "password_file": f"{SECRETS}/{target.job}"}
    return known


def passwords(targets: Sequence[ScrapeTarget]) -> dict[str, SecretReference]:
    """The passwords that these targets ask for, each under the name of its file."""
    return {target.job: target.password for target in targets if target.password}


def parts_with_metrics(contracts: Mapping[str, Reachable]) -> list[str]:
    """The parts whose pods are asked for metrics, as their labels have it."""
    return [_label(part) for part, contract in contracts.items() if contract.scrape or contract.scrape_urls]


def parts_with_probes(contracts: Mapping[str, Reachable]) -> list[str]:
    """The parts that are asked whether they are well."""
    return [_label(part) for part, contract in contracts.items() if contract.probe]


def _label(part: str) -> str:
    return part.replace("_", "-")
