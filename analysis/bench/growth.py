"""How stages grow with members: simulated, then run from the extract on disk to the rendered report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from bench.figures import Figure, growth_ratio
from bench.measure import Measured
from bench.parts import Bench, simulated

Sizes = Mapping[float, Mapping[str, float]]  # by factor
BEFORE = ("simulate", "validate", "cells")  # stages that see rows of members
WHOLE = 180.0  # seconds a whole evaluation may take at the reference size
LINEAR = 1.1  # cells of k times the members may take this many times k: noise of one run
FLAT = 1.1  # stages after the cells may take this many times as long


def growth(bench: Bench, members: int, factors: Sequence[float], data: Path | None = None, made: Measured | None = None) -> None:
    """Every size once: simulate and run. data, made: the extract of factor 1 where it is there already."""
    seconds: dict[float, dict[str, float]] = {}
    answered: dict[float, dict[str, float]] = {}
    for factor in factors:
        size, own = round(members * factor), data if factor == 1 else None
        at = own or bench.scratch / f"extract-{factor:g}"
        simulation = made if own and made else None if own else simulated(bench, size, at)
        if simulation:
            bench.keep(Figure("growth", f"{factor:g}x: simulate {size:,} members", simulation))
        run = bench.run("whole_run", f"run, {size:,} members", repeat=1, data=str(at))
        if own is None:
            shutil.rmtree(at, ignore_errors=True)
        stages = (run.answer or {}).get("stages", {})
        limit = WHOLE if factor == 1 and size >= 1_200_000 else None
        note = ", ".join(f"{name} {took:.1f}" for name, took in stages.items())
        bench.keep(Figure("growth", f"{factor:g}x: extract on disk to rendered report", run, seconds=limit, note=note))
        seconds[factor] = {
            "cells": stages.get("cells", 0.0), "after": sum(s for name, s in stages.items() if name not in BEFORE),
        }  # fmt: skip
        answered[factor] = (run.answer or {}).get("answered", {})
    _judge(bench, seconds, answered)


def _judge(bench: Bench, seconds: Sizes, answered: Sizes) -> None:
    """Cells grow no faster than members, what follows them not at all, between every two sizes.

    answered: rows of estimates with an answer, and systems behind each. Of few members fewer cells reach the plan's smallest
    size, so that systems and answers are missing: the stages after the cells are shown for each answered row too, without a bar.
    """
    for low, high in pairwise(sorted(seconds)):
        for stage, allowed, name in (("cells", LINEAR * high / low, "cells"), ("after", FLAT, "stages after the cells")):
            times = {size: seconds[size][stage] for size in (low, high)}
            took = Measured((times[high],), (times[high],))
            label = f"{name}, {low:g}x to {high:g}x members"
            bench.keep(Figure("growth", label, took, f"{low:g}x", growth_ratio(times, low, high), bar=allowed))
        few, many = (answered.get(size, {}) for size in (low, high))
        if few.get("rows") and many.get("rows"):
            each = {low: seconds[low]["after"] / few["rows"], high: seconds[high]["after"] / many["rows"]}
            label = f"stages after the cells per answered row, {low:g}x to {high:g}x"
            systems = f"systems behind each {few['systems']:.1f} to {many['systems']:.1f}"
            note = f"answered rows {few['rows']:g} to {many['rows']:g}, {systems}"
            took = Measured((each[high],), (each[high],))
            bench.keep(Figure("growth", label, took, f"{low:g}x", growth_ratio(each, low, high), note=note))
