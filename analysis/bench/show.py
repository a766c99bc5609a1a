"""How a benchmark run is shown on the terminal and kept on disk."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Agreement, Figure, Found
from bench.measure import OTHERS

LIBRARIES = ("p4equity", "duckdb", "numpy", "pandas", "pyarrow", "linearmodels", "scipy")
WIDE = 150  # characters of a line where no terminal says how many it has
HOW = (
    "Each figure is measured in a process of its own; seconds are wall-clock seconds of the fastest repetition, beside the first "
    "one (imports, compilation on first use). Files are in the page cache: they were written or read just before. Peak memory is "
    "that of the process and of those it started. Linear algebra on one thread; scans, cells, simulation and runs on `threads`. "
    "Ratios are of one run on one machine."
)


def about(settings: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """What a reader needs to repeat a run; no name of a machine, no path."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "how": HOW,
        "cores": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "versions_compared": _others(),
        **settings,
        **found.sizes,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _others() -> dict[str, str]:
    """Versions in the environment of the other libraries, from the names of its package folders."""
    names = ("pyfixest", "wildboottest", "diff_diff", "linearmodels", "numba", "numpy", "pandas")
    folders = [p.name for p in OTHERS.parents[1].glob("lib/python*/site-packages/*.dist-info")]
    pairs = (folder.removesuffix(".dist-info").rsplit("-", 1) for folder in folders)
    return {name: number for name, number in sorted(pairs) if name in names}


def write(found: Found, settings: Mapping[str, Any], target: Path) -> None:
    """Writes everything as JSON, complete or not at all."""
    content = {
        "about": about(settings, found),
        "figures": [figure.record() for figure in found.figures],
        "agreement": [agreement.record() for agreement in found.agreements],
        "bars_missed": [f.name for f in found.figures if f.met is False] + [a.what for a in found.agreements if not a.met],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
    partial.replace(target)


def show(found: Found, console: Console | None = None) -> None:
    """Two tables: figures with their bars, and agreements of answers."""
    out = console or Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDE)
    table = Table(title="Seconds, ratios, memory", title_justify="left")
    for name in ("part", "what"):
        table.add_column(name, overflow="fold")
    for name in ("seconds", "first", "ratio", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bar", overflow="fold", min_width=12)
    for figure in found.figures:
        table.add_row(*cells_of(figure))
    out.print(table)
    if found.agreements:
        answers = Table(title="Answers compared", title_justify="left")
        for name in ("what", "largest difference", "tolerance", ""):
            answers.add_column(name, overflow="fold")
        for a in found.agreements:
            answers.add_row(
                a.what, "no answer" if math.isnan(a.difference) else f"{a.difference:.1e}", f"{a.tolerance:g}", _word(a)
            )
        out.print(answers)


def cells_of(figure: Figure) -> tuple[str, ...]:
    """One row of the table of figures."""
    m = figure.measured
    if m.failed:
        return figure.part, figure.name, "failed", "", "", "", f"{'bar missed: ' if figure.met is False else ''}{m.failed}"
    times = "" if math.isnan(figure.ratio) else f"{figure.ratio:.1f}x {'the time ' if figure.faster else ''}{figure.of}"
    first = f"{m.first:.3f}" if len(m.wall) > 1 else ""
    memory = f"{m.peak / 1e6:,.0f}" if m.peak else ""
    words = {None: "", True: "met", False: "[bold red]bar missed[/]"}[figure.met]
    return figure.part, figure.name, f"{m.best:.3f}", first, times, memory, ", ".join(w for w in (words, limits(figure)) if w)


def limits(figure: Figure) -> str:
    """The bars of a figure in words."""
    parts = []
    if figure.bar is not None:
        parts.append(f"at {'least' if figure.faster else 'most'} {figure.bar:g}x")
    if figure.seconds is not None:
        parts.append(f"under {figure.seconds:g} s")
    if figure.memory is not None:
        parts.append(f"under {figure.memory / 1e9:g} GB")
    return ", ".join(parts)


def _word(agreement: Agreement) -> str:
    return "agree" if agreement.met else "[bold red]bar missed[/]"
