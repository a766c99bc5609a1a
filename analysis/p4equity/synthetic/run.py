"""Writes a synthetic extract: plan once, then block by block, in one process or several, with the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from p4equity.errors import StudyError, UsageError
from p4equity.places import check_place
from p4equity.scratch import folder_in_use
from p4equity.study import Study, load_study
from p4equity.synthetic.block import make_block
from p4equity.synthetic.build import build_plan
from p4equity.synthetic.plan import Plan
from p4equity.synthetic.strands import strand_tables
from p4equity.synthetic.study_tables import study_tables
from p4equity.synthetic.summary import GENERATOR, SimulationSummary
from p4equity.synthetic.truth import Planted, load_truth
from p4equity.synthetic.truth_record import truth_record
from p4equity.synthetic.write import write_rows
from p4equity.workers import in_processes

Progress = Callable[[int, int], None]
MOST_MEMBERS = 200_000_000
_FEWEST_BLOCKS_FOR_A_POOL = 4


def run(
    study: Study | str | Path,
    out: Path,
    *,
    members: int | None,
    seed: int | None,
    scenario: str | None,
    workers: int,
    progress: Progress | None,
) -> SimulationSummary:
    """See `p4equity.synthetic.simulate`."""
    began = perf_counter()
    study = study if isinstance(study, Study) else load_study(study)
    if study.data.kind == "value":
        raise StudyError(
            "a study of published aggregates has no members to simulate", where=study.id, expected='[data] kind = "counts"',
            found='kind = "value"', fix=f"p4equity run --study {study.id} reads its panel; no extract is needed",
        )  # fmt: skip
    size = members if members is not None else study.data.members
    if size is None or size < 1:
        raise UsageError(
            "the number of members must be positive", found=size, expected="a whole number from 1, or [data] members"
        )
    if size > MOST_MEMBERS:
        raise UsageError(
            "too many members", where="--members", found=f"{size:,}", expected=f"at most {MOST_MEMBERS:,}",
            fix="take fewer: the default gives every measure its power",
        )  # fmt: skip
    planted = load_truth(study, scenario)
    plan = build_plan(study, planted, members=size, seed=study.data.seed if seed is None else seed)
    with _whole_or_nothing(out) as folder:
        rows = _small_tables(study, plan, folder)
        for counts in _blocks(plan, folder, workers, progress):
            for name, n in counts.items():
                rows[name] = rows.get(name, 0) + n
        _describe(study, planted, plan, folder)
    return SimulationSummary(
        out=out,
        study=study.id,
        scenario=planted.scenario,
        seed=plan.seed,
        members=size,
        blocks=plan.blocks,
        rows=dict(sorted(rows.items())),
        bytes=sum(f.stat().st_size for f in out.rglob("*") if f.is_file()),
        seconds=perf_counter() - began,
    )


def _small_tables(study: Study, plan: Plan, folder: Path) -> dict[str, int]:
    tables = {**study_tables(study, plan), **strand_tables(study, plan.seed)}
    return {name: write_rows(folder / f"{name}.parquet", name, plan.columns[name], rows) for name, rows in tables.items() if rows}


def _blocks(plan: Plan, folder: Path, workers: int, progress: Progress | None) -> Iterator[dict[str, int]]:
    """Rows by table of each block, as blocks finish; what is written does not depend on their order."""
    crew = workers if plan.blocks >= _FEWEST_BLOCKS_FOR_A_POOL else 1
    for done, (_, rows) in enumerate(in_processes(partial(make_block, plan, folder), range(plan.blocks), crew), start=1):
        yield rows
        if progress:
            progress(done, plan.blocks)


def _describe(study: Study, planted: Planted, plan: Plan, folder: Path) -> None:
    about: dict[str, Any] = {
        "study": study.id,
        "scenario": planted.scenario,
        "seed": plan.seed,
        "members": plan.members,
        "synthetic": True,
        "generator": GENERATOR,
        "tier": "C",
        "data_version": f"synthetic {GENERATOR}, scenario {planted.scenario}, seed {plan.seed}, {plan.members} members",
        "source": "p4equity simulate",
        "extract_date": study.info.report_date.isoformat(),
    }
    for name, content in (("extract.json", about), ("truth.json", truth_record(study, planted, plan))):
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _whole_or_nothing(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its place when all went well; an earlier synthetic extract is replaced.

    What a killed simulation to the same place left is removed first.
    """
    if out.exists() and not _replaceable(out):
        raise UsageError(
            "the place for the extract is taken",
            where=str(out),
            expected="a new or empty folder, or an earlier synthetic extract",
            fix="choose another folder with --out, or remove this one",
        )
    check_place(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with folder_in_use(out.parent, f".{out.name}.", ".partial") as partial:
        folder = partial / "extract"
        folder.mkdir()
        yield folder
        if out.exists():
            out.rename(partial / "earlier")
        folder.rename(out)


def _replaceable(out: Path) -> bool:
    if not out.is_dir():
        return False
    if not any(out.iterdir()):
        return True
    try:
        return bool(json.loads((out / "extract.json").read_text(encoding="utf-8")).get("synthetic"))
    except (OSError, ValueError, AttributeError):
        return False
