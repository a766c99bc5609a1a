"""T_PUB: published coefficients beside those of this study, with their source and place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK, rows_of
from p4equity.exhibits.tabular import Block, row_ids, spec, traced

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Published

ID, KIND = "T_PUB", "table"
COLUMNS = ("Outcome", "Published (SE)", "This study (SE)", "Difference", "Source and place")
PLACES = 4  # what the published tables print
Row = Mapping[str, Any]


def build(results: Results) -> Exhibit | None:
    """One row a published coefficient; those of the same specification must agree, the others need only be near."""
    published = results.study.published
    if not published:
        results.skip(ID, "the study names no published results to stand beside its own")
        return None
    pairs = [(p, _ours(results, p)) for p in sorted(published, key=lambda p: not p.same_specification)]
    headings = dict.fromkeys(_heading(p) for p, _ in pairs)
    blocks = [Block(h, tuple(_line(results, p, row) for p, row in pairs if _heading(p) == h)) for h in headings]
    table = spec(COLUMNS, blocks, align="lrrrl")
    ids = row_ids(table)
    data = pd.DataFrame([_record(p, row) for p, row in pairs])
    shown = results.estimates[results.estimates["row_id"].isin(ids)]
    title = "Published coefficients beside those of this study"
    return Exhibit(ID, "table", title, _alt(data), _note(results, shown), ids, data, table=table)


def _ours(results: Results, published: Published) -> Row | None:
    """The row that stands beside a published one; of several inferences the registered cross-check, which printed errors "
    "are like."""
    analysis = results.study.analysis(published.analysis_id)
    rows = rows_of(results, analysis, measure_id=published.measure_id, outcome=analysis.outcome, event_time=published.event_time)
    wanted = [*results.study.inference.cross_check, *analysis.inference]
    for method in wanted:
        found = rows[rows["inference"] == method]
        if len(found):
            return dict(found.iloc[0])
    return None


def _number(value: Any, error: Any = None) -> str:
    said = text.number(value, PLACES)
    return said if text.is_missing(error) else f"{said} ({text.number(error, PLACES)})"


def _line(results: Results, published: Published, row: Row | None) -> tuple[Any, ...]:
    name = text.measure_name(results, published.measure_id)
    weights = _weights(results, published)
    return (
        f"{name}, {weights}" if weights else name,
        _number(published.estimate, published.std_error),
        traced(row, _number(row["estimate"], row["std_error"]) if row is not None and row["status"] == OK else None),
        MISSING if _difference(published, row) is None else text.number(_difference(published, row), PLACES, signed=True),
        f"{published.source}: {published.place}",
    )


def _heading(published: Published) -> str:
    """Whether the published specification is this study's, and the treatment it measures."""
    same = "The same specification, must agree" if published.same_specification else "Another specification, need only be near"
    return f"{same}; published treatment: {published.description[:1].lower()}{published.description[1:]}"


def _weights(results: Results, published: Published) -> str:
    """How the row is weighted, where the study has both ways."""
    weighting = results.study.analysis(published.analysis_id).weighting
    return {"patient": "weighted", "system": "unweighted"}.get(weighting, "")


def _difference(published: Published, row: Row | None) -> float | None:
    if row is None or row["status"] != OK:
        return None
    return float(row["estimate"]) - published.estimate


def _record(published: Published, row: Row | None) -> dict[str, Any]:
    given = published.model_dump(
        include={"id", "source", "place", "description", "measure_id", "analysis_id", "same_specification"}
    )
    ours = {key: None if row is None or row["status"] != OK else row[key] for key in ("estimate", "std_error")}
    return {
        **given,
        "published_estimate": published.estimate,
        "published_std_error": published.std_error,
        **ours,
        "difference": _difference(published, row),
        "unit": published.unit,
        "row_id": text.row_id(row),
        "status": "no such row" if row is None else row["status"],
        "verified": published.verified,
    }


def _alt(data: pd.DataFrame) -> str:
    """How far the rows of the same specification agree, and how near the others are."""
    parts = []
    for same, words in ((True, "with the same specification"), (False, "with another specification")):
        part = data[(data["same_specification"] == same) & data["difference"].notna()]
        if len(part):
            largest = float(part["difference"].abs().max())
            unit = 10.0**-PLACES
            size = f"less than {unit:.{PLACES}f}" if largest < unit else f"at most {text.number(largest, PLACES)}"
            parts.append(f"The {text.plural(len(part), 'coefficient')} {words} differ{'s' if len(part) == 1 else ''} by {size}")
    missing = int(data["difference"].isna().sum())
    return ". ".join([*parts, f"{missing} could not be compared"] if missing else parts) + "."


def _note(results: Results, shown: pd.DataFrame) -> str:
    study = results.study
    units = text.listing(list(dict.fromkeys(p.unit for p in study.published)))
    named = [study.sources[k] for k in dict.fromkeys(p.source for p in study.published) if k in study.sources]
    sources = " ".join(f"{s.id}: {s.title}{f' ({s.published})' if s.published else ''}." for s in named)
    checked = "; ".join(dict.fromkeys(p.verified[:1].lower() + p.verified[1:] for p in study.published))
    return (
        f"Coefficients in {units}; standard errors in parentheses. Difference: this study minus published. How the "
        f"published numbers were checked: {checked}. {sources} "
        f"{text.base_note(shown, results)}{text.missing_note(shown)}{text.synthetic_note(results)}"
    )
