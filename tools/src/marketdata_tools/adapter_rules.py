"""`python -m marketdata_tools.adapter_rules`: the shipped rules in prometheus-adapter's own form.

The chart of the adapter takes them as values, the adapter itself as `externalRules`; they are kept
once, as values.
"""

import json
import sys
from pathlib import Path

import yaml

_VALUES = Path("k8s/monitoring/prometheus-adapter-values.yaml")


def main() -> int:
    """Print the configuration; run from the repository's root."""
    values = yaml.safe_load(_VALUES.read_text())
    sys.stdout.write(json.dumps({"externalRules": values["rules"]["external"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
