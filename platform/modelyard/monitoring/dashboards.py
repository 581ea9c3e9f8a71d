"""Grafana's dashboards, one per part, made with Grafana's own builders of these documents."""

import hashlib
from collections.abc import Mapping

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, DataSourceRef

from modelyard.monitoring.panels import PAGES, Page, Panel, Query
from modelyard.monitoring.scope import narrowed

SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
WIDTH = 24  # of a dashboard, in Grafana's own columns
NUMBER_HEIGHT, LINES_HEIGHT = 4, 8


def documents(stack: str, labels: Mapping[str, str]) -> dict[str, str]:
    """All dashboards of a platform, as JSON, by name.

    Args:
        stack: The platform's name; a Grafana may show several.
        labels: What tells its series from others' in the same Prometheus.
    """
    return {name: _document(name, page, stack, labels) for name, page in PAGES.items()}


def _document(name: str, page: Page, stack: str, labels: Mapping[str, str]) -> str:
    links = dashboard.DashboardLink("Modelyard").type(DashboardLinkType.DASHBOARDS)
    built = (
        dashboard.Dashboard(f"Modelyard {stack}: {page.title}")
        .uid(_identity(f"modelyard-{stack}-{name}"))
        .tags(["modelyard", stack])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(links.tags(["modelyard", stack]).as_dropdown(True))
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
    )
    for row in page.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            numbers = [one for one in row.panels if one.is_number]
            width = max(4, WIDTH // len(numbers)) if panel.is_number else WIDTH // 2
            built = built.with_panel(_panel(panel, width, labels))
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build())


def _identity(name: str) -> str:
    """What addresses of a dashboard have in them; Grafana takes forty characters at most."""
    return name if len(name) <= 40 else f"modelyard-{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def _panel(panel: Panel, width: int, labels: Mapping[str, str]) -> stat.Panel | timeseries.Panel:
    made: stat.Panel | timeseries.Panel
    if panel.is_number:
        made = stat.Panel().height(NUMBER_HEIGHT)
    else:
        legend = common.VizLegendOptions().show_legend(True)
        legend = legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
        made = timeseries.Panel().height(LINES_HEIGHT).fill_opacity(10).min(0).legend(legend)
        made = made.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    made = made.title(panel.title).description(panel.about).unit(panel.unit).span(width).datasource(SOURCE)
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(query, chr(ord("A") + number), panel, labels))
    return made


def _target(query: Query, reference: str, panel: Panel, labels: Mapping[str, str]) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(reference).expr(narrowed(query.expression, labels))
    target = target.legend_format(query.legend or "__auto").datasource(SOURCE)
    return target.instant() if panel.is_number else target.range()
