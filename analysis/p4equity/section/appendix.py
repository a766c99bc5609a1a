"""The appendix: every row of the estimates, the codebook, software, what is not shown, and how to repeat the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p4equity import words
from p4equity.exhibits.base import TableSpec
from p4equity.resources import PACKAGES
from p4equity.section import display, phrases
from p4equity.section.questions import question
from p4equity.study.names import inference_name

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.dictionary import Table
    from p4equity.section.section import Section
    from p4equity.study import Analysis

_SIDES = {"reference_rate": "reference", "group_rate": "group"}
KEY = (
    "avg. t averaged t, KH Knapp-Hartung, perm. permutation, boot. wild bootstrap, claim the adjusted p of the hierarchy;"
    " reference and group: effects on their rates. Units, methods and counts of each row: estimates.csv."
)


def every_row(s: Section) -> tuple[pd.DataFrame, tuple[tuple[int, str], ...]]:
    """All rows of the estimates in few lines, by analysis and measure; and (first row, question) of each analysis."""
    import pandas as pd

    table = s.results("estimates")
    lines: list[list[str]] = []
    groups: list[tuple[int, str]] = []
    for analysis in s.study.analyses:
        groups.append((len(lines), f"{question(s, analysis)} [{analysis.id}]"))
        own = table[table["analysis_id"] == analysis.id]
        for measure_id, part in own.groupby("measure_id", sort=False):
            lines.append([_measure(s, str(measure_id), analysis), _said(s, part, analysis)])
        if own.empty:
            lines.append(["None", "No row: nothing to estimate"])
    rest = table[~table["analysis_id"].isin([a.id for a in s.study.analyses])]
    for analysis_id, own in rest.groupby("analysis_id", sort=False):
        groups.append((len(lines), f"{phrases.capital(str(analysis_id).replace('_', ' '))}, described [{analysis_id}]"))
        for measure_id, part in own.groupby("measure_id", sort=False):
            lines.append([phrases.measure(s, str(measure_id)), _said(s, part, None)])
    return pd.DataFrame(lines, columns=["Measure", "Results"]), tuple(groups)


def _measure(s: Section, measure_id: str, analysis: Analysis) -> str:
    """What a line is about; measures pooled that are not the contracted ones are not called so."""
    others = set(s.study.measure_ids(analysis.measures)) - set(s.study.measure_sets.contracted)
    return "Measures pooled" if measure_id == phrases.POOLED and others else phrases.measure(s, measure_id)


def _said(s: Section, rows: pd.DataFrame, analysis: Analysis | None) -> str:
    """The results of one analysis and measure: each answer under each inference, then what has no number, reason by reason."""
    drawn = rows["event_time"].notna()
    ok = rows["status"] == "ok"
    parts = []
    keys = ["outcome", "group", "system_id", "sample"]
    for _, same in rows[ok & ~drawn].groupby(keys, sort=False, dropna=False):
        parts.append(_answer(s, same.to_dict("records"), analysis))
    if (ok & drawn).any():
        figure = analysis is not None and analysis.estimator == "event_study" and analysis.outcome == "gap"
        where = phrases.exhibit_ref(s, "F3", "gaps", ", gaps in ") if figure else ""
        parts.append(f"{int((ok & drawn).sum())} coefficients by year, in estimates.csv{where}")
    bad = rows[~ok]
    for (status, reason), same in bad.groupby(["status", "reason"], sort=False, dropna=False):
        who = phrases.join(dict.fromkeys(phrases.group(s, str(g)) for g in same["group"]))
        why = phrases.with_labels(s, str(reason))
        parts.append(f"{len(same)} {str(status).replace('_', ' ')} ({who}): {why}")
    return "; ".join(parts)


def _answer(s: Section, rows: Sequence[Mapping[str, Any]], analysis: Analysis | None) -> str:
    """One answer: what it is about, its estimate, and interval and p under each inference; its unit where it has neither."""
    first = rows[0]
    places = phrases.decimals(str(first["outcome_unit"]))
    about = [] if first["group"] in (phrases.POOLED, "all") else [phrases.group(s, str(first["group"]))]
    if first["system_id"] not in ("all", None) and first["system_id"] == first["system_id"]:
        about.append(s.label(str(first["system_id"])))
    if first["sample"] not in ("main", None) and first["sample"] == first["sample"]:
        about.append(phrases.with_labels(s, str(first["sample"])))
    if analysis is None or first["outcome"] != analysis.outcome:
        about.append(_SIDES.get(str(first["outcome"]), str(first["outcome"]).replace("_", " ")))
    methods = []
    for row in rows:
        bounds = [None if row[k] != row[k] else float(row[k]) for k in ("conf_low", "conf_high")]
        interval = words.interval(bounds[0], bounds[1], places) if words.has_interval(row) else ""
        p = "" if row["p_value"] != row["p_value"] else f"p {words.p_value(float(row['p_value']))}"
        if interval or p:
            methods.append(f"{inference_name(row['inference']).brief} {', '.join(filter(None, (interval, p)))}")
    estimate = "" if first["estimate"] != first["estimate"] else f" {words.number(float(first['estimate']), places)}"
    tail = f"({'; '.join(methods)})" if methods else words.unit(first)
    return f"{', '.join(about)}{estimate} {tail}".strip()


def not_shown(s: Section) -> str:
    """One sentence on the exhibits that do not apply to this study, with the reasons; "" when all do."""
    said = []
    for path in sorted((s.run_dir / "exhibits").glob("*.json")):
        spec = json.loads(path.read_text("utf-8"))
        if "skipped" in spec:
            said.append(f"a {spec['kind']} ({spec['skipped']})")
    return f"Not made, because it does not apply to this study: {phrases.join(said)}." if said else ""


def software() -> str:
    """Python and the packages numbers and pages depend on, with their versions, in one sentence."""
    import platform
    from importlib import metadata

    named = [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in PACKAGES)]
    return f"Software behind numbers and pages: {phrases.join(named)}; all other versions stand in `requirements.lock`."


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


def codebook(s: Section) -> None:
    """Show the columns of all tables with type, unit and meaning: folded in the HTML edition, not on paper."""
    import pandas as pd

    from p4equity.dictionary import codebook as rows_of

    wanted = {t.name for t in tables(s)}
    cells: list[list[str]] = []
    groups: list[tuple[int, str]] = []
    for table, rows in rows_of(roles=("extract", "result")):
        if table.name in wanted:
            groups.append((len(cells), f"{table.title} ({table.name}): {table.grain}"))
            cells += [[r["column"] + ("*" if r["presence"] == "key" else ""), _kind(r), r["description"]] for r in rows]
    frame = pd.DataFrame(cells, columns=["Column", "Type, unit", "Meaning"])
    spec = TableSpec.from_frame(frame, row_groups=tuple(groups))
    title = "Codebook: columns of each table"
    note = "Colored lines name a table and what a row of it is. * part of the key."
    document = {"id": "codebook", "kind": "table", "title": title, "alt": "", "footnote": note, "folded": True, **spec.to_json()}
    display.show(display.block(document, ""), display.table_html(document, title))


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
