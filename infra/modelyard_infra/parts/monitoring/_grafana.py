"""Dashboards as ConfigMaps, which Grafana's sidecar finds by a label (as kube-prometheus-stack sets it up)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from modelyard_infra.parts import PartSettings
from modelyard_infra.workloads.objects import Objects

FOLDER = "grafana_folder"


class Dashboards(PartSettings):
    """Which ConfigMaps a Grafana takes for dashboards.

    Attributes:
        label: Name of the label that it looks for.
        value: That label's value.
        folder: The folder of Grafana that they are in, if its sidecar was told to read `grafana_folder`.
    """

    label: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$")] = "grafana_dashboard"
    value: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = "1"
    folder: str = "Modelyard"


def make(settings: Dashboards, objects: Objects, stack: str, *, series: Mapping[str, str] | None = None) -> None:
    """Make one ConfigMap per dashboard.

    Args:
        stack: The platform's name, which is in titles and in what identifies a dashboard: a Grafana may show several.
        series: Labels of its series, where they are in a Prometheus with others'.
    """
    from modelyard.monitoring import dashboards

    for name, text in dashboards.documents(stack, series or {}).items():
        objects.config_map(
            f"dashboard-{name}",
            {f"modelyard-{stack}-{name}.json": text},
            labels={settings.label: settings.value},
            annotations={FOLDER: settings.folder},
        )
