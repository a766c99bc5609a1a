"""One place to touch, and a test that fails when the companion piece is forgotten."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from p4equity import errors, exhibits
from p4equity.cli.app import app
from p4equity.dictionary import load_dictionary
from p4equity.estimators import ESTIMATORS
from p4equity.evaluation.tasks import OWN, own_question
from p4equity.report.hygiene import problems
from p4equity.resources import notebooks_dir, studies_dir
from p4equity.study import load_study
from p4equity.study.names import ESTIMATOR_NAMES, INFERENCE_NAMES, estimator_name, inference_name
from p4equity.study.vocabulary import ESTIMATORS as REGISTERABLE
from p4equity.study.vocabulary import GATES, INFERENCES, INFERENCES_OF, OWN_QUESTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Module

DESCRIBED_ONLY = {"protocol": "the plan of a study is study.toml; the table describes it for exchange with registries"}
NUMBERED = re.compile(r"(\d\d)_([a-z_]+)\.ipynb")
EXHIBIT_ID = re.compile(r"[FT](\d+|_[A-Z0-9]+)")


def studies() -> list[str]:
    return sorted(p.name for p in studies_dir().iterdir() if (p / "study.toml").is_file())


def verbs() -> set[str]:
    return {c.name or (c.callback.__name__ if c.callback else "") for c in app.registered_commands}


# Estimators


def test_every_estimator_has_a_reference_folder_with_provenance(top: Path) -> None:
    for name in ESTIMATORS:
        folder = top / "tests" / "reference" / name
        assert (folder / "PROVENANCE.toml").is_file(), name
        assert list(folder.glob("test_*.py")), name


def test_the_readme_of_reference_values_has_a_line_for_every_folder(top: Path) -> None:
    folder = top / "tests" / "reference"
    named = re.findall(r"^\| `(\w+)` \|", (folder / "README.md").read_text("utf-8"), flags=re.M)
    assert sorted(named) == sorted(p.parent.name for p in folder.glob("*/PROVENANCE.toml"))


def test_every_estimator_can_be_registered_and_every_registered_one_exists(modules: list[Module]) -> None:
    assert set(ESTIMATORS) == set(REGISTERABLE) - set(OWN_QUESTIONS)
    files = {m.name for m in modules}
    assert all(f"estimators/{name}.py" in files for name in ESTIMATORS)


def test_every_question_of_this_field_has_its_file() -> None:
    assert set(OWN) == set(OWN_QUESTIONS)
    for name in OWN_QUESTIONS:
        file = own_question(name)
        assert callable(file.numbers_of_rows), name
        assert callable(file.rows), name


def test_a_plan_may_register_every_inference_of_an_estimator() -> None:
    own = {name: set(import_module(f"p4equity.estimators.{name}").INFERENCES) for name in ESTIMATORS}
    registrable = {name: set(words) for name, words in INFERENCES_OF.items() if name not in OWN_QUESTIONS}
    assert own == registrable


def test_every_file_with_an_estimate_function_is_an_estimator(modules: list[Module]) -> None:
    have = {
        m.path.stem for m in modules if m.room == "estimators"
        for node in m.tree.body if isinstance(node, ast.FunctionDef) and node.name == "estimate"
    }  # fmt: skip
    assert have == set(ESTIMATORS)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimators_docstring_gives_estimand_source_and_reference(name: str) -> None:
    module = import_module(f"p4equity.estimators.{name}")
    text = module.estimate.__doc__
    assert isinstance(module.OPTIONS, tuple)
    assert re.match(r"(Average|Effect|Mean|Difference|Change)", text), text.splitlines()[0]
    assert "Assumption" in text
    assert "Source:" in text
    assert "tests/reference" in text or "Reference case" in text


def test_every_registrable_inference_and_estimator_has_names_of_its_own() -> None:
    assert sorted(set(INFERENCES) - set(INFERENCE_NAMES)) == []
    assert sorted(set(REGISTERABLE) ^ set(ESTIMATOR_NAMES)) == []
    for names in (INFERENCE_NAMES, ESTIMATOR_NAMES):
        for style in next(iter(names.values())).__dataclass_fields__:
            used = [getattr(n, style) for n in names.values() if style != "cited"]
            assert len(set(used)) == len(used), f"two are called the same ({style})"
            assert all(used), style
    assert {inference_name(m).short for m in INFERENCES}.isdisjoint(m for m in INFERENCES if "_" in m), "an id is no name"
    assert (inference_name("cr9").prose, estimator_name("my_own").head) == ("cr9", "My own")


def test_the_report_cites_only_references_that_exist(top: Path) -> None:
    known = {r["id"] for r in json.loads((top / "reports" / "theme" / "references.json").read_text("utf-8"))}
    cited = {key for n in INFERENCE_NAMES.values() for key in re.findall(r"@(\w+)", n.cited)}
    assert cited
    assert sorted(cited - known) == []


def test_names_of_inferences_stand_in_one_place(modules: list[Module]) -> None:
    """No other module maps their ids to words; sentences on them, which are longer than names, may stand elsewhere."""
    words = {*INFERENCES, *REGISTERABLE} - {"none"}
    elsewhere = []
    for m in modules:
        for node in ast.walk(m.tree):
            if m.name in ("study/names.py", "evaluation/tasks.py") or not isinstance(node, ast.Dict):  # words, and names of files
                continue
            pairs = [(ast.unparse(k), ast.unparse(v)) for k, v in zip(node.keys, node.values, strict=True) if k]
            if sum(k.strip("'") in words and v.startswith("'") and len(v) < 50 for k, v in pairs) > 3:
                elsewhere.append(f"{m.name}:{node.lineno}")
    assert elsewhere == []


# Sections, notebooks, exhibits


def numbered() -> dict[str, Path]:
    found = {match[2]: p for p in notebooks_dir().glob("*.ipynb") if (match := NUMBERED.fullmatch(p.name))}
    assert found
    return found


def test_every_section_of_a_study_has_one_notebook_and_every_notebook_a_study() -> None:
    named = {section for study in studies() for section in load_study(study).report.sections}
    assert sorted(named - set(numbered())) == [], "sections without a notebook"
    assert sorted(set(numbered()) - named) == [], "notebooks that no study shows"
    assert len(numbered()) == len(list(notebooks_dir().glob("[0-9]*.ipynb")))


@pytest.mark.parametrize("study", studies())
def test_sections_stand_in_the_order_of_their_numbers(study: str) -> None:
    order = [numbered()[section].name for section in load_study(study).report.sections]
    assert order == sorted(order)


def test_notebooks_are_committed_clean() -> None:
    found = {p.name: problems(p) for p in sorted(notebooks_dir().glob("*.ipynb"))}
    assert {name: what for name, what in found.items() if what} == {}


def exhibit_ids() -> dict[str, str]:
    """Exhibit id -> its module."""
    return {import_module(f"p4equity.exhibits.{name}").ID: name for name in exhibits.modules()}


def named_exhibits(modules: list[Module]) -> set[str]:
    """Exhibit ids that notebooks, or the section modules they import, name as strings."""
    sources = [m.text for m in modules if m.room == "section"]
    for path in notebooks_dir().glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources += ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    strings = {n.value for s in sources for n in ast.walk(ast.parse(s)) if isinstance(n, ast.Constant)}
    return {s for s in strings if isinstance(s, str) and EXHIBIT_ID.fullmatch(s)}


def test_every_exhibit_is_shown_and_every_shown_one_exists(modules: list[Module]) -> None:
    shown, made = named_exhibits(modules), set(exhibit_ids())
    assert sorted(shown - made) == [], "shown, but no module makes them"
    assert sorted(made - shown) == [], "made, but no section shows them"


def test_an_exhibits_file_is_named_after_its_id_and_ids_are_unique() -> None:
    found = exhibit_ids()
    assert len(found) == len(exhibits.modules())
    head = {i: i.lower() if "_" in i else f"{i.lower()}_" for i in found}
    assert [f"{name}: {i}" for i, name in found.items() if not name.startswith(head[i])] == []


def test_no_exhibit_file_is_overlooked(modules: list[Module]) -> None:
    """A file with `build` and `ID` under a name that the stage does not recognize would silently not be made."""
    with_build = {
        m.path.stem for m in modules if m.room == "exhibits"
        for node in m.tree.body if isinstance(node, ast.FunctionDef) and node.name == "build"
    }  # fmt: skip
    assert with_build == set(exhibits.modules())


# Dictionary, gates, errors


def test_every_table_of_a_study_or_a_result_is_used(modules: list[Module]) -> None:
    """Tables of an extract serve validation, templates and codebook as they are; others need somebody who names them."""
    strings = {n.value for m in modules for n in ast.walk(m.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    study_files = {p.stem for study in studies() for p in (studies_dir() / study).glob("*.csv")}
    tables = [t.name for t in load_dictionary().tables.values() if t.role != "extract"]
    assert [t for t in tables if t not in strings | study_files | set(DESCRIBED_ONLY)] == []
    assert [t for t in DESCRIBED_ONLY if t in strings | study_files] == []


def test_the_synthetic_extract_has_every_required_table(modules: list[Module]) -> None:
    strings = {
        n.value for m in modules if m.room == "synthetic"
        for n in ast.walk(m.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }  # fmt: skip
    required = [t.name for t in load_dictionary().tables.values() if "C" in t.required_in]
    assert len(required) > 5
    assert [t for t in required if t not in strings] == []


def test_every_gate_has_a_finding(modules: list[Module]) -> None:
    text = "\n".join(m.text for m in modules if m.room == "diagnostics")
    assert [gate for gate in GATES if f'"{gate}"' not in text and f"def {gate}" not in text] == []


def test_exit_codes_are_distinct_and_as_documented(top: Path) -> None:
    classes = {c.__name__: c.exit_code for c in errors.P4Error.__subclasses__()}
    assert classes == {
        "UsageError": 2, "DataError": 10, "StudyError": 11, "DiagnosticsFailed": 12, "DisclosureError": 13, "NotReproduced": 14,
    }  # fmt: skip
    assert len(set(classes.values()) | {errors.P4Error.exit_code, 0}) == len(classes) + 2
    said = re.search(r"Exit codes: (.*)", (top / "README.md").read_text("utf-8"))
    assert said is not None
    assert {int(code) for code in re.findall(r"\b\d+\b", said[1])} >= set(classes.values())


# Documents


def test_the_readmes_table_of_commands_is_the_command_line(top: Path) -> None:
    text = (top / "README.md").read_text("utf-8")
    table = set(re.findall(r"^\| `p4equity ([a-z-]+)` \|", text, flags=re.M))
    assert table == verbs()
    for document in ("README.md", "CONTRIBUTING.md", "analysis/DECISIONS.md", "data_dictionary/README.md", "CHANGELOG.md"):
        used = set(re.findall(r"`(?:\.venv/bin/)?p4equity ([a-z-]+)", (top / document).read_text("utf-8")))
        assert used <= verbs(), document


def test_documents_name_only_make_targets_that_exist(top: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (top / "Makefile").read_text("utf-8"), flags=re.M))
    for document in ("README.md", "CONTRIBUTING.md", "analysis/DECISIONS.md"):
        used = set(re.findall(r"`make ([a-z-]+)", (top / document).read_text("utf-8")))
        assert used <= targets, document


def test_local_links_of_documents_lead_somewhere(top: Path) -> None:
    for document in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "analysis/DECISIONS.md", "data_dictionary/README.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", (top / document).read_text("utf-8"))
        broken = [link for link in links if not ((top / document).parent / link).exists()]
        assert broken == [], document


def test_the_one_place_to_touch_exists(top: Path) -> None:
    """Every path in the table that opens CONTRIBUTING.md, up to its first placeholder."""
    text = (top / "CONTRIBUTING.md").read_text("utf-8")
    rows = [line for line in text.split("\n## ")[1].splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    for row in rows:
        paths = re.findall(r"`([a-z_]+/[^`]*)`", row)
        assert paths, row
        for path in paths:
            known = re.split(r"<|NN_", path)[0]
            assert (top / known).exists(), f"{path} in: {row}"


def test_decisions_are_numbered_without_gaps_and_give_a_choice(top: Path) -> None:
    text = (top / "analysis" / "DECISIONS.md").read_text("utf-8")
    parts = re.split(r"^### ", text, flags=re.M)[1:]
    assert [int(p.split(".")[0]) for p in parts] == list(range(1, len(parts) + 1))
    assert [p.splitlines()[0] for p in parts if "**Choice.**" not in p] == []


def test_versions_agree(top: Path) -> None:
    import tomllib

    from p4equity import __version__

    assert tomllib.loads((top / "pyproject.toml").read_text("utf-8"))["project"]["version"] == __version__
    assert re.search(rf"^version: {re.escape(__version__)}$", (top / "CITATION.cff").read_text("utf-8"), flags=re.M)
    assert f"## {__version__}" in (top / "CHANGELOG.md").read_text("utf-8")
