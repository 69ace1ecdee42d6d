"""docs/reference/pollingjob.md: every field of a PollingJob, from its CustomResourceDefinition."""

from collections.abc import Iterator
from typing import Any

from marketdata_operator import crd
from marketdata_operator.resource import API_VERSION, KIND, POLL_NOW, SHORT_NAME

_HEAD = f"""# PollingJob

Made by `make generate` from the CustomResourceDefinition; not to be edited.
`kubectl explain pollingjob.spec` shows the same texts.

`{API_VERSION}`, kind `{KIND}`, short name `{SHORT_NAME}`, in a namespace.

```yaml
apiVersion: {API_VERSION}
kind: {KIND}
metadata:
  name: watchlist
spec:
  symbols: [AAPL, MSFT, ^GSPC]
  interval: 30s
```

The annotation `{POLL_NOW}` asks for one poll beside the schedule, each time its value changes:

<!-- needs: a cluster with the service -->
```sh
kubectl annotate --overwrite {SHORT_NAME} watchlist {POLL_NOW}="$(date)"
```

A ResourceQuota limits how many a namespace may hold: `count/pollingjobs.marketdata.dev: "50"`.
"""

_CONDITIONS = """
## Conditions

| Type | True | False | Unknown |
|---|---|---|---|
| `Accepted` | `Valid` | `UnknownProvider`, `TooManySymbols`, `IntervalTooShort`, `InvalidSpec` | |
| `Scheduled` | `Registered`, `PreviousSpec` (the last accepted spec is polled still) | `Suspended`, `NotAccepted` | `Pending`, `StoreUnavailable` |
| `Fresh` | `Polling`, `PartlyFresh`, `MarketClosed` | `ProviderThrottled`, `ProviderError`, `ProviderUnavailable`, `NoSuchSymbols`, `PollsDelayed`, `PricesDelayed` | `NeverPolled`, `Suspended`, `NotAccepted`, `Pending`, `StoreUnavailable` |
| `Ready` | as `Fresh`, and `Retrying` (failing, but not for failureThreshold polls yet) | the reason of what is in the way, or `Suspended` | as `Fresh` |
"""  # noqa: E501 - a table's row is one line
_TABLE = "| Field | Type | Rules | Meaning |\n|---|---|---|---|\n"

_TABLE = "| Field | Type | Rules | Meaning |\n|---|---|---|---|\n"


def page() -> str:
    """Return the page."""
    version = crd.definition()["spec"]["versions"][0]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    parts = [_HEAD]
    for section in ("spec", "status"):
        node = properties[section]
        parts.append(f"\n## {section}\n\n{node['description']}\n\n{_TABLE}")
        parts.extend(_rows(node, section))
    parts.append(_CONDITIONS)
    parts.append("\n## Columns of `kubectl get pj`\n\n| Column | Meaning | Shown |\n|---|---|---|\n")
    for column in version["additionalPrinterColumns"]:
        shown = "with `-o wide`" if column.get("priority") else "always"
        parts.append(f"| {column['name']} | {column['description']} | {shown} |\n")
    return "".join(parts)


def _rows(node: dict[str, Any], path: str) -> Iterator[str]:
    required = set(node.get("required", ()))
    for name, child in node["properties"].items():
        here = f"{path}.{name}"
        rules = ", ".join([*(["required"] if name in required else []), *_rules(child)])
        yield f"| `{here}` | {_type(child)} | {_cell(rules)} | {_cell(child.get('description', ''))} |\n"
        inner = child.get("items", child)
        if "properties" in inner:
            yield from _rows(inner, f"{here}[]" if "items" in child else here)


def _type(node: dict[str, Any]) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}s"
    return str(node.get("format") if node.get("format") == "date-time" else node["type"])


def _rules(node: dict[str, Any]) -> Iterator[str]:
    for key, words in (
        ("minimum", "≥ {}"),
        ("maximum", "≤ {}"),
        ("minItems", "at least {}"),
        ("maxItems", "at most {}"),
        ("maxLength", "at most {} characters"),
    ):
        if key in node:
            yield words.format(node[key])
    if "enum" in node:
        yield "one of " + ", ".join(f"`{value}`" for value in node["enum"])
    if "default" in node:
        value = node["default"]
        yield f"default `{str(value).lower() if isinstance(value, bool) else value}`"
    inner = node.get("items", {})
    if "maxLength" in inner:
        yield f"each at most {inner['maxLength']} characters"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
