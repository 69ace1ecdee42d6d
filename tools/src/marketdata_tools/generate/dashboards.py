"""charts/market-data/dashboards: each dashboard as the JSON that Grafana's sidecar loads."""

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from marketdata_tools.dashboards.api import api
from marketdata_tools.dashboards.operator import operator
from marketdata_tools.dashboards.overview import overview
from marketdata_tools.dashboards.pipeline import pipeline

MADE = {"overview": overview, "pipeline": pipeline, "api": api, "operator": operator}


def text(name: str) -> str:
    """Return the dashboard's text, the same each time: keys sorted, one to a line."""
    return JSONEncoder(sort_keys=True, indent=1).encode(MADE[name]()) + "\n"
