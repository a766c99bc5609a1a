"""Reproduction: an edition run again and judged row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from p4equity.comparison import Comparison, compare, print_comparison
from p4equity.errors import UsageError
from p4equity.finished import whole_facts
from p4equity.pipeline import run
from p4equity.run_folder import read_facts, study_of
from p4equity.scratch import scratch_folder

__all__ = ["can_be_verified", "compare", "print_comparison", "verify"]


def can_be_verified(folder: Path) -> bool:
    """Whether a run or edition can be made again from what it names: synthetic data or a published panel."""
    facts = read_facts(folder)
    return not (facts.get("tier") == "A" or (facts.get("tier") == "B" and facts.get("extract")))


def verify(
    edition: Path,
    *,
    study: str | Path | None = None,
    workers: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Run an edition of synthetic or published data again and compare every row of its results.

    Exhibits and report are not made again: their tables are checked against the hashes in the edition's manifest.

    Raises UsageError for an edition of restricted data, whose extract is not here.
    """
    facts = whole_facts(edition, "tier")
    extract = facts.get("extract", {})
    if not can_be_verified(edition):
        raise UsageError(
            "this edition rests on data that are not in it", where=str(edition), expected="a synthetic or published-data edition",
            fix="run p4equity run --data EXTRACT on the restricted machine, then p4equity compare RUN EDITION",
        )  # fmt: skip
    with scratch_folder() as scratch:
        out = scratch / "again"
        options = {"members": extract.get("members"), "seed": extract.get("seed"), "scenario": extract.get("scenario")}
        run(
            study_of(edition, facts, study).folder,
            None,
            out,
            workers=workers,
            report=False,
            progress=progress or (lambda *_: None),
            **options,
        )
        return compare(edition, out)
