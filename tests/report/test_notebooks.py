"""The section notebooks: clean, complete, free of ids and of typed numbers; the rules behind claims and verdicts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from p4equity.dictionary import load_dictionary
from p4equity.report.hygiene import problems
from p4equity.report.parameters import declared
from p4equity.resources import notebooks_dir, studies_dir
from p4equity.section import leveling
from p4equity.section.answers import Answer
from p4equity.study import Study, load_study

NOTEBOOKS = sorted(notebooks_dir().glob("*.ipynb"))
SECTIONS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name)]
STUDIES = sorted(path.parent.name for path in studies_dir().glob("*/study.toml"))
PARTS = sorted((Path(__file__).parents[2] / "analysis" / "p4equity" / "section").glob("*.py"))
EXHIBITS = Path(__file__).parents[2] / "analysis" / "p4equity" / "exhibits"
TYPED = re.compile(
    r"\d[\d,.]*\s*(%|percent\b|points?\b|USD\b|dollars?\b|members?\b|systems?\b|states?\b|measures?\b|groups?\b|years?\b|analyses\b)|\d+\.\d+"
)


@cache
def study(name: str) -> Study:
    """A study, loaded once."""
    return load_study(name)


def node(path: Path) -> Any:
    """The notebook."""
    return nbformat.read(path, as_version=4)


def prose(path: Path) -> Iterator[str]:
    """Text a reader sees that is typed in the notebook: Markdown cells, and the literal parts of strings in code cells."""
    for cell in node(path).cells:
        if cell.cell_type == "markdown":
            yield cell.source
            continue
        yield from literals(cell.source)


def literals(source: str) -> Iterator[str]:
    """Every string in code, and the literal parts of those with values in them."""
    for part in ast.walk(ast.parse(source)):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_clean_without_outputs_and_with_one_parameters_cell(path: Path) -> None:
    assert problems(path) == []
    wanted = {"run_dir", "edition", "audience", "mask_systems"}
    assert set(declared(node(path), path.name)) == wanted | ({"system_id"} if path.stem.startswith("briefing") else set())


@pytest.mark.parametrize("name", STUDIES)
def test_every_section_of_a_study_has_one_notebook_in_the_report_s_order(name: str) -> None:
    stems = [path.stem for path in SECTIONS]
    found = [[stem for stem in stems if stem[3:] == section] for section in study(name).report.sections]
    assert all(len(names) == 1 for names in found)
    assert [names[0] for names in found] == sorted(names[0] for names in found)


def test_no_number_is_typed_in_prose() -> None:
    typed = [(path.stem, text) for path in NOTEBOOKS for text in prose(path) if TYPED.search(text)]
    assert typed == []


def test_the_search_for_typed_numbers_finds_them() -> None:
    for text in ("the gap fell by 2.4", "a 95% interval", "12 systems", "3 points", "15 USD"):
        assert TYPED.search(text)
    for text in ("the {n} systems", "[@sec:gaps]", "2019", "Table T2"):
        assert not TYPED.search(text)


def test_no_measure_system_or_group_is_named() -> None:
    ids = set(load_dictionary().measures) | {g for s in STUDIES for g in study(s).group_ids if g != "all"}
    ids |= {x.id for s in STUDIES for x in study(s).systems} | {m for s in STUDIES for m in study(s).measures}
    for path in NOTEBOOKS:
        source = "\n".join(cell.source for cell in node(path).cells)
        assert not ids & set(re.findall(r"\w+", source)), path.name


def test_every_exhibit_that_is_shown_is_made_and_every_one_made_is_shown() -> None:
    texts = [text for path in SECTIONS for text in prose(path)]
    texts += [text for path in PARTS for text in literals(path.read_text("utf-8"))]  # parts of a section that show their own
    shown = {text for text in texts if re.fullmatch(r"[FT](\d+|_[A-Z]+)", text)}
    made = {
        found.group(1)
        for path in EXHIBITS.glob("[ft]*_*.py")
        if (found := re.search(r'^ID(?:, \w+)* = "(\w+)"', path.read_text("utf-8"), re.MULTILINE))
    }
    assert shown == made


def row(estimate: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    """One row that is ok."""
    return {
        "status": "ok",
        "estimate": estimate,
        "conf_low": low,
        "conf_high": high,
        "conf_level": 0.95,
        "outcome": "gap",
        "registered": "primary",
        **more,
    }


def answer(
    gap: tuple[float, float, float], ref: tuple[float, float, float], group: tuple[float, float, float], p: float, **more: Any
) -> Answer:
    """An answer with a claim row whose adjusted p is `p`."""
    fields = {"baseline_gap": True, **more}
    return Answer("a", "m", "pooled", row(*gap), (), row(*ref), row(*group), row(gap[0], *gap[1:], p_value=p), 0.05, **fields)


UP = ((-3.0, -5.0, -1.0), (0.2, -1.0, 1.4), (3.2, 1.0, 5.4))
DOWN = ((-3.0, -5.0, -1.0), (-3.5, -5.0, -2.0), (-0.5, -2.0, 1.0))


def test_narrows_needs_a_claim_and_a_baseline_gap() -> None:
    assert answer(*UP, p=0.01).narrows
    assert not answer(*UP, p=0.2).narrows
    assert not answer(*UP, p=0.01, baseline_gap=False).narrows
    assert not answer((3.0, 1.0, 5.0), *UP[1:], p=0.01).narrows


def test_a_claim_that_is_not_estimable_is_no_claim() -> None:
    found = answer(*UP, p=0.01)
    assert found.claim is not None
    found.claim["status"] = "not_estimable"
    assert not found.claimed


def test_without_a_claim_row_every_primary_inference_must_reject() -> None:
    def value(registered: str, *p: float) -> Answer:
        rows = [row(1.0, 0.1, 1.9, p_value=x) | {"outcome": "value", "registered": registered} for x in p]
        return Answer("a", "m", "all", rows[0], tuple(rows[1:]), None, None, None, 0.05, False)

    assert value("primary", 0.01, 0.04).claimed
    assert not value("primary", 0.01, 0.06).claimed
    assert not value("secondary", 0.01, 0.04).claimed


def test_verdicts_on_who_moved() -> None:
    """Rows without a joint answer: their own intervals, widened by 2.34 / 1.96 so that three hold together."""
    s: Any = SimpleNamespace(study=SimpleNamespace(analyses=(), leveling=SimpleNamespace(margin=0.5)))
    up = (UP[0], (0.2, -0.3, 0.7), UP[2])
    down = (DOWN[0], DOWN[1], (-0.5, -1.2, 0.2))
    assert leveling.judge(s, answer(*up, p=0.01)).verdict == "leveling up"
    assert leveling.judge(s, answer(*down, p=0.01)).verdict == "leveling down"
    assert leveling.words(leveling.judge(s, answer(*down, p=0.2))) == "leveling down, if the change is more than chance"
    assert leveling.words(leveling.judge(s, answer(*DOWN, p=0.01))) == "cannot tell (leveling down or mixed)"  # 1.0 > the margin
    wide = ((-3.0, -9.0, 3.0), (-3.0, -7.0, 1.0), (0.0, -4.0, 4.0))
    assert leveling.words(leveling.judge(s, answer(*wide, p=0.5))) == "cannot tell"
    few = answer(*down, p=0.01)
    few.main.update(n_treated_clusters=2, n_clusters=9)
    assert leveling.judge(s, few).verdict == "cannot tell"


def test_a_notebook_opens_by_itself_only_on_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from p4equity.errors import UsageError
    from p4equity.section import open_section, phrases

    monkeypatch.setattr("p4equity.section.lookup.root", lambda: tmp_path)
    with pytest.raises(UsageError, match="no finished run"):
        open_section()
    assert phrases.join(["a", "", "b", "c"]) == "a, b and c"
    assert phrases.years([2019, 2021, 2022]) == "2019, 2021 and 2022"
    assert phrases.years(range(2000, 2005)) == "2000 to 2004"
    assert phrases.lower("A1c control") == "A1c control"
    info = SimpleNamespace(unit_label="state", unit_label_plural="states")
    assert phrases.units(SimpleNamespace(study=SimpleNamespace(info=info)), 5) == "five states"  # type: ignore[arg-type]
