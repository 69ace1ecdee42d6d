"""Where a run keeps its data and logs, and what is in the way of that."""

from pathlib import Path

import pytest

from marketdata_tools.run import folder
from marketdata_tools.run.folder import CannotRun


def test_a_folder_is_made_with_all_above_it(tmp_path: Path) -> None:
    folder.make(tmp_path / "a" / "b", logs=tmp_path / "a" / "b" / "logs")

    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["logs"]


def test_a_file_in_the_place_of_the_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(
        CannotRun, match="data cannot be used: Not a directory; choose another with DATA_DIR="
    ):
        folder.make(tmp_path / "data", logs=tmp_path / "data" / "logs")


def test_a_folder_on_a_full_disk_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "free_bytes", lambda _: 20_000_000)

    with pytest.raises(CannotRun, match=r"data cannot be used: it has 20 MB free, and a run needs 128 MB; "):
        folder.make(tmp_path / "data", logs=tmp_path / "data" / "logs")


def test_the_lock_of_a_folder_that_another_user_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()

    with pytest.raises(CannotRun, match="cannot be used: Is a directory; "):
        folder.lock(tmp_path)
