"""The command line as a user meets it: what each mistake says, its exit code, and that nothing half-made stays."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from p4equity.resources import study_dir

FIRST = "bcbsma_pay_for_equity"
Edit = Callable[[str, str, str], Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Replaces one text in one file of a copy of the first study; returns the copy's folder."""
    folder = tmp_path / "copy"
    shutil.copytree(study_dir(FIRST), folder)

    def edit(file: str, old: str, new: str) -> Path:
        path = folder / file
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        return folder

    return edit


def only(tmp_path: Path, *names: str) -> None:
    """Nothing else lies in the folder, hidden or not."""
    assert {p.name for p in tmp_path.iterdir()} == set(names)


# --- usage: exit 2 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["estimat"], r"No such command 'estimat'.*(Did you mean|did you mean) 'estimate'"),
        (["estimate"], r"Missing argument"),
        (["run", "--memebers", "9"], r"No such option: --memebers.*--members"),
        (["run", "--members", "many"], r"Invalid value for '--members'.* should be a valid integer"),
        (["run", "--members", "3"], r"Invalid value for '--members'.* should be greater than or equal to 1000"),
        (["run", "--workers", "0"], r"Invalid value for '--workers'"),
        (["compare", "one"], r"Missing argument 'B'"),
    ],
)
def test_wrong_words(words: list[str], message: str, p4: Any) -> None:
    p4(*words).fails(2, message)


def test_every_verb_has_help(p4: Any) -> None:
    said = p4("--help")
    assert said.code == 0
    verbs = re.findall(r"(?m)^│ ([a-z][a-z-]+) ", said.out)
    assert len(verbs) >= 12
    for verb in verbs:
        said = p4(verb, "--help")
        assert said.code == 0
        assert f"p4equity {verb}" in said.out


def test_options_of_a_synthetic_extract_beside_data(extract: Path, p4: Any, tmp_path: Path) -> None:
    said = p4("run", "--data", extract, "--seed", 4, "--scenario", "clean", "--out", tmp_path / "run")
    said.fails(2, r"--seed, --scenario: options of the synthetic extract, but none is made", r"next: leave them out")
    p4("run", "--study", "castle_doctrine", "--members", 2000, "--out", tmp_path / "run").fails(2, r"--members: options")
    only(tmp_path)


def test_a_folder_that_is_not_a_run_is_not_replaced(extract: Path, quick_run: Path, p4: Any, tmp_path: Path) -> None:
    thesis = tmp_path / "precious" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    for words in (
        ["run", "--data", extract, "--out", thesis.parent], ["estimate", extract, "--out", thesis.parent],
        ["cells", extract, "--out", thesis.parent], ["simulate", "--out", thesis.parent, "--members", 1000],
        ["release", quick_run, thesis.parent], ["new-study", thesis.parent],
    ):  # fmt: skip
        p4(*words).fails(2, r"precious: .*(not empty|something else|is taken)", r"expected: ", r"next: ")
    p4("estimate", extract, "--out", thesis).fails(2, r"thesis\.txt: the output folder is a file")
    p4("estimate", extract, "--out", ".").fails(2, r"the output folder needs a name")
    assert thesis.read_text() == "years of work"
    only(tmp_path, "precious")
    only(thesis.parent, "thesis.txt")


def test_an_output_never_replaces_its_input(quick_run: Path, extract: Path, p4: Any, tmp_path: Path) -> None:
    shutil.copytree(quick_run, tmp_path / "run")
    shutil.copytree(extract, tmp_path / "run" / "extract")
    before = sorted(p for p in tmp_path.rglob("*"))
    run = tmp_path / "run"
    p4("estimate", run / "extract", "--out", run).fails(2, r"the output would replace its own input", r"found: .*extract lies in")
    p4("release", run, run).fails(2, r"the output would replace its own input")
    assert sorted(p for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("verb", ["render", "release", "explain", "verify", "compare"])
def test_a_folder_that_is_no_run(verb: str, p4: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = {
        "render": [tmp_path / "empty"], "release": [tmp_path / "empty", tmp_path / "edition"],
        "explain": ["some.row", "--run", tmp_path / "empty"], "verify": [tmp_path / "empty"],
        "compare": [tmp_path / "empty", tmp_path / "empty"],
    }[verb]  # fmt: skip
    p4(verb, *words).fails(2, r"empty.*: (not a finished run|nothing to compare)", r"expected: ", r"next: ")
    only(tmp_path, "empty")


# --- the study: exit 11 ----------------------------------------------------------------------------------------------


def test_an_unknown_study(p4: Any, tmp_path: Path) -> None:
    said = p4("run", "--study", "bcbsma_pay_for_equiti", "--out", tmp_path / "run")
    said.fails(11, r"bcbsma_pay_for_equiti: no such study", f"did you mean '{FIRST}'", r"p4equity new-study")
    only(tmp_path)


def test_an_unknown_scenario(p4: Any, tmp_path: Path) -> None:
    for words in (
        ["simulate", "--scenario", "claen", "--out", tmp_path / "x"],
        ["run", "--scenario", "claen", "--out", tmp_path / "x"],
    ):
        p4(*words).fails(11, r"truth\.toml.*scenario.*claen", r"did you mean 'clean'")
    only(tmp_path)


BAD_STUDY = {
    "unknown key": (
        "study.toml", "minimum_months = 10", "minimun_months = 10",
        [r"copy/study\.toml:\d+:\d+: population\.minimun_months: unknown key", r"did you mean 'minimum_months'"],
    ),
    "contract for an unknown measure": (
        "systems.toml", '"HBD_CTRL"]', '"HBD_CTLR"]',
        [r"copy/systems\.toml:\d+:\d+: contract\[\d\]\.measures: unknown measure 'HBD_CTLR'", r"did you mean 'HBD_CTRL'"],
    ),
    "no comparison system left": (
        "systems.toml", 'arm = "comparison"', 'arm = "excluded"',
        [r"copy/systems\.toml.*: no comparison system is left: nothing to compare"],
    ),
    "no participating system left": (
        "systems.toml", 'arm = "participating"', 'arm = "excluded"',
        [r"copy/systems\.toml.*: no participating system is left: nothing to compare"],
    ),
    "not TOML": ("study.toml", "[population]", "[population", [r"copy/study\.toml:\d+:\d+: not valid TOML"]),
    "bad date": (
        "events.csv", "2021-02-03", "3 February 2021",
        [r"copy/events\.csv:\d+:1: column 'date' has the wrong type", r"expected: a date", r"found: 3 February 2021"],
    ),
    "open quotation mark": ("events.csv", "policy,all,", 'policy,"all,', [r"copy/events\.csv:\d+"]),
    "null byte": ("events.csv", "policy,all,", "policy,a\0ll,", [r"copy/events\.csv"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_STUDY)
def test_a_bad_study(kind: str, edited: Edit, extract: Path, p4: Any, tmp_path: Path) -> None:
    file, old, new, words = BAD_STUDY[kind]
    folder = edited(file, old, new)
    for verb in (["estimate", extract, "--out", tmp_path / "run"], ["validate", extract]):
        p4(*verb, "--study", folder).fails(11, *words)
    only(tmp_path, "copy")


def test_a_study_file_in_another_encoding(edited: Edit, extract: Path, p4: Any) -> None:
    folder = edited("events.csv", "policy,all,", "policy,all,")
    for file in ("events.csv", "study.toml"):
        path = folder / file
        whole = path.read_bytes()
        path.write_bytes(whole + "# Übersicht\n".encode("latin-1"))
        p4("validate", extract, "--study", folder).fails(11, rf"copy/{file}.*: the file is not UTF-8 text", r"next: ")
        path.write_bytes(whole)


# --- gates: exit 12 --------------------------------------------------------------------------------------------------


def test_a_failed_gate_and_a_logged_deviation(extract_cells: Path, few_analyses: Any, p4: Any, tmp_path: Path) -> None:
    study = few_analyses(tmp_path / "strict", ["pooled", "spending"], attrition=0.0)
    run = tmp_path / "run"
    said = p4("estimate", extract_cells, "--study", study, "--out", run)
    said.fails(12, r"attrition: a gate failed", r"diagnostics\.csv", r"next: .*deviations\.csv")
    estimates = pd.read_csv(run / "estimates.csv")
    estimates = estimates[estimates["analysis_id"].isin(["pooled", "spending"])]  # not baselines
    assert len(estimates) > 3
    assert set(estimates["status"]) == {"not_estimable"}
    assert estimates["reason"].str.contains("attrition").all()
    assert estimates["estimate"].isna().all()
    p4("diagnose", extract_cells, "--study", study).fails(12, r"attrition: a gate failed")

    with (study / "deviations.csv").open("a", encoding="utf-8") as log:
        log.write("D1,2026-10-01,attrition,Rows stand,Two systems closed,false,Composition may have changed\n")
    said = p4("estimate", extract_cells, "--study", study, "--out", run)
    assert said.code == 0, said.text
    estimates = pd.read_csv(run / "estimates.csv")
    assert (estimates[estimates["analysis_id"].isin(["pooled", "spending"])]["status"] == "ok").sum() > 3
    gates = pd.read_csv(run / "diagnostics.csv").set_index("gate_id")
    assert gates.loc["attrition", "status"] == "FAIL"
    assert gates.loc["attrition", "deviation_id"] == "D1"
    only(tmp_path, "strict", "run")


# --- disclosure: exit 13, reproduction: exit 14, explanation ---------------------------------------------------------


def test_a_leak_stops_the_release(quick_run: Path, p4: Any, tmp_path: Path) -> None:
    shutil.copytree(quick_run, tmp_path / "run")
    cells = tmp_path / "run" / "results" / "cells.csv"
    frame = pd.read_csv(cells)
    frame.loc[frame["den"].notna().idxmax(), "den"] = 7
    frame.to_csv(cells, index=False)
    said = p4("release", tmp_path / "run", tmp_path / "edition")
    said.fails(13, r"nothing was released", r"results/cells\.csv: column den: 1 counts of 1 to 10", r"next: ")
    only(tmp_path, "run")


def test_a_file_of_an_unknown_kind_stops_the_release(quick_run: Path, p4: Any, tmp_path: Path) -> None:
    shutil.copytree(quick_run, tmp_path / "run")
    (tmp_path / "run" / "members.parquet").write_bytes(b"PAR1")
    p4("release", tmp_path / "run", tmp_path / "edition").fails(13, r"members\.parquet: file type not on the allow-list")
    only(tmp_path, "run")


def test_runs_that_differ(quick_run: Path, quick_study: Path, p4: Any, tmp_path: Path) -> None:
    said = p4("release", quick_run, tmp_path / "edition", "--study", quick_study)
    assert said.code == 0, said.text
    said = p4("compare", quick_run, tmp_path / "edition")
    assert said.code == 0
    assert re.search(r"Reproduced: all \d+ rows agree", said.text)
    table = tmp_path / "edition" / "estimates.csv"
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    at = frame.index[frame["status"] == "ok"][0]
    frame.loc[at, "estimate"] = str(float(frame.loc[at, "estimate"]) + 0.01)
    frame.drop(frame.index[-1]).to_csv(table, index=False)
    said = p4("compare", quick_run, tmp_path / "edition")
    said.fails(
        14, r"2 differences in \d+ rows", f"row {re.escape(frame.loc[at, 'row_id'])}, estimate: ", r"only in the first", r"next: "
    )
    table.write_text("row_id,estimate\n1,2\n")
    p4("compare", quick_run, tmp_path / "edition").fails(10, r"estimates\.csv: not a whole table of estimates", r"no column ")
    table.write_bytes(b"\xff\xfe\x00\x01")
    p4("compare", quick_run, tmp_path / "edition").fails(10, r"estimates\.csv: not a whole table of estimates")


def test_explain(quick_run: Path, p4: Any) -> None:
    table = pd.read_csv(quick_run / "estimates.csv")
    known = table.loc[table["analysis_id"] == "pooled", "row_id"].tolist()
    said = p4("explain", known[0], "--run", quick_run)
    assert said.code == 0
    assert "Registered in study.toml" in said.out
    for word in ("knapp_hartung", "meta_regression", "code_version", "plan_hash", "n_clusters"):
        assert word in said.out
    wrong = known[0][:-1] + "Z"
    p4("explain", wrong, "--run", quick_run).fails(2, r"run/estimates\.csv: no such row", r"did you mean '", re.escape(wrong))


def test_a_damaged_manifest(quick_run: Path, p4: Any, tmp_path: Path) -> None:
    shutil.copytree(quick_run, tmp_path / "run")
    for content in ("{", "[]", "{}"):
        (tmp_path / "run" / "manifest.json").write_text(content)
        p4("release", tmp_path / "run", tmp_path / "edition").fails(
            10, r"manifest\.json: the manifest is damaged", r"next: repeat"
        )


# --- other studies ---------------------------------------------------------------------------------------------------


def test_a_new_study_runs_and_is_found_again(process: Any, p4: Any, tmp_path: Path) -> None:
    folder, run, data = tmp_path / "programs" / "my_program", tmp_path / "run", tmp_path / "data"
    assert p4("new-study", folder).code == 0
    assert p4("simulate", "--study", folder, "--members", 9000, "--out", data).code == 0
    said = process("estimate", data, "--study", folder, "--out", run)
    assert said.code in (0, 12), said.text  # 9,000 members are few: gates may fail
    row = pd.read_csv(run / "estimates.csv")["row_id"][0]
    said = p4("explain", row, "--run", run)
    assert said.code == 0, said.text
    assert p4("release", run, tmp_path / "edition").code == 0
    assert "study_folder" not in (tmp_path / "edition" / "manifest.json").read_text()
    shutil.rmtree(folder)
    p4("explain", row, "--run", run).fails(11, r"the study of this run is not found", r"found: my_program", r"next: .*--study")


def test_the_study_of_published_values(p4: Any, tmp_path: Path) -> None:
    data = tmp_path / "unused"
    p4("simulate", "--study", "castle_doctrine", "--out", data).fails(11, r"has no members to simulate", r"kind = \"counts\"")
    p4("power", data, "--study", "castle_doctrine").fails(10, r"no such folder")
    only(tmp_path)
