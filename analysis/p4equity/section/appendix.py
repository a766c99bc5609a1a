"""The appendix: every registered analysis with its rows, the codebook, software, what is not shown, and how to repeat the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.questions import question

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.dictionary import Table
    from p4equity.section.section import Section

PACKAGES = (
    "duckdb",
    "ibis-framework",
    "linearmodels",
    "matplotlib",
    "numpy",
    "pandas",
    "papermill",
    "pypandoc_binary",
    "scipy",
    "typst",
)


def results(s: Section) -> tuple[pd.DataFrame, tuple[tuple[int, str], ...]]:
    """Rows with a number, without, and why, by analysis and measure; and (first row, question) of each analysis."""
    import pandas as pd

    table = s.results("estimates")
    rows: list[list[str]] = []
    groups: list[tuple[int, str]] = []
    for analysis in s.study.analyses:
        groups.append((len(rows), f"{question(s, analysis)} [{analysis.id}]"))
        own = table[table["analysis_id"] == analysis.id]
        for measure_id in dict.fromkeys(own["measure_id"]):
            part = own[own["measure_id"] == measure_id]
            bad = part[part["status"] != "ok"]
            reasons = dict.fromkeys(phrases.with_labels(s, str(r)) for r in bad["reason"].dropna())
            rows.append([phrases.measure(s, str(measure_id)), str(len(part) - len(bad)), str(len(bad)), "; ".join(reasons)])
        if own.empty:
            rows.append(["none", "0", "0", "no row: nothing to estimate"])
    return pd.DataFrame(rows, columns=["Measure", "With a number", "Without", "Why not"]), tuple(groups)


def not_shown(s: Section) -> pd.DataFrame:
    """Exhibits that do not apply to this study, with the reason."""
    import pandas as pd

    rows = []
    for path in sorted((s.run_dir / "exhibits").glob("*.json")):
        spec = json.loads(path.read_text("utf-8"))
        if "skipped" in spec:
            rows.append([spec["id"], spec["kind"], phrases.capital(str(spec["skipped"]))])
    return pd.DataFrame(rows, columns=["Exhibit", "Kind", "Why it is not shown"])


def software() -> pd.DataFrame:
    """Python and the packages numbers and pages depend on, with their versions; the lock file holds all others."""
    import platform
    from importlib import metadata

    import pandas as pd

    rows = [["Python", platform.python_version()], *([name, metadata.version(name)] for name in PACKAGES)]
    return pd.DataFrame(rows, columns=["Software", "Version"])


def hashes(s: Section) -> pd.DataFrame:
    """What identifies plan, data and code of these numbers."""
    import pandas as pd

    first = s.results("estimates").iloc[0]
    names = {"plan_hash": "Plan", "data_hash": "Cells", "code_version": "Code, dictionary, notebooks, theme and lock"}
    return pd.DataFrame([[label, str(first[key])] for key, label in names.items()], columns=["What", "SHA-256"])


def tables(s: Section) -> list[Table]:
    """Tables of the dictionary that this study meets: its results, and the extract's where it has one."""
    from p4equity.dictionary import load_dictionary

    roles = ("extract", "result") if s.study.data.kind == "counts" else ("result",)
    have = {p.stem for p in (s.run_dir / "results").glob("*.csv")}
    known = load_dictionary().tables.values()
    return [
        t
        for role in roles
        for t in known
        if t.role == role and (role == "extract" or t.name in have or t.name in ("estimate", "diagnostic"))
    ]


def codebook(s: Section) -> tuple[pd.DataFrame, tuple[tuple[int, str], ...]]:
    """Columns of all tables with type, unit and meaning; and (first row, title and grain) of each table."""
    import pandas as pd

    from p4equity.dictionary import codebook as rows_of

    wanted = {t.name for t in tables(s)}
    cells: list[list[str]] = []
    groups: list[tuple[int, str]] = []
    for table, rows in rows_of(roles=("extract", "result")):
        if table.name in wanted:
            groups.append((len(cells), f"{table.title} ({table.name}): {table.grain}"))
            cells += [[r["column"] + ("*" if r["presence"] == "key" else ""), _kind(r), r["description"]] for r in rows]
    return pd.DataFrame(cells, columns=["Column", "Type, unit", "Meaning"]), tuple(groups)


def _kind(row: dict[str, str]) -> str:
    unit = f", {row['unit']}" if row["unit"] and row["unit"] not in ("1", row["type"]) else ""
    return f"{row['type']}{unit}"


def commands(s: Section) -> str:
    """The commands that repeat this run and judge each number."""
    study = s.study
    data = "" if study.data.kind == "value" or s.synthetic else " --data EXTRACT"
    lines = [
        f"p4equity run --study {study.id}{data} --out RUN",
        "p4equity compare RUN EDITION",
        "p4equity explain ROW_ID --run RUN",
    ]
    return "```\n" + "\n".join(lines) + "\n```"
