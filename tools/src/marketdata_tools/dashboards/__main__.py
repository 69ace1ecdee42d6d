"""`python -m marketdata_tools.dashboards overview --url http://…:9090 …`: a dashboard as a picture.

Writes the SVG of one dashboard of the chart to standard output, from what the Prometheus at `--url`
answers for the last minutes of one release.
"""

import argparse
import json
import math
import sys
from pathlib import Path

from marketdata.clock import SystemClock
from marketdata_tools.dashboards.answers import asking, lines, panels
from marketdata_tools.dashboards.svg import draw

_CHART = Path(__file__).parents[4] / "charts" / "market-data" / "dashboards"
_STEPS = 90
"""Points of a line: about as many as pixels, and a picture of some 100 kB."""


def main() -> int:
    """Write the picture; return 0."""
    parser = argparse.ArgumentParser(prog="python -m marketdata_tools.dashboards", description=__doc__)
    parser.add_argument("dashboard", choices=sorted(path.stem for path in _CHART.glob("*.json")))
    parser.add_argument("--url", required=True, help="address of Prometheus")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    given = parser.parse_args()
    end = float(int(SystemClock().now().timestamp()))
    # Whole seconds, so that the last point is of the end: a number is shown as of then.
    step = math.ceil(given.minutes * 60 / _STEPS)
    start = end - step * _STEPS
    ask = asking(given.url.rstrip("/"), start=start, end=end, step=step)
    variables = {"namespace": given.namespace, "release": given.release}
    document = json.loads((_CHART / f"{given.dashboard}.json").read_text())
    answers = {panel["title"]: lines(panel, variables, ask) for panel in panels(document)}
    sys.stdout.write(draw(document, answers, (start, end)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
