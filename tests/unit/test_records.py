"""Records of stages: what they vouch for stays, anything else goes, and a difference is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from p4equity.records import FOLDER, UNKNOWN, Records, hashes

INPUTS: dict[str, str | None] = {"study": "s", "code": "c", "packages": "p", "extract": "e"}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """Two finished stages, and leftovers of a third."""
    for name in ("extract/member/a.parquet", "extract/member/b.parquet", "restricted/cell.parquet", "results/half.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    records = Records(tmp_path)
    records.add("simulate", INPUTS, hashes(tmp_path, ["extract"]))
    records.add("cells", INPUTS, hashes(tmp_path, ["restricted/cell.parquet"]))
    return records


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_what_is_recorded_is_read_again(records: Records, tmp_path: Path) -> None:
    again = Records(tmp_path)
    assert again.known == records.known
    assert sorted(again.known["simulate"].files) == ["extract/member/a.parquet", "extract/member/b.parquet"]
    assert again.output("cells") == records.output("cells") != records.output("simulate")
    assert again.why_not("simulate", dict(reversed(INPUTS.items()))) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"study": "other"}, "study changed"),
        ({"code": "other"}, "other code"),
        ({"packages": "other"}, "other versions of packages"),
        ({"extract": "other"}, "input changed"),
        ({"extract": "other", "code": "x"}, "other code, input changed"),
        ({"cells": "another stage", "estimate": "x"}, "cells changed, estimate changed"),
        ({"cells": "another stage", "study": "other"}, "study changed"),
        ({"extract": None}, UNKNOWN),
    ],
)
def test_a_difference_is_named(records: Records, changed: dict[str, str | None], why: str) -> None:
    assert records.why_not("cells", INPUTS | changed) == why


def test_an_unknown_input_is_never_the_same(records: Records) -> None:
    unknown: dict[str, str | None] = INPUTS | {"extract": None}
    records.add("cells", unknown, records.known["cells"].files)
    assert records.why_not("cells", unknown) == UNKNOWN


def test_files_are_judged_by_content(records: Records, tmp_path: Path) -> None:
    part = tmp_path / "extract" / "member" / "b.parquet"
    content = part.read_text()
    part.write_text(content)  # a new time
    assert records.why_not("simulate", INPUTS) is None
    part.write_text(content.replace("b", "c"))
    assert records.why_not("simulate", INPUTS) == "changed since: extract/member/b.parquet"
    part.unlink()
    (part.parent / "a.parquet").unlink()
    assert records.why_not("simulate", INPUTS) == "changed since: extract/member/a.parquet and 1 more"
    assert records.why_not("estimate", INPUTS) == "not finished before"


def test_only_what_finished_stages_wrote_stays(records: Records, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "extract", target_is_directory=True)
    records.sweep()
    kept = {"extract/member/a.parquet", "extract/member/b.parquet", "restricted/cell.parquet"}
    stages = {(FOLDER / f"{stage}.json").as_posix() for stage in records.known}
    assert files(tmp_path) == kept | stages
    assert not (tmp_path / "link").is_symlink()
    records.take_up(["cells", "estimate"], tmp_path / "no earlier run")
    assert files(tmp_path) == {"restricted/cell.parquet", (FOLDER / "cells.json").as_posix()}
    assert not (tmp_path / "extract").exists()


def test_a_finished_run_is_taken_up_where_nothing_is_on_its_way(records: Records, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    taken = Records(new)
    taken.take_up(["simulate", "cells"], tmp_path)
    assert taken.known == records.known == Records(new).known
    assert taken.why_not("simulate", INPUTS) is None
    (tmp_path / "restricted" / "cell.parquet").write_text("written by somebody else later")
    other = Records(new)
    other.take_up(["cells"], tmp_path)  # its own attempt comes first
    assert other.why_not("cells", INPUTS) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": {}}', '{"inputs": 3, "files": {}}'])
def test_what_is_no_record_vouches_for_nothing(records: Records, text: str) -> None:
    (records.folder / FOLDER / "cells.json").write_text(text)
    assert set(Records(records.folder).known) == {"simulate"}
