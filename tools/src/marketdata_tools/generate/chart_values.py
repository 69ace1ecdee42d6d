"""The chart's values, read with the comments that explain them.

A comment above a key describes it; a line `# @schema {…}` in it narrows what may stand there; a line
`# ## Title` begins a section. A key of a component that is described at another component's key of
the same path is not described again.

Promises: every leaf has a description, or this fails, naming the key.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

COMPONENTS = ("api", "poller", "consumer", "lag", "operator")
_SCHEMA = "@schema "
_SECTION = "# ## "


class Undescribed(Exception):
    """A key has no comment."""


@dataclass(frozen=True, slots=True)
class Value:
    """One key of the values: its path, default, description and what narrows it."""

    path: tuple[str, ...]
    default: Any
    description: str
    narrowing: Mapping[str, Any]
    section: str
    children: tuple["Value", ...] = field(default=())

    @property
    def key(self) -> str:
        """Return the path as `--set` takes it."""
        return ".".join(self.path)

    def leaves(self) -> Iterator["Value"]:
        """Yield this and all below it that have no keys of their own."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def read(path: Path) -> tuple[Value, ...]:
    """Return the top-level values in the file's order; raises Undescribed."""
    text = path.read_text()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError(f"{path} is not a mapping")
    reader = _Reader(text.splitlines())
    return tuple(reader.children(root, ()))


class _Reader:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._described: dict[tuple[str, ...], tuple[str, Mapping[str, Any]]] = {}
        self._section = ""

    def children(self, node: yaml.MappingNode, above: tuple[str, ...]) -> Iterator[Value]:
        for key, value in node.value:
            path = (*above, str(key.value))
            description, narrowing = self._explained(path, key.start_mark.line)
            is_open = narrowing.get("additionalProperties") not in (None, False)
            children: tuple[Value, ...] = ()
            if isinstance(value, yaml.MappingNode) and not value.flow_style and not is_open:
                children = tuple(self.children(value, path))
            if not children and not description:
                raise Undescribed(".".join(path))
            yield Value(path, _plain(value), description, narrowing, self._section, children)

    def _explained(self, path: tuple[str, ...], line: int) -> tuple[str, Mapping[str, Any]]:
        """Return the description and the narrowing of `path`, its own or those of the first component."""
        description, narrowing = self._comment(line)
        shared = ("*", *path[1:]) if path[0] in COMPONENTS else path
        if description:
            self._described.setdefault(shared, (description, narrowing))
        elif shared in self._described:
            description, known = self._described[shared]
            narrowing = {**known, **narrowing}
        return description, narrowing

    def _comment(self, line: int) -> tuple[str, dict[str, Any]]:
        """Return what the comment above `line` says."""
        said: list[str] = []
        narrowing: dict[str, Any] = {}
        above = line - 1
        while above >= 0 and (found := re.match(r"\s*# ?(.*)", self._lines[above])):
            said.insert(0, found[1])
            above -= 1
        self._enter_section(above)
        words = []
        for each in said:
            if each.startswith(_SCHEMA):
                narrowing |= json.loads(each.removeprefix(_SCHEMA))
            else:
                words.append(each)
        return " ".join(words).strip(), narrowing

    def _enter_section(self, line: int) -> None:
        """Take the section's title from the comment above the empty `line`, if there is one."""
        while line > 0 and not self._lines[line].strip():
            line -= 1
            above = line
            while above >= 0 and self._lines[above].startswith("#"):
                if self._lines[above].startswith(_SECTION):
                    self._section = self._lines[above].removeprefix(_SECTION).strip()
                    return
                above -= 1


def _plain(node: yaml.Node) -> Any:
    return yaml.safe_load(yaml.serialize(node, Dumper=yaml.SafeDumper))
