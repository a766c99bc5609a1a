"""What sections may announce stands in one list with family and rule, and how often it is announced by chance in one table."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

from p4equity import section
from p4equity.section.heads import HEADS, NOTHING

READERS = {"excludes_zero", "announced", "shown_ids", "judge", "guardrail_verdict", "moved"}  # functions that say what is shown
FLAG = "claimed"  # and the property that says what is claimed
TABLE = Path(__file__).parents[1] / "recovery" / "false_alarms.csv"


def announcing(folder: Path) -> set[str]:
    """ "file.function" of every function that reads what is shown or claimed."""
    found = set()
    for path in folder.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
                flags = {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute)}
                if calls & READERS or FLAG in flags:
                    found.add(f"{path.stem}.{function.name}")
    return found


def test_every_function_that_may_announce_has_its_family_and_rule() -> None:
    listed = {head.where for head in HEADS}
    found = announcing(Path(section.__file__).parent)
    assert found <= listed, f"add to section/heads.py: {sorted(found - listed)}"
    gone = {w for w in listed - found if not (Path(section.__file__).parent / f"{w.split('.')[0]}.py").read_text("utf-8").count(
        f"def {w.split('.')[1]}(")}  # fmt: skip
    assert not gone, f"no such function: {sorted(gone)}"
    assert len(listed) == len(HEADS)


def test_what_announces_has_a_rate_and_what_has_none_says_why() -> None:
    with TABLE.open(encoding="utf-8") as file:
        families = {row["family"] for row in csv.DictReader(file)}
    for head in HEADS:
        assert head.family, head.where
        assert set(head.alarms) <= families, (head.where, set(head.alarms) - families)
        assert not (head.alarms and head.rule == NOTHING), head.where
    listed = {family for head in HEADS for family in head.alarms}
    assert all(family in listed or family.startswith("claims of ") for family in families), families - listed


def test_a_function_that_reads_intervals_is_seen(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("def head(s, row):\n    return 'moved' if excludes_zero(row) else ''\n", "utf-8")
    (tmp_path / "other.py").write_text("class A:\n    def told(self, a):\n        return a.claimed\n", "utf-8")
    (tmp_path / "plain.py").write_text("def text(s):\n    return s.announced\n", "utf-8")
    assert announcing(tmp_path) == {"new.head", "other.told"}
