"""Single systems: raw and shrunken changes, how reliable each is, and what may be said of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.answers import Row, excludes_zero, figures

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

NONE = 0.005  # reliability that is none at two decimals
RELIABLE = 0.7  # common threshold for telling units apart (share of the variance that lies between them)


def analysis_id(s: Section) -> str | None:
    """The analysis of single systems, if the plan has one."""
    return next((a.id for a in s.study.analyses if a.estimator == "system_change"), None)


def changes(s: Section, system_id: str | None = None) -> list[tuple[str, str, Row, Row | None]]:
    """(measure, system, raw row, shrunken row) of every contracted cell, or of one system's."""
    name = analysis_id(s)
    if name is None:
        return []
    identity: dict[str, object] = {"analysis_id": name}
    found = s.run.rows(identity | ({"system_id": system_id} if system_id else {}))
    out = []
    for measure in s.study.measure_sets.contracted:
        own = found[found["measure_id"] == measure]
        for system in dict.fromkeys(own["system_id"]):
            part = own[own["system_id"] == system]
            rows = {r["sample"]: r for r in (s.run.row({"row_id": str(i)}) for i in part["row_id"])}
            raw = rows.get("raw") or next(iter(rows.values()))
            out.append((measure, str(system), raw, rows.get("shrunken")))
    return out


def reliability(shrunken: Row | None) -> float | None:
    """Share of the variance of changes that lies between systems; None without a number."""
    if shrunken is None or shrunken["status"] != "ok" or shrunken["statistic"] is None:
        return None
    return float(shrunken["statistic"])


def summary(s: Section) -> str:
    """How many single changes exclude zero, and how many are reliable enough to tell systems apart."""
    items = [(m, raw, reliability(shrunken)) for m, _, raw, shrunken in changes(s)]
    ok = [(m, raw, r) for m, raw, r in items if raw["status"] == "ok"]
    if not ok:
        return f"**No change of a single {s.study.info.unit_label} is estimable.**"
    clear = [raw for _, raw, _ in ok if excludes_zero(raw)]
    strong = [r for _, _, r in ok if r is not None and r >= RELIABLE]
    unit = s.study.info.unit_label
    text = (
        f"**Single {s.study.info.unit_label_plural} cannot be told apart{'' if not strong else ' for most cells'}.** Of"
        f" {phrases.plural(len(ok), f'contracted {unit}-by-measure cell')}, {phrases.count(len(clear)) if clear else 'none'}"
        f" {'has' if len(clear) == 1 else 'have'} a raw change whose interval excludes zero; in a list this long some would by"
        f" chance. {phrases.capital(phrases.count(len(strong)) if strong else 'none')}"
        f" {'reaches' if len(strong) == 1 else 'reach'} a reliability of {RELIABLE:g}, a usual bar for telling units apart."
    )
    flat = sorted({phrases.lower(phrases.measure(s, m)) for m, _, r in ok if r is not None and r < NONE})
    if flat:
        text += (
            f" On {phrases.join(flat)} changes of comparison {s.study.info.unit_label_plural} vary no more than sampling error"
            " explains. The shrunken values are then nearly the same, and their intervals hold only the error of that common"
            " value."
        )
    return text


def table(s: Section, system_id: str) -> pd.DataFrame:
    """Raw and shrunken change, reliability and plain words for each measure of one system."""
    import pandas as pd

    rows = []
    for measure, _, raw, shrunken in changes(s, system_id):
        share = reliability(shrunken)
        usable = shrunken is not None and share is not None and share >= NONE
        rows.append(
            [
                phrases.measure(s, measure),
                figures(s, raw, level=False, with_unit=False),
                figures(s, shrunken, level=False, with_unit=False) if usable and shrunken is not None else "not informative",
                "–" if share is None else phrases.plain(share, 2),
                said(raw, share),
            ]
        )
    return pd.DataFrame(rows, columns=["Measure", "Raw change", "Shrunken change", "Reliability", "What can be said"])


def said(raw: Row, share: float | None) -> str:
    """The honest sentence about one cell."""
    if raw["status"] != "ok":
        return "no number"
    if not excludes_zero(raw):
        return "cannot tell"
    direction = "narrower" if raw["estimate"] < 0 else "wider"
    if share is None or share < RELIABLE:
        return f"{direction} beyond sampling error, but too unreliable to tell from chance"
    return direction
