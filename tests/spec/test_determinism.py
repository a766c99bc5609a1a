"""Same inputs, same bytes: whatever the number of workers, the hash seed of the process and the order of the extract's rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from p4equity.verify import compare

FIRST = "bcbsma_pay_for_equity"
STOCHASTIC = ["pooled", "measure", "did_system_weighted", "triple_difference", "by_system", "spending"]


@pytest.fixture(scope="module")
def study(few_analyses: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first study with an analysis of each kind that sums, permutes or draws."""
    folder: Path = few_analyses(tmp_path_factory.mktemp("determinism") / "study", STOCHASTIC)
    return folder


@pytest.fixture(scope="module")
def larger_extract(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 members, so that the drawn and permuted rows have numbers."""
    from p4equity.study import load_study
    from p4equity.synthetic import simulate

    out = tmp_path_factory.mktemp("determinism") / "extract"
    simulate(load_study(study), out, members=20_000, seed=3, workers=1)
    return out


@pytest.fixture(scope="module")
def once(process: Any, study: Path, larger_extract: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One worker, hash seed 1."""
    out = tmp_path_factory.mktemp("once") / "run"
    said = process("estimate", larger_extract, "--study", study, "--out", out, "--workers", 1, PYTHONHASHSEED="1")
    assert said.code == 0, said.text
    return out


def tables(run: Path) -> dict[str, bytes]:
    """The bytes of every table of a run."""
    files = [*run.glob("*.csv"), *(run / "results").glob("*.csv")]
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(files)}


def differing(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    """Names whose bytes differ, or that only one side has."""
    return [name for name in sorted({*first, *second}) if first.get(name) != second.get(name)]


def test_there_is_something_to_compare(once: Path) -> None:
    estimates = pd.read_csv(once / "estimates.csv")
    done = estimates[estimates["status"] == "ok"]
    assert {"knapp_hartung", "permutation", "wild_bootstrap", "cr2", "sampling"} <= set(done["inference"])
    assert len(tables(once)) >= 10


def test_workers_hash_seed_and_the_order_of_rows_and_files_leave_no_trace(
    once: Path, process: Any, study: Path, larger_extract: Path, tmp_path: Path
) -> None:
    shutil.copytree(larger_extract, tmp_path / "extract")
    shuffled = list(shuffle(tmp_path / "extract"))
    assert {"measure_event", "member", "spending", "attribution", "contract", "survey_response"} <= set(shuffled)
    said = process(
        "estimate", tmp_path / "extract", "--study", study, "--out", tmp_path / "run", "--workers", 2, PYTHONHASHSEED="90210"
    )
    assert said.code == 0, said.text
    assert differing(tables(once), tables(tmp_path / "run")) == []


def test_members_and_their_own_cells_give_the_same_bytes(
    once: Path, p4: Any, study: Path, larger_extract: Path, tmp_path: Path
) -> None:
    said = p4("cells", larger_extract, "--study", study, "--out", tmp_path / "cells")
    assert said.code == 0, said.text
    said = p4("estimate", tmp_path / "cells", "--study", study, "--out", tmp_path / "run", "--workers", 2)
    assert said.code == 0, said.text
    comparison = compare(once, tmp_path / "run", tolerance=1e-10)
    assert comparison.differences == ()
    assert comparison.compared > 300
    # To the byte, provenance included: threads (1 and 2) and tier leave no trace.
    assert (once / "estimates.csv").read_bytes() == (tmp_path / "run" / "estimates.csv").read_bytes()


def shuffle(folder: Path) -> Iterator[str]:
    """Every table in another order; folders of blocks cut into other blocks. Gives the names of the tables."""
    with duckdb.connect() as con:
        for file in [*folder.glob("*.parquet"), *folder.glob("*/*.parquet")]:
            con.execute(f"CREATE OR REPLACE TABLE t AS SELECT * FROM '{file}'")
            parts = [file] if file.parent == folder else [file, file.with_name(f"another-{file.name}")]
            for i, part in enumerate(parts):
                chosen = f"SELECT * FROM t WHERE rowid % {len(parts)} = {i} ORDER BY md5(rowid::VARCHAR)"
                con.execute(f"COPY ({chosen}) TO '{part}' (FORMAT parquet)")
            yield file.stem if file.parent == folder else file.parent.name


@pytest.mark.slow
def test_two_runs_give_the_same_report(process: Any, tmp_path: Path) -> None:
    """From the synthetic extract to the report: one worker against two, and two hash seeds."""
    runs = []
    for workers, seed in ((1, "1"), (2, "90210")):
        out = tmp_path / f"workers_{workers}" / "run"
        said = process("run", "--members", 150_000, "--out", out, "--workers", workers, PYTHONHASHSEED=seed)
        assert said.code in (0, 12), said.text
        runs.append(out)
    files = [p.relative_to(runs[0]) for p in runs[0].rglob("*") if p.is_file()]
    # Manifest and validation hold times, the record of that stage its hash, Word files the moment they were made; the extract's
    # identity is its own test.
    kinds, timed = (".csv", ".html", ".pdf", ".svg", ".png", ".json"), ("manifest.json", "validation.json", "validate.json")
    wanted = [p.as_posix() for p in files if p.suffix in kinds and p.name not in timed and p.parts[0] != "extract"]
    assert {"estimates.csv", "diagnostics.csv", "report.html", "report.pdf", "results/cells.csv"} <= set(wanted)
    assert len([name for name in wanted if name.endswith(".svg")]) >= 5
    assert len([name for name in wanted if name.startswith("briefings/")]) >= 5
    differ = [name for name in wanted if (runs[0] / name).read_bytes() != (runs[1] / name).read_bytes()]
    assert differ == []
