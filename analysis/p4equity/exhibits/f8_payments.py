"""F8: narrowing with its noise, and share of the maximum earned against the share expected by chance, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.figure_parts import MUTED, SMALL, directions, key, zero_line
from p4equity.exhibits.select import OK
from p4equity.exhibits.t8_payments import payments, shares

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F8", "figure"
Z95 = 1.959964
ROW = 0.172
BAND, CHANCE = "#dff1e8", "#cfd5db"
COLUMNS = (
    "measure_id", "group", "gap_base", "narrowing", "se_narrowing", "gate_met", "score", "shrunken_score", "expected_by_chance",
    "status", "reason",
)  # fmt: skip


def build(results: Results) -> Exhibit | None:
    """Left: narrowing and 95% sampling interval with the paid range; right: earned, shrunken and by chance, as shares."""
    paid = payments(results)
    if paid.empty or not (paid["status"] == OK).any():
        results.skip(ID, "the study has no payment formula, or nothing could be paid")
        return None
    paid = paid.assign(system=[results.label(s) for s in paid["system_id"]])
    order = {m: i for i, m in enumerate(results.study.measure_ids("contracted"))}
    groups = {g: i for i, g in enumerate(results.study.group_ids)}
    place = paid["measure_id"].map(order) * 100 + paid["group"].map(groups)
    paid = paid.assign(place=place).sort_values(["place", "system"], kind="stable").drop(columns="place").reset_index(drop=True)
    with exhibit_style():
        figure = _draw(results, paid)
    data = paid[["system", *COLUMNS]]
    title = "Payment and noise: narrowing of each gap paid on, and the share of the maximum earned and expected by chance"
    return Exhibit(ID, "figure", title, _alt(paid), _note(results, paid), (), data, figure)


def _range(results: Results) -> tuple[float, float]:
    """Narrowing at which payment starts, and at which it reaches its maximum."""
    plan = results.study.payment
    assert plan is not None
    return plan.threshold, plan.threshold + plan.cap / plan.slope if plan.slope else plan.threshold


def _draw(results: Results, paid: pd.DataFrame) -> Any:
    figure = new_figure(1.45 + ROW * (len(paid) + paid["measure_id"].nunique()))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.2, 1.0))
    y, labels, previous = 0.0, [], ""
    for row in paid.to_dict("records"):
        if row["measure_id"] != previous:
            labels.append((y, text.measure_name(results, row["measure_id"]), True))
            y, previous = y - 1, row["measure_id"]
        labels.append((y, f"{row['system']}, {text.group_name(results, row['group'])}", False))
        if row["status"] == OK:
            _cell(left, right, results, row, y)
        else:
            said = text.STATUS.get(str(row["status"]), "")
            left.text(0.02, y, said, fontsize=SMALL, va="center", transform=left.get_yaxis_transform(), color=MUTED)
        y -= 1
    left.axvspan(*_range(results), color=BAND, lw=0, zorder=0)
    zero_line(left)
    half = Z95 * paid["se_narrowing"].astype(float)
    low, high = float((paid["narrowing"] - half).min()), float((paid["narrowing"] + half).max())
    left.set_xlim(min(low, 0.0) - 0.8, max(high, _range(results)[1]) + 0.8)
    directions(left, "widens", "narrows")
    left.set_xlabel("Narrowing of the gap, points")
    right.set_xlim(-4, 104)
    right.set_xlabel("Share of the maximum, %")
    left.set_ylim(y + 0.4, 0.6)
    left.set_yticks([p for p, _, _ in labels], [name for _, name, _ in labels], fontsize=SMALL)
    for tick, (at, _, heading) in zip(left.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if heading else "normal")
        if heading and at < 0:
            for ax in (left, right):
                ax.axhline(at + 0.5, color="#d3d8de", lw=0.6, zorder=0)
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
        ax.grid(False, axis="y")
        ax.grid(True, axis="x")
    figure.legend(handles=_keys(results, paid), loc="outside lower center", ncols=4, fontsize=SMALL, columnspacing=1.4)
    return figure


def _cell(left: Any, right: Any, results: Results, row: dict[str, Any], y: float) -> None:
    style = results.study.group(str(row["group"]))
    half, ahead = Z95 * row["se_narrowing"], row["gap_base"] <= 0
    left.plot([row["narrowing"] - half, row["narrowing"] + half], [y, y], color=style.color, lw=1.1, marker="none", zorder=2)
    face = "white" if ahead else style.color
    left.plot(row["narrowing"], y, marker=style.marker, ms=4.5, color=style.color, mfc=face, ls="none", zorder=3)
    right.barh(y, 100 * row["expected_by_chance"], height=0.62, color=CHANCE, zorder=1)
    right.plot(100 * row["shrunken_score"], y, marker="s", ms=4.6, mfc="white", mec=COLORS[0], ls="none", zorder=2)
    gate = str(row["gate_met"]) == "True"
    look = {"marker": "o", "color": COLORS[0]} if gate else {"marker": "x", "color": COLORS[1]}
    right.plot(100 * row["score"], y, ms=4.0, ls="none", zorder=3, **look)


def _keys(results: Results, paid: pd.DataFrame) -> list[Any]:
    from matplotlib.patches import Patch

    styles = [results.study.group(g) for g in results.study.group_ids if (paid["group"] == g).any()]
    start, top = (text.number(v) for v in _range(results))
    keys = [key(s.color, s.marker, s.label, line=True) for s in styles]
    if (paid["gap_base"] <= 0).any():
        keys.append(key(MUTED, "o", "open: group ahead at baseline", hollow=True))
    return [
        *keys, Patch(color=BAND, label=f"paid from {start}, in full from {top} points"), key(COLORS[0], "o", "earned"),
        key(COLORS[0], "s", "after shrinkage", hollow=True), Patch(color=CHANCE, label="expected by chance"),
        key(COLORS[1], "x", "nothing: gate not met"),
    ]  # fmt: skip


def _alt(paid: pd.DataFrame) -> str:
    ok = paid[paid["status"] == OK]
    lower = ok["narrowing"] - Z95 * ok["se_narrowing"]
    earning = ok["score"] > 0
    noise, part = int((earning & (lower <= 0)).sum()), shares(ok)
    median = text.number(100 * float(np.median(ok["expected_by_chance"])), 0)
    all_in, chance = (text.number(part[c], 0) for c in ("score", "expected_by_chance"))
    return (
        f"{int(earning.sum())} of {len(ok)} gaps would earn something, {noise} of them although their sampling interval reaches "
        f"zero; {int((lower > 0).sum())} of {len(ok)} narrow beyond sampling noise. In all {all_in}% of the maximum would be "
        f"earned, {chance}% by chance if nothing had changed (median gap {median}%)."
    )


def _note(results: Results, paid: pd.DataFrame) -> str:
    """What the marks are and which cells are absent; the formula stands under the table of payments."""
    plan, unit, noun = results.study.payment, results.study.info.unit_label, results.study.info.treatment_label
    assert plan is not None
    mark = f"Illustrative formula: the terms of the {noun}s are not public. " if plan.illustrative else ""
    ahead = " Open marks: the group was not behind at this system's own baseline." if (paid["gap_base"] <= 0).any() else ""
    zero = "" if plan.past_zero else " Of a gap that turns round only the part down to zero is paid for."
    return (
        f"{mark}A {unit}'s own change, no effect; bars: 95% sampling intervals.{zero} Formula, shrinkage and chance are "
        f"explained under the table of payments.{ahead} {_absent(results, paid)}{text.missing_note(paid)}"
        f"{text.synthetic_note(results)}"
    )


def _absent(results: Results, paid: pd.DataFrame) -> str:
    """Contracted systems and groups without a row, and why."""
    study, matrix = results.study, results.study.contract_matrix()
    groups = []
    for measure in study.measure_ids("contracted"):
        own = set(paid.loc[paid["measure_id"] == measure, "group"])
        lost = [text.group_name(results, g) for g in study.groups.compared if g not in own]
        if lost:
            groups.append(f"{text.measure_name(results, measure)}: {text.listing(lost)}")
    gone = sorted({results.label(s) for s in matrix["system_id"]} - set(paid["system"]))
    units = study.info.unit_label_plural
    said = f"No row without a baseline gap over all {units} ({'; '.join(groups)})." if groups else ""
    systems = f" {text.listing(gone)}: no measure with such a gap." if gone else ""
    return f"{said}{systems}"
