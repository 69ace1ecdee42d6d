"""How a panel looks: one form for each, so that a reader learns them once.

Promises: a panel has a description, a unit, and for each query a legend; a number has thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
STAT_HEIGHT = 4
_REFERENCES = "ABCDEFGH"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel and what its series are called; `{{label}}` is filled in."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Limits:
    """From which value on a number is worth a look, and from which it is wrong.

    `is_low_bad` turns both around: at or above `wrong` and `warn` it is well.
    """

    warn: float | None = None
    wrong: float | None = None
    is_low_bad: bool = False

    def steps(self) -> list[Threshold]:
        """Return Grafana's steps, each colour from its value on; the first has no value."""
        if self.is_low_bad:
            rising = [(None, "red"), (self.wrong, "orange"), (self.warn, "green")]
        else:
            rising = [(None, "green"), (self.warn, "orange"), (self.wrong, "red")]
        first, *others = rising
        return [
            Threshold(value=None, color=first[1]),
            *(Threshold(value=value, color=color) for value, color in others if value is not None),
        ]


def number(
    title: str, meaning: str, query: Query, *, unit: str, limits: Limits, width: int = 4
) -> stat.Panel:
    """Return one number: the one of now, and none where nobody says it any more."""
    return (
        stat.Panel()
        .title(title)
        .description(meaning)
        .datasource(DATASOURCE)
        .height(STAT_HEIGHT)
        .span(width)
        .unit(unit)
        .no_value("nothing said")
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(_thresholds(limits))
        .with_target(_target(query, 0).instant())
    )


def course(
    title: str,
    meaning: str,
    queries: Sequence[Query],
    *,
    unit: str,
    limits: Limits | None = None,
    width: int = 8,
    is_stacked: bool = False,
) -> timeseries.Panel:
    """Return lines over time; `limits` are drawn as lines of their own."""
    stacking = common.StackingMode.NORMAL if is_stacked else common.StackingMode.NONE
    style = common.GraphThresholdsStyleMode.DASHED if limits else common.GraphThresholdsStyleMode.OFF
    panel = (
        timeseries.Panel()
        .title(title)
        .description(meaning)
        .datasource(DATASOURCE)
        .height(HEIGHT)
        .span(width)
        .unit(unit)
        .min(0)
        .fill_opacity(25 if is_stacked else 8)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .stacking(common_builders.StackingConfig().mode(stacking))
        .thresholds(_thresholds(limits or Limits()))
        .thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(style))
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    for place, query in enumerate(queries):
        panel = panel.with_target(_target(query, place))
    return panel


def _thresholds(limits: Limits) -> builders.ThresholdsConfig:
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(limits.steps())


def _target(query: Query, place: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(_REFERENCES[place])
        .expr(query.expression)
        .legend_format(query.legend)
        .datasource(DATASOURCE)
        .range()
    )
