"""What all dashboards have around their panels: the variables, the links between them, the times."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableRefresh,
    VariableSort,
)

from marketdata_tools.dashboards.panels import DATASOURCE
from marketdata_tools.dashboards.promql import NAMESPACE_LABEL, RELEASE_LABEL

TAG = "market-data"
# A metric that every process has from its start on.
_ANY = "marketdata_heartbeat_age_seconds"


def framed(uid: str, title: str, meaning: str, rows: Mapping[str, Sequence[Builder[Panel]]]) -> Dashboard:
    """Return the dashboard with `rows` of panels, each under its title.

    Its uid is the same everywhere, so that links to it hold: two releases that share a Grafana
    share the dashboards and are told apart by the variables.
    """
    dashboard = (
        builders.Dashboard(f"Market data / {title}")
        .uid(f"market-data-{uid}")
        .description(meaning)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .timezone("browser")
        .refresh("30s")
        .link(
            builders.DashboardLink("Market data")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .with_variable(
            builders.DatasourceVariable("datasource")
            .label("Prometheus")
            .type("prometheus")
            .multi(multi=False)
        )
        .with_variable(_choice("namespace", "Namespace", f"label_values({_ANY}, {NAMESPACE_LABEL})"))
        .with_variable(
            _choice(
                "release",
                "Release",
                f'label_values({_ANY}{{{NAMESPACE_LABEL}="$namespace"}}, {RELEASE_LABEL})',
            )
        )
    )
    for name, panels in rows.items():
        dashboard = dashboard.with_row(builders.Row(name))
        for panel in panels:
            dashboard = dashboard.with_panel(panel)
    return dashboard.build()


def _choice(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=False)
        .include_all(include_all=False)
    )
