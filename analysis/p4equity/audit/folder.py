"""A whole run or edition as the auditor reads it: every table, description and page in every folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from p4equity.audit.columns import audit_frame, numbers_of
from p4equity.audit.texts import audit_html, audit_json
from p4equity.audit.totals import audit_errors, audit_nested, audit_shared, audit_totals
from p4equity.dictionary import load_dictionary
from p4equity.disclosure import nested_pairs

PRIVATE = ("extract", "restricted", "notebooks", "briefings")  # never released
OWN_FORM = ("manifest.json", "validation.json", "ro-crate-metadata.json")  # hashes, versions and settings


def audit_folder(folder: Path, threshold: int) -> list[str]:
    """Every leak in what a run would release: small counts, small differences, and suppressed cells known too closely."""
    if threshold <= 1:
        return []
    leaks: list[str] = []
    tables: dict[str, pd.DataFrame] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if name.parts[0] in PRIVATE or path.name.startswith("."):
            continue
        kind, found = path.suffix.lower(), []
        if kind == ".csv":
            frame = _read(path)
            found = ["not a table that can be checked"] if frame is None else audit_frame(frame, threshold)
            if frame is not None:
                tables[name.as_posix()] = frame
        elif kind == ".json" and path.name not in OWN_FORM:
            found = audit_json(path, threshold)
        elif kind in (".html", ".htm"):
            found = audit_html(path, threshold)
        leaks += [f"{name}: {text}" for text in found]
    return leaks + _across(tables, threshold)


def _read(path: Path) -> pd.DataFrame | None:
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
    except (ValueError, OSError):
        return None


def _across(tables: dict[str, pd.DataFrame], threshold: int) -> list[str]:
    """What several tables say together."""
    found = {name: tables.get(f"results/{name}.csv") for name in ("cells", "rate", "profile", "flow_chart")}
    cells, rates, profile, flow = found["cells"], found["rate"], found["profile"], found["flow_chart"]
    leaks: list[str] = []
    pairs = nested_pairs(load_dictionary().measures.values())
    for name, frame, keys in (("cells", cells, ["system_id", "group", "year"]), ("rate", rates, ["arm", "group", "year"])):
        if frame is not None and {"den", "num", "measure_id", *keys} <= set(frame.columns):
            counted = frame.assign(den=numbers_of(frame["den"]), num=numbers_of(frame["num"]))
            leaks += [f"results/{name}.csv: {text}" for text in audit_nested(counted, pairs, keys, threshold)]
    if cells is not None and rates is not None and {"den", "num"} <= set(cells.columns) & set(rates.columns):
        whole, part = (f.assign(den=numbers_of(f["den"]), num=numbers_of(f["num"])) for f in (rates, cells))
        leaks += [f"results/cells.csv: {text}" for text in audit_totals(part, whole, threshold)]
        if {"unit_kind", "std_error"} <= set(whole.columns):
            leaks += [f"results/rate.csv: {text}" for text in audit_errors(whole)]
    if profile is not None and flow is not None:
        leaks += [f"results/profile.csv: {text}" for text in audit_shared(profile, flow)]
    return leaks
