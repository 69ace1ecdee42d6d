"""The values and the templates speak of the same keys."""

import json
import re

import jsonschema
import yaml

from marketdata_tools.generate import chart, chart_values
from support.chart import CHART, PROFILES

_READ_ELSEWHERE = {"global", "postgresql", "redis", "strimzi-kafka-operator"}


def templates() -> str:
    return "\n".join(path.read_text() for path in sorted((CHART / "templates").rglob("*")) if path.is_file())


def test_every_value_is_read_by_a_template() -> None:
    text = templates()
    unread = [
        leaf.key
        for top in chart_values.read(CHART / "values.yaml")
        if top.path[0] not in _READ_ELSEWHERE
        for leaf in top.leaves()
        if not re.search(rf"\.{leaf.path[-1]}\b", text)
    ]
    assert not unread


def test_every_value_that_a_template_reads_by_its_full_path_is_there() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in set(re.findall(r"\$?\.Values((?:\.\w+)+)", templates())):
        found = values
        for key in path.strip(".").split("."):
            assert key in found, path
            found = found[key]
            if not isinstance(found, dict):
                break


def test_the_schema_takes_every_profile_and_is_closed_throughout() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    for names in PROFILES.values():
        for name in names:
            jsonschema.validate(yaml.safe_load((CHART / name).read_text()), schema)

    def open_objects(node: dict[str, object], path: str) -> list[str]:
        found = []
        properties = node.get("properties")
        if isinstance(properties, dict):
            if node.get("additionalProperties") is not False:
                found.append(path)
            for key, child in properties.items():
                found += open_objects(child, f"{path}.{key}")
        return found

    still_open = open_objects(schema, "")
    assert {path.split(".")[1] for path in still_open} <= chart.SUBCHARTS


def test_what_is_generated_of_the_chart_is_current() -> None:
    assert (CHART / "values.schema.json").read_text() == chart.schema()
    assert (CHART / "README.md").read_text() == chart.readme()


def test_no_template_depends_on_chance_time_or_the_cluster() -> None:
    """What would make two renders differ; comments and texts may say these words."""
    actions = re.findall(r"\{\{-?(?!-? ?/\*)(.*?)\}\}", templates(), flags=re.DOTALL)
    chance = re.compile(
        r"\b(lookup|now|rand\w+|uuidv4|gen\w+Cert|genCA|genPrivateKey|derivePassword|htpasswd)\b"
    )
    assert not [each for each in actions if chance.search(re.sub(r'"[^"]*"', "", each))]
