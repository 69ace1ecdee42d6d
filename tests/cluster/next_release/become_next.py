"""Raise the version and the schema's revision of the code in a folder, as a release would."""

import re
import sys
from pathlib import Path


def change(path: Path, pattern: str, replacement: str) -> None:
    """Replace the one line that `pattern` finds; its absence ends the build."""
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{path}: {count} lines are {pattern}")
    path.write_text(text)


app = Path(sys.argv[1])
change(app / "marketdata" / "storage" / "schema.py", r"^REVISION = 1$", "REVISION = 2")
for metadata in app.glob("marketdata*.dist-info/METADATA"):
    change(metadata, r"^Version: \S+$", "Version: 99.0.0")
