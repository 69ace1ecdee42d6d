import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from marketdata_tools.dashboards.answers import Line, fill, lines, panels
from marketdata_tools.dashboards.svg import draw, written
from support.dashboards import documents

SPAN = (1_800_000_000.0, 1_800_000_900.0)
CHOSEN = {"namespace": "prices", "release": "md"}


def answer(expression: str) -> list[dict[str, Any]]:
    """Return two series that every expression has, one with a value that is no number."""
    return [
        {"metric": {"provider": name}, "values": [[SPAN[0], "1"], [SPAN[0] + 450, "NaN"], [SPAN[1], "3"]]}
        for name in ("b", "a")
    ]


def picture(name: str) -> str:
    document = documents()[name]
    shown = {panel["title"]: lines(panel, CHOSEN, answer) for panel in panels(document)}
    return draw(document, shown, SPAN)


@pytest.mark.parametrize("name", sorted(documents()))
def test_every_dashboard_can_be_drawn_and_says_what_it_is(name: str) -> None:
    drawn = picture(name)
    words = [each.text for each in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert "drawn from Prometheus' answers, not by Grafana" in words
    assert {panel["title"] for panel in panels(documents()[name])} <= set(words)
    assert "no data" not in words
    assert len(drawn) < 200_000
    assert drawn == picture(name)


def test_a_panel_without_an_answer_says_so() -> None:
    drawn = draw(documents()["api"], {}, SPAN)
    assert drawn.count(">no data<") == len(list(panels(documents()["api"])))


def test_a_number_that_nobody_says_any_more_is_not_shown() -> None:
    lag = {"Lag": [Line("behind", ((SPAN[0], 3.0), (SPAN[1] - 10, 3.0)))]}
    drawn = draw(documents()["overview"], lag, SPAN)
    assert drawn == draw(documents()["overview"], {}, SPAN)


def test_lines_are_named_by_their_labels_in_one_order_and_have_only_numbers() -> None:
    panel = {"targets": [{"expr": 'up{namespace="$namespace"}', "legendFormat": "of {{provider}}"}]}
    assert lines(panel, CHOSEN, answer) == [
        Line(f"of {name}", ((SPAN[0], 1.0), (SPAN[1], 3.0))) for name in ("a", "b")
    ]


def test_a_variable_without_a_value_is_an_error() -> None:
    assert fill("rate(x[$__rate_interval])", {}) == "rate(x[1m])"
    with pytest.raises(KeyError, match="release"):
        fill('up{a="$release"}', {})


def test_what_is_stacked_is_drawn_on_top_of_what_is_under_it() -> None:
    """The upper of two equal lines ends twice as high: on the axis' greatest value, which it sets."""
    panel: dict[str, Any] = {
        "title": "t", "type": "timeseries", "gridPos": {"x": 0, "y": 0, "w": 8, "h": 8},
        "fieldConfig": {
            "defaults": {
                "unit": "short", "custom": {"stacking": {"mode": "normal"}},
                "thresholds": {"steps": [{"value": None, "color": "green"}]},
            }
        },
    }  # fmt: skip
    flat = [Line(name, ((SPAN[0], 1.0), (SPAN[1], 1.0))) for name in ("low", "high")]
    drawn = ET.fromstring(draw({"title": "d", "panels": [panel]}, {"t": flat}, SPAN))
    low, high = [
        [float(point.split(",")[1]) for point in each.attrib["points"].split()]
        for each in drawn.iter("{http://www.w3.org/2000/svg}polyline")
    ]
    floor = 8 * 26 - 30 - 16
    assert high == [26.0, 26.0]
    assert low == pytest.approx([(26 + floor) / 2] * 2)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0123, "s", "12.3 ms"), (90.0, "s", "90 s"), (172_800.0, "s", "2 d"), (0.5, "percentunit", "50 %"),
        (3.4567, "reqps", "3.46/s"), (500_000.0, "short", "500,000"), (7.0, "short", "7"),
    ],
)  # fmt: skip
def test_a_number_is_written_in_its_unit(value: float, unit: str, words: str) -> None:
    assert written(value, unit) == words


def test_a_number_has_the_colour_of_the_limit_it_has_reached() -> None:
    document = documents()["overview"]
    imbalance = {"Ledger imbalance": [Line("off by", ((SPAN[0], 0.0), (SPAN[1], 1.0)))]}
    assert json.dumps(draw(document, imbalance, SPAN)).count("#d44a3a") == 1
