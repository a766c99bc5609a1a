"""The parts of the benchmark: scans, the primary regression, bootstrap and group-time effects, the plan's own draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import Agreement, Figure, Found, faster_of, largest_difference, ratio
from bench.measure import OTHERS, Measured, measure

MOST_MEMORY = 4e9
Spec = dict[str, Any]


@dataclass
class Bench:
    """Where a run works, and what it has found so far. say: called with each finished measurement."""

    study: str
    scratch: Path
    threads: int
    seed: int
    repeat: int
    draws: int
    say: Callable[[str, Measured], None]
    found: Found = field(default_factory=Found)

    def run(self, job: str, label: str, *, repeat: int | None = None, **spec: Any) -> Measured:
        """Measures a job of the toolkit."""
        return self._measured("bench.jobs", job, label, repeat, None, spec)

    def other(self, job: str, label: str, *, repeat: int | None = None, **spec: Any) -> Measured:
        """Measures a job of another library."""
        if not OTHERS.is_file():
            return Measured(failed="the environment of the other libraries is missing: make bench makes it")
        return self._measured("bench.others", job, label, repeat, OTHERS, spec)

    def _measured(
        self, module: str, job: str, label: str, repeat: int | None, python: Path | None, spec: Mapping[str, Any]
    ) -> Measured:
        common = {"study": self.study, "threads": self.threads, "seed": self.seed, "draws": self.draws, "out": str(self.scratch)}
        found = measure(module, job, {**common, **spec}, repeat=repeat or self.repeat, python=python)
        self.say(label, found)
        return found

    def keep(self, *figures: Figure) -> None:
        """Adds figures to what was found."""
        self.found.figures += figures


def simulated(bench: Bench, members: int, target: Path) -> Measured:
    """A synthetic extract of so many members."""
    return bench.run("simulation", f"simulate {members:,} members", repeat=1, members=members, out=str(target))


def scans(bench: Bench, data: Path) -> Path:
    """Cells and validation beside bare scans of the same columns; returns where the cells lie."""
    folder = bench.scratch / "cells"
    at: Spec = {"data": str(data)}

    def scan(columns: str, kind: str) -> Measured:
        return bench.run("scan", f"bare scan, columns of {columns}: {kind}", columns=columns, scan=kind, **at)

    before = {c: scan(c, "max") for c in ("cells", "validation")}
    cells = bench.run("cells", "cells: build_cells", **at)
    valid = bench.run("validation", "validate", **at)
    command = bench.run("cells_command", "p4equity cells (validates, writes)", repeat=1, **{**at, "out": str(folder)})
    best = {c: faster_of(before[c], scan(c, "max")) for c in before}
    bench.keep(
        Figure("scan", "bare scan of the cells' columns: max of each", best["cells"], note="the reference"),
        *(Figure("scan", f"the same, {kind} of each", scan("cells", kind), "max") for kind in ("count", "hash")),
        Figure("scan", "bare scan of all columns: max of each", best["validation"], note="the reference of validation"),
        Figure(
            "cells", "build_cells", cells, "scan of its columns", ratio(cells, best["cells"]), bar=4, memory=MOST_MEMORY
        ),
        Figure("cells", "p4equity cells, a new process", command, "scan of its columns", ratio(command, best["cells"])),
        Figure("validation", "validate", valid, "scan of all columns", ratio(valid, best["validation"]), bar=10),
        Figure("validation", "validate", valid, "scan of the cells' columns", ratio(valid, best["cells"])),
    )  # fmt: skip
    bench.found.sizes |= {"rows_of_cells": cells.answer, "problems_found": (valid.answer or {}).get("problems")}
    return folder


def regressions(bench: Bench, data: Path, cells: Path) -> None:
    """The primary regression from cells on disk, beside the same regression on rows of members."""
    rows = bench.run("members", "rows of members, for the other libraries", repeat=1, data=str(data))
    bench.found.sizes["rows_of_members"] = rows.answer
    there: Spec = {"members": str(bench.scratch / "primary.parquet")}
    for estimator, name, bar in (("triple_difference", "primary regression", 50.0), ("did", "its two-way form", None)):
        own = {
            (variance, ssc): bench.run(
                "primary", f"{name} from cells, {variance} {ssc}", repeat=4 * bench.repeat, cells=str(cells), estimator=estimator,
                variance=variance, ssc=ssc,
            )
            for variance, ssc in (("cr1", "none"), ("cr1", "fixest"), ("cr0", "none"))
        }  # fmt: skip
        ours = own["cr1", "none"]
        pyfixest = {
            key: bench.other(
                "pyfixest", f"{name} by pyfixest, {key}", estimator=estimator, read=key == "reading included",
                ready=key == "effects combined beforehand", ssc="none", **there,
            )
            for key in ("reading excluded", "reading included", "effects combined beforehand")
        }  # fmt: skip
        counted = bench.other(
            "pyfixest", f"{name} by pyfixest, fixest's factor", repeat=1, estimator=estimator, read=False, ready=False,
            ssc="fixest", **there,
        )  # fmt: skip
        linear = {
            key: bench.other(
                "linearmodels", f"{name} by linearmodels, {key}", repeat=1, estimator=estimator, read=key == "reading included",
                **there,
            )
            for key in ("reading excluded", "reading included")
        }  # fmt: skip
        bench.keep(Figure("regression", f"{name} from cells, reading included", ours))
        for library, found in (("pyfixest", pyfixest), ("linearmodels", linear)):
            for key, theirs in found.items():
                judged = bar if library == "pyfixest" and key == "reading excluded" else None
                times = ratio(theirs, ours)
                bench.keep(Figure("regression", f"{name} by {library}, {key}", theirs, "from cells", times, judged, faster=True))
        _agree(bench, f"{name}: pyfixest, factor G/(G-1)", ours, pyfixest["reading excluded"])
        _agree(bench, f"{name}: pyfixest, its own factor, members counted", own["cr1", "fixest"], counted)
        _agree(bench, f"{name}: linearmodels, no factor", own["cr0", "none"], linear["reading excluded"])


def _agree(bench: Bench, what: str, ours: Measured, theirs: Measured) -> None:
    """Differences of coefficient and clustered error."""
    for value, tolerance in (("estimate", 1e-10), ("std_error", 1e-8)):
        both = ours.answer and theirs.answer
        difference = abs(ours.answer[value] - theirs.answer[value]) if both else math.nan
        bench.found.agreements.append(Agreement(f"{what}: {value}", difference, tolerance))


def other_methods(bench: Bench, cells: Path) -> None:
    """The restricted wild bootstrap beside wildboottest, group-time effects beside diff-diff."""
    at: Spec = {"cells": str(cells)}
    gaps = str(bench.scratch / "gaps.parquet")
    bench.run("gaps", "panels of gaps", repeat=1, **{**at, "out": gaps})
    boot = bench.run("bootstrap", f"{bench.draws:,} restricted draws a measure and group", gaps=gaps)
    theirs = bench.other("wildboottest", "the same by wildboottest", gaps=gaps)
    bench.keep(
        Figure("bootstrap", f"{bench.draws:,} restricted draws, each measure and group", boot),
        Figure("bootstrap", "the same by wildboottest", theirs, "of ours", ratio(theirs, boot), faster=True),
    )
    keys, noise = ("measure", "group"), 4 * math.sqrt(0.5 / bench.draws)  # four errors of a difference of two drawn p values
    pair = boot.answer, theirs.answer
    bench.found.agreements += [
        Agreement("wild bootstrap: wildboottest: t statistic", largest_difference(*pair, keys, "statistic"), 1e-8),
        Agreement("wild bootstrap: wildboottest: p value (drawn)", largest_difference(*pair, keys, "p_value"), noise),
    ]
    group_time = bench.run("group_time", "group-time effects from cells", **at)
    there: Spec = {"members": str(bench.scratch / "staggered.parquet")}
    found = {
        key: bench.other("diff_diff", f"the same by diff-diff, {key}", read=key == "reading included", **there)
        for key in ("reading excluded", "reading included")
    }
    bench.keep(Figure("group-time", "group-time effects from cells, reading included", group_time))
    for key, by in found.items():
        times = ratio(by, group_time)
        bench.keep(Figure("group-time", f"the same by diff-diff on rows of members, {key}", by, "from cells", times, faster=True))
    keys, pair = ("cohort", "period"), (group_time.answer, found["reading excluded"].answer)
    systems = _systems(group_time)
    bench.found.agreements += [
        Agreement("group-time: diff-diff: estimate", largest_difference(*pair, keys, "estimate"), 1e-10),
        Agreement(
            "group-time: diff-diff: std_error, less its factor G/(G-1)",
            largest_difference(*pair, keys, "std_error", math.sqrt((systems - 1) / systems)),
            1e-8,
        ),
    ]


def _systems(group_time: Measured) -> float:
    """Clusters behind the group-time effects; NaN without an answer."""
    return next((float(row["systems"]) for row in group_time.answer or []), math.nan)


def plan(bench: Bench, cells: Path) -> None:
    """The draws of the registered plan itself."""
    at: Spec = {"cells": str(cells)}
    exact = bench.run("plan_permutations", "permutations of the primary plan", **at)
    boot = bench.run("plan_bootstraps", "wild bootstraps of every primary row", **at)
    for name, found, limit in (("exact permutations of the primary plan", exact, 2.0), ("9,999 draws a primary row", boot, 5.0)):
        rows = (found.answer or {}).get("rows", 0)
        bench.keep(Figure("plan", name, found, seconds=limit, note=f"{rows} rows"))
