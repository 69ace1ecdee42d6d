"""Draws a dashboard's panels as one SVG, from what Prometheus answered.

Not Grafana, and the picture says so: places, titles, units, legends and thresholds are those of
the dashboard, the rest is plain. The same answers give the same bytes.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from marketdata_tools.dashboards.answers import Line

_COLUMN, _ROW, _GAP = 50, 26, 8
_HEAD, _AXIS, _LEGEND = 26, 46, 30
_LINES = ("#3274d9", "#e0752d", "#299c46", "#a352cc", "#d44a3a", "#0fa3b1", "#8f6b29", "#6c757d")
_STEPS = {"green": "#299c46", "orange": "#e0752d", "red": "#d44a3a"}
_LETTERS = 'font-family="sans-serif" font-size="11" fill="#24292e"'
_MOST_IN_LEGEND = 4
_DAY_SECONDS = 86_400

Span = tuple[float, float]
"""The Unix times that a picture begins and ends at."""


def draw(document: Mapping[str, Any], answers: Mapping[str, Sequence[Line]], span: Span) -> str:
    """Return the SVG of `document`; `answers` are the lines of each panel, by its title."""
    panels = document["panels"]
    height = 2 * _HEAD + _ROW * max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels)
    width = 24 * _COLUMN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_LETTERS}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(
            _GAP, 18, f"{document['title']}: {_moment(span[0])} to {_moment(span[1])}", size=14, weight="bold"
        ),
        _text(
            width - _GAP, 18, "drawn from Prometheus' answers, not by Grafana", anchor="end", color="#6c757d"
        ),
    ]
    for panel in panels:
        place = panel["gridPos"]
        x, y = place["x"] * _COLUMN, _HEAD + place["y"] * _ROW
        size = (place["w"] * _COLUMN, place["h"] * _ROW)
        if panel["type"] == "row":
            parts.append(_text(x + _GAP, y + 17, panel["title"], size=13, weight="bold"))
        else:
            shown = list(answers.get(panel["title"], ()))
            inner = (
                _number(panel, shown, size, span[1])
                if panel["type"] == "stat"
                else _course(panel, shown, size, span)
            )
            parts.append(f'<g transform="translate({x} {y})">{_frame(panel["title"], size)}{inner}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _frame(title: str, size: tuple[int, int]) -> str:
    width, height = size
    return (
        f'<rect x="3" y="3" width="{width - 6}" height="{height - 6}" fill="none" stroke="#d8dde3"/>'
        + _text(_GAP + 2, 18, title, weight="bold")
    )


def _number(panel: Mapping[str, Any], lines: Sequence[Line], size: tuple[int, int], now: float) -> str:
    if not lines or lines[0].points[-1][0] < now:
        return _text(size[0] / 2, size[1] / 2 + 14, "no data", anchor="middle", color="#6c757d")
    value = lines[0].points[-1][1]
    defaults = panel["fieldConfig"]["defaults"]
    reached = [
        step["color"]
        for step in defaults["thresholds"]["steps"]
        if step["value"] is None or value >= step["value"]
    ]
    shown = written(value, defaults["unit"])
    return _text(size[0] / 2, size[1] / 2 + 20, shown, anchor="middle", size=24, color=_STEPS[reached[-1]])


def _course(panel: Mapping[str, Any], lines: Sequence[Line], size: tuple[int, int], span: Span) -> str:
    width, height = size
    left, right, top, bottom = _AXIS, width - 14, _HEAD, height - _LEGEND - 16
    if not lines:
        return _text(width / 2, height / 2, "no data", anchor="middle", color="#6c757d")
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["custom"]["stacking"]["mode"] == "normal":
        lines = _stacked(lines)
    highest = _round_up(max(value for line in lines for _, value in line.points))

    def at(moment: float, value: float) -> str:
        x = left + (right - left) * (moment - span[0]) / (span[1] - span[0])
        return f"{x:.1f},{bottom - (bottom - top) * value / highest:.1f}"

    parts = []
    for part in (0.0, 0.5, 1.0):
        y = bottom - (bottom - top) * part
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#eceff2"/>')
        parts.append(_text(left - 4, y + 4, written(highest * part, defaults["unit"]), anchor="end", size=9))
    for moment, anchor in ((span[0], "start"), (span[1], "end")):
        x = left if anchor == "start" else right
        parts.append(
            _text(x, bottom + 12, f"{datetime.fromtimestamp(moment, UTC):%H:%M}", anchor=anchor, size=9)
        )
    for step in defaults["thresholds"]["steps"][1:]:
        if 0 < step["value"] <= highest:
            first, last = at(span[0], step["value"]), at(span[1], step["value"])
            parts.append(
                f'<polyline points="{first} {last}" fill="none" stroke="{_STEPS[step["color"]]}" '
                'stroke-dasharray="4 3"/>'
            )
    for place, line in enumerate(lines):
        points = " ".join(at(*point) for point in line.points)
        color = _LINES[place % len(_LINES)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.3"/>')
    return "".join(parts) + _legend(lines, width, height)


def _legend(lines: Sequence[Line], width: int, height: int) -> str:
    parts = []
    cell = (width - 2 * _GAP) / 2
    for place, line in enumerate(lines[:_MOST_IN_LEGEND]):
        x, y = _GAP + cell * (place % 2), height - _LEGEND + 8 + 12 * (place // 2)
        parts.append(f'<rect x="{x:.0f}" y="{y - 6}" width="10" height="3" fill="{_LINES[place]}"/>')
        more = len(lines) - _MOST_IN_LEGEND if place == _MOST_IN_LEGEND - 1 else 0
        parts.append(_text(x + 14, y, line.legend + (f" and {more} more" if more > 0 else ""), size=9))
    return "".join(parts)


def _stacked(lines: Sequence[Line]) -> list[Line]:
    """Return each line on top of the ones before it; a line that says nothing at a moment adds nothing."""
    under: dict[float, float] = {}
    stacked = []
    for line in lines:
        for moment, value in line.points:
            under[moment] = under.get(moment, 0.0) + value
        stacked.append(Line(line.legend, tuple((moment, under[moment]) for moment, _ in line.points)))
    return stacked


def _round_up(value: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten, and 1 for what is not above 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def written(value: float, unit: str) -> str:
    """Return `value` as a person reads it in a Grafana unit that the dashboards use."""
    match unit:
        case "percentunit":
            return f"{value * 100:.3g} %"
        case "s" if 0 < value < 1:
            return f"{value * 1000:.3g} ms"
        case "s" if value >= _DAY_SECONDS:
            return f"{value / _DAY_SECONDS:.3g} d"
        case "s":
            return f"{value:.3g} s"
        case "cps" | "reqps":
            return f"{value:.3g}/s"
        case _:
            return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 11,
    weight: str = "",
    color: str = "",
) -> str:
    more = (f' font-weight="{weight}"' if weight else "") + (f' fill="{color}"' if color else "")
    place = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}"'
    return f"<text {place}{more}>{escape(words)}</text>"
