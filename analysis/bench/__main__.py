"""The command behind `make bench`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from p4equity.cli.guard import guarded
from p4equity.errors import DataError, UsageError
from p4equity.resources import root
from p4equity.study import load_study
from rich.console import Console

from bench.growth import growth
from bench.measure import Measured
from bench.parts import Bench, other_methods, plan, regressions, scans, simulated
from bench.show import show, write

PARTS = ("scans", "regressions", "methods", "plan", "growth")
STUDY = "bcbsma_pay_for_equity"
QUICK = 60_000
USUAL = "0.1,1,4"
console = Console(stderr=True)


def bench(
    members: Annotated[int, typer.Option(min=1000, help="members of the extract measured on")] = 1_200_000,
    growth_factors: Annotated[str, typer.Option("--growth", help="multiples of members; one alone is added")] = USUAL,
    quick: Annotated[bool, typer.Option(help=f"a try at {QUICK:,} members: no bar means anything there")] = False,
    only: Annotated[str, typer.Option(help=f"some parts alone: {', '.join(PARTS)}")] = "",
    repeat: Annotated[int, typer.Option(min=1, help="repetitions; the fastest counts")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="threads of scans, cells and runs")] = min(2, os.cpu_count() or 1),
    scratch: Annotated[Path | None, typer.Option(help="where extracts are made and removed again; 4x needs 2 GB")] = None,
) -> None:  # fmt: skip
    """Measures the toolkit beside bare scans, other libraries and itself on more members; prints tables, writes JSON.

    A bar that is missed is said to be missed; the exit code is 0 all the same.
    """
    if quick:
        members, repeat, growth_factors = QUICK, min(repeat, 2), "0.5,1"
    parts, factors = chosen(only), sizes(growth_factors)
    study = load_study(STUDY)
    with tempfile.TemporaryDirectory(prefix="p4equity-bench-", dir=scratch) as place:
        run = Bench(STUDY, Path(place), threads, study.data.seed, repeat, study.inference.wild_draws, said)
        data = Path(place) / "extract"
        made = simulated(run, members, data)
        if made.failed:
            raise DataError("no extract to measure", where="simulate", found=made.failed, fix="see that --scratch has space")
        cells = scans(run, data) if {"scans", "regressions", "methods", "plan"} & set(parts) else Path()
        steps = {
            "regressions": lambda: regressions(run, data, cells), "methods": lambda: other_methods(run, cells),
            "plan": lambda: plan(run, cells), "growth": lambda: growth(run, members, factors, data, made),
        }  # fmt: skip
        for name in parts:
            if name in steps:
                steps[name]()
    settings = {
        "study": STUDY,
        "members": members,
        "seed": study.data.seed,
        "threads": threads,
        "repetitions": repeat,
        "quick": quick,
    }
    whole = not quick and parts == PARTS
    target = root() / "reports" / "bench" / ("latest.json" if whole else "part.json")
    write(run.found, settings, target)
    show(run.found)
    console.print(f"written: {target.relative_to(root())}")


def said(label: str, found: Measured) -> None:
    """One line for each finished measurement."""
    what = f"failed: {found.failed}" if found.failed else f"{found.best:9.3f} s {found.peak / 1e6:8,.0f} MB"
    console.print(f"{what}  {label}", highlight=False, soft_wrap=True)


def chosen(only: str) -> tuple[str, ...]:
    """The parts named, in their order; all where none is. Raises UsageError for an unknown one."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in PARTS:
            raise UsageError("unknown part", where="--only", expected=", ".join(PARTS), found=name)
    if "methods" in names and "regressions" not in names:
        names.append("regressions")  # it writes the rows of members that the other libraries read
    return tuple(name for name in PARTS if not names or name in names)


def sizes(text: str) -> tuple[float, ...]:
    """Multiples of the members, ascending; a single one is added to the usual ones. Raises UsageError for anything else."""
    try:
        found = sorted({float(part) for part in (text if "," in text else f"{USUAL},{text}").split(",")})
    except ValueError:
        found = []
    if not found or found[0] <= 0:
        raise UsageError("no sizes", where="--growth", expected="numbers above 0, such as 0.1,1,4,10", found=text)
    return tuple(found)


if __name__ == "__main__":
    guarded(lambda: typer.run(bench))
