import json
import re

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from marketdata_tools.dashboards import promql
from marketdata_tools.dashboards.answers import panels
from marketdata_tools.generate import dashboards
from support.dashboards import PanelQuery, documents, queries
from support.promql import selectors, strangers

DOCUMENTS = documents()
CHOSEN = {"namespace": "prices", "release": "md"}
every_dashboard = pytest.mark.parametrize("name", sorted(DOCUMENTS))
every_query = pytest.mark.parametrize(
    "query",
    queries(),
    ids=lambda query: f"{query.dashboard}-{query.panel}-{query.reference}".replace(" ", "_"),
)


def test_there_is_one_for_each_question() -> None:
    assert set(DOCUMENTS) == set(dashboards.MADE) == {"overview", "pipeline", "api", "operator"}


@every_query
def test_a_panel_asks_only_for_what_is_measured(query: PanelQuery) -> None:
    assert strangers(query.filled(CHOSEN)) == []


@every_query
def test_a_panel_asks_for_one_release(query: PanelQuery) -> None:
    for each in selectors(query.filled(CHOSEN)):
        assert each.matched >= ({"namespace", "release"} if each.name == "ALERTS" else
                                {"namespace", "app_kubernetes_io_instance"})  # fmt: skip


@every_query
def test_a_legend_names_labels_that_its_series_have(query: PanelQuery) -> None:
    assert query.legend
    kept = frozenset[str]().union(*(each.kept for each in selectors(query.filled(CHOSEN))))
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) == kept - {"le"}


def test_a_stranger_among_metrics_and_labels_is_seen() -> None:
    assert strangers("sum by (symbol) (rate(marketdata_poller_polls_total[5m]))") == [
        "marketdata_poller_polls_total.symbol"
    ]
    assert strangers('-up{node="a"} / (marketdata_poller_pols_total > 0) or vector(0)') == [
        "up.node", "marketdata_poller_pols_total",
    ]  # fmt: skip
    assert strangers('rate(marketdata_poller_symbols_total{outcome=~"failed|skiped"}[5m])') == [
        "marketdata_poller_symbols_total.outcome=skiped"
    ]


def test_a_dashboard_with_an_unknown_metric_cannot_be_made() -> None:
    with pytest.raises(promql.UnknownMetric, match="marketdata_poller_pols_total"):
        promql.rate("marketdata_poller_pols_total", "provider")


@every_dashboard
def test_grafana_s_schema_has_a_place_for_everything_in_it(name: str) -> None:
    """What the library reads and writes again is the same: nothing of it is unknown or misplaced."""
    read = Dashboard.from_json(DOCUMENTS[name])
    assert json.loads(JSONEncoder().encode(read)) == DOCUMENTS[name]


@every_dashboard
def test_a_panel_says_what_it_shows(name: str) -> None:
    for panel in panels(DOCUMENTS[name]):
        defaults = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 10, panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0] == {
            "value": None,
            "color": defaults["thresholds"]["steps"][0]["color"],
        }
        steps = [step["value"] for step in defaults["thresholds"]["steps"][1:]]
        assert steps == sorted(steps), panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@every_dashboard
def test_a_number_is_the_one_of_now(name: str) -> None:
    """Over a range the last value that there was stands, and stays green, when nobody says it any more."""
    for panel in panels(DOCUMENTS[name]):
        kinds = {(target["instant"], target["range"]) for target in panel["targets"]}
        assert kinds == {(True, False) if panel["type"] == "stat" else (False, True)}, panel["title"]


@every_query
def test_what_is_away_is_not_shown_as_none(query: PanelQuery) -> None:
    """What is absent when nobody knows it is 0 only while somebody does."""
    for known in ("marketdata_poller_stale_jobs", "marketdata_poller_breaker_state", "up"):
        if f"{known}{{" in query.expression:
            assert not query.expression.endswith("vector(0)")


@every_dashboard
def test_titles_are_told_apart_and_panels_do_not_cover_each_other(name: str) -> None:
    titles = [panel["title"] for panel in panels(DOCUMENTS[name])]
    assert len(titles) == len(set(titles))
    cells = [
        (x, y)
        for panel in DOCUMENTS[name]["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@every_dashboard
def test_the_reader_chooses_prometheus_namespace_and_release(name: str) -> None:
    variables = DOCUMENTS[name]["templating"]["list"]
    assert [(each["name"], each["type"]) for each in variables] == [
        ("datasource", "datasource"), ("namespace", "query"), ("release", "query"),
    ]  # fmt: skip
    for each in variables[1:]:
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", each["query"])
        assert asked
        assert strangers(f"count by ({asked[2]}) ({asked[1]})".replace("$namespace", "prices")) == []


@every_dashboard
def test_the_same_code_makes_the_same_text(name: str) -> None:
    assert dashboards.text(name) == dashboards.text(name)
