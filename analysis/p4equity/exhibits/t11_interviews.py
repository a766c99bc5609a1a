"""T11: interviews held, what was coded how often and with which valence, and how far coders agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.dictionary import load_dictionary
from p4equity.exhibits import text
from p4equity.exhibits.builder import TableBuilder

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.dictionary import Field
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results

ID, KIND = "T11", "table"
ENOUGH = 20  # segments behind a mean valence that is shown
ARMS = {
    "participating": "Participating systems",
    "comparison": "Comparison systems",
    "outside": "Payer and external",
    "all": "All",
}


def build(results: Results) -> Exhibit | None:
    """First interviews by origin, then constructs from the most hindering to the most helping."""
    frame = results.table("implementation")
    frame = frame[frame["section"] == "interviews"] if len(frame) else frame
    if frame.empty:
        results.skip(ID, "no interviews were handed over")
        return None
    table = TableBuilder(("", "Count", "Mean", "Cohen's kappa"), ("l", "r", "r", "r"))
    table.group("Interviews, mean minutes")
    held = frame[(frame["indicator"] == "interviews") & (frame["item"] == "all")].set_index("arm")
    for arm, name in ARMS.items():
        if arm in held.index:
            row = held.loc[arm]
            table.row(
                name,
                _number(row, "n", 0),
                _number(row, "value", 0),
                "",
                block="interviews",
                basis="interviews",
                item=arm,
                n=row["n"],
                value=row["value"],
                status=row["status"],
            )
    every = frame[frame["indicator"] == "segments"].sort_values("value", kind="stable")
    codes = every[~_few(every)]
    kappa = frame[frame["indicator"] == "kappa"].set_index("item")
    if len(codes):
        table.group("Segments by construct, mean valence from −2 (hinders) to +2 (helps)")
    labels = load_dictionary().table("interview_code").field("code")
    for row in codes.to_dict("records"):
        agreed = kappa.loc[row["item"], "value"] if row["item"] in kappa.index else None
        table.row(
            labels.label(row["item"]), _number(row, "n", 0), _number(row, "value", 1), text.number(agreed, 2),
            block="segments", basis="segments", item=row["item"], n=row["n"], value=row["value"], kappa=agreed,
            status=row["status"],
        )  # fmt: skip
    pooled = kappa["value"].get("all")
    if pooled is not None:
        table.row("All constructs", "", "", text.number(pooled, 2), block="segments", basis="segments", item="all", kappa=pooled)
    note = (
        "Constructs of the Consolidated Framework for Implementation Research, in order of valence. A segment read by several "
        "coders "
        "counts once, with their mean valence; kappa: whether two coders apply the construct, pooled over constructs in the "
        "last row. "
        f"Counts do not weigh what was said.{_rare(every[_few(every)], labels)}{text.synthetic_note(results)}"
    )
    return table.exhibit(
        ID, "Interviews: constructs raised, their valence, and agreement of coders", _alt(codes, labels, pooled), note
    )


def _few(codes: pd.DataFrame) -> pd.Series:
    """Rows with a count too small for a mean to say something."""
    return (codes["status"] == "ok") & (codes["n"].astype("Float64") < ENOUGH).fillna(False)


def _rare(codes: pd.DataFrame, labels: Field) -> str:
    """Constructs with few segments by name and count, without valence, in the order of their names."""
    named = sorted(f"{labels.label(r['item'])} ({text.number(r['n'], 0)})" for r in codes.to_dict("records"))
    return f" Fewer than {ENOUGH} segments, so no mean: {text.listing(named)}." if named else ""


def _number(row: object, key: str, places: int) -> str:
    status = row["status"]  # type: ignore[index]
    return text.STATUS.get(str(status), str(status)) if status != "ok" else text.number(row[key], places)  # type: ignore[index]


def _alt(codes: pd.DataFrame, labels: Field, pooled: object) -> str:
    ok = codes[codes["status"] == "ok"].dropna(subset=["value"])
    if ok.empty:
        return "Too few segments to say which constructs help or hinder."
    low, high = ok.iloc[0], ok.iloc[-1]
    names = [f"{labels.label(r['item'])} ({text.number(r['value'], signed=True)})" for r in (low, high)]
    agreed = f" Pooled kappa {text.number(pooled, 2)}." if pooled is not None else ""
    return f"Most hindering: {names[0]}; most helping: {names[1]}.{agreed}"
