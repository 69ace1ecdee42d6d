"""`python -m marketdata_tools.generate`: write what is generated; `--check`: fail where it differs.

One fact stands in one place: a setting in its group, a metric in the catalogue, a route in its
router, a field in the message. Everything here is a rendering of those.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from marketdata_operator import crd
from marketdata_tools.generate import chart, dashboards, metrics, pollingjob, schemas, settings

ROOT = Path(__file__).parents[4]

DOCUMENTS: dict[str, Callable[[], str]] = {
    "docs/reference/settings.md": settings.page,
    "docs/reference/metrics.md": metrics.page,
    "docs/reference/openapi.json": schemas.openapi,
    "docs/reference/pollingjob.md": pollingjob.page,
    "charts/market-data/README.md": chart.readme,
    "charts/market-data/files/pollingjobs.yaml": crd.render,
    "charts/market-data/values.schema.json": chart.schema,
    "libs/marketdata/src/marketdata/messages/price_event.v1.json": schemas.price_event,
    **{
        f"charts/market-data/dashboards/{name}.json": partial(dashboards.text, name)
        for name in dashboards.MADE
    },
}


def main() -> int:
    """Return 0, or 1 with the names of the files that differ."""
    parser = argparse.ArgumentParser(prog="python -m marketdata_tools.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file differs")
    is_check = parser.parse_args().check
    different: list[str] = []
    for name, render in DOCUMENTS.items():
        path = ROOT / name
        text = render()
        if path.exists() and path.read_text() == text:
            continue
        different.append(name)
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if different and is_check:
        sys.stderr.write(f"not what the code says: {', '.join(different)}; run `make generate`\n")
        return 1
    for name in different:
        sys.stdout.write(f"wrote {name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
