"""The codebook: what the dictionary says of tables and measures, as rows of plain words for a page of the report."""

from __future__ import annotations

from collections.abc import Iterable

from p4equity.dictionary.load import load_dictionary
from p4equity.dictionary.model import Dictionary, Field, Measure, Table

CodebookRow = dict[str, str]
TURNED = "lower is better; rates are the share without it, so that higher is better"


def codebook(
    dictionary: Dictionary | None = None, roles: Iterable[str] = ("extract", "result")
) -> list[tuple[Table, list[CodebookRow]]]:
    """Tables of the given roles, each with one row a column: column, type, unit, values, presence, disclosure, description."""
    wanted = tuple(roles)
    known = dictionary or load_dictionary()
    tables = sorted((t for t in known.tables.values() if t.role in wanted), key=lambda t: wanted.index(t.role))
    return [(t, [_field_row(t, f) for f in t.fields]) for t in tables]


def codebook_measures(measures: Iterable[Measure]) -> list[CodebookRow]:
    """One row a measure: id, title, kind, ages, direction, breaks, source, description."""
    return [_measure_row(m) for m in measures]


def _field_row(table: Table, f: Field) -> CodebookRow:
    presence = "key" if f.name in table.primary_key else "required" if f.required else "optional" if f.optional else "may be null"
    return {
        "column": f.name,
        "type": f.type,
        "unit": f.unit or "",
        "values": _values(f),
        "presence": presence,
        "disclosure": "" if f.disclosure == "none" else f.disclosure,
        "description": f.description,
    }


def _values(f: Field) -> str:
    """Allowed values with labels, or limits, in words."""
    words = [f"ids of {f.vocabulary.replace('_', ' ')}"] if f.vocabulary else []
    words += [str(c.value) if str(c.value) == c.label else f"{c.value} = {c.label}" for c in f.categories]
    if words:
        return "; ".join(words)
    if f.enum:
        return "; ".join(str(v) for v in f.enum)
    if f.minimum is not None and f.maximum is not None:
        return f"{f.minimum} to {f.maximum}"
    if f.minimum is not None:
        return f"at least {f.minimum}"
    if f.maximum is not None:
        return f"at most {f.maximum}"
    return f.pattern or ""


def _measure_row(m: Measure) -> CodebookRow:
    ages = "" if m.age_min is None or m.kind == "value" else f"{m.age_min} to {m.age_max}"
    strata = "; ".join(s.label for s in m.strata)
    return {
        "measure": m.id,
        "title": m.title,
        "kind": m.kind,
        "unit": m.unit,
        "ages": f"{ages} (strata: {strata})" if strata else ages,
        "direction": "higher is better" if m.higher_is_better else TURNED if m.turned else "not applied",
        "breaks": "; ".join(f"{b.year}: {b.note}" for b in m.breaks),
        "source": m.source,
        "description": m.description,
    }
