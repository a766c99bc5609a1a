"""F8: narrowing with its noise, and share of the maximum earned against the share expected by chance, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import COLORS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.t8_payments import formula_note, payments

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F8", "figure"
Z95 = 1.959964
ROW = 0.2
COLUMNS = (
    "measure_id", "group", "narrowing", "se_narrowing", "gate_met", "score", "shrunken_score", "expected_by_chance", "status",
    "reason",
)  # fmt: skip


def build(results: Results) -> Exhibit | None:
    """Left: narrowing and 95% sampling interval with the paid range; right: earned, shrunken and by chance, as shares."""
    paid = payments(results)
    if paid.empty or not (paid["status"] == "ok").any():
        results.skip(ID, "the study has no payment formula, or nothing could be paid")
        return None
    paid = paid.assign(system=[results.label(s) for s in paid["system_id"]])
    order = {m: i for i, m in enumerate(results.study.measure_ids("contracted"))}
    groups = {g: i for i, g in enumerate(results.study.group_ids)}
    key = paid["measure_id"].map(order) * 100 + paid["group"].map(groups)
    paid = paid.assign(key=key).sort_values(["key", "system"], kind="stable").drop(columns="key").reset_index(drop=True)
    with exhibit_style():
        figure = _draw(results, paid)
    data = paid[["system", *COLUMNS]]
    title = "Payment and noise: narrowing of each gap paid on, and the share of the maximum earned and expected by chance"
    return Exhibit(ID, "figure", title, _alt(paid), formula_note(results, paid), (), data, figure)


def _draw(results: Results, paid: pd.DataFrame) -> Any:
    plan = results.study.payment
    assert plan is not None
    figure = new_figure(0.95 + ROW * (len(paid) + paid["measure_id"].nunique()))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1.0))
    y, labels, previous = 0.0, [], ""
    for row in paid.to_dict("records"):
        if row["measure_id"] != previous:
            labels.append((y, text.measure_name(results, row["measure_id"]), True))
            y, previous = y - 1, row["measure_id"]
        labels.append((y, f"{row['system']}, {text.group_name(results, row['group'])}", False))
        if row["status"] == "ok":
            _cell(left, right, results, row, y)
        else:
            left.text(
                0.02,
                y,
                text.STATUS.get(str(row["status"]), ""),
                fontsize=6.8,
                va="center",
                transform=left.get_yaxis_transform(),
                color="#52606d",
            )
        y -= 1
    top = plan.threshold + plan.cap / plan.slope if plan.slope else plan.threshold
    left.axvspan(plan.threshold, top, color="#e7f4ee", lw=0, zorder=0)
    left.axvline(0, color="#52606d", lw=0.8)
    reach = 1.5 * float(paid["narrowing"].abs().max())
    left.set_xlim(-reach, reach)
    left.set_xlabel("Narrowing, points\nwidens ←      → narrows")
    right.set_xlim(-4, 104)
    right.set_xlabel("Share of the maximum, %")
    left.set_ylim(y + 0.4, 0.6)
    left.set_yticks([p for p, _, _ in labels], [name for _, name, _ in labels], fontsize=7)
    for tick, (_, _, heading) in zip(left.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
        ax.grid(False, axis="y")
        ax.grid(True, axis="x")
    figure.legend(handles=_legend(), loc="outside upper center", ncols=4, fontsize=7.5)
    return figure


def _cell(left: Any, right: Any, results: Results, row: dict[str, Any], y: float) -> None:
    style = results.study.group(str(row["group"]))
    half = Z95 * row["se_narrowing"]
    left.plot([row["narrowing"] - half, row["narrowing"] + half], [y, y], color=style.color, lw=1.1, marker="none")
    left.plot(row["narrowing"], y, marker=style.marker, ms=4.5, color=style.color, ls="none")
    right.barh(y, 100 * row["expected_by_chance"], height=0.62, color="#d3d8de", zorder=1)
    right.plot(100 * row["shrunken_score"], y, marker="s", ms=4.2, mfc="white", mec=COLORS[0], ls="none", zorder=2)
    gate = str(row["gate_met"]) == "True"
    right.plot(
        100 * row["score"], y, marker="o" if gate else "x", ms=4.2, color=COLORS[0] if gate else COLORS[1], ls="none", zorder=3
    )


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=COLORS[0], marker="o", ms=4.2, ls="none", label="earned"),
        Line2D([], [], color=COLORS[1], marker="x", ms=4.2, ls="none", label="gate not met"),
        Line2D([], [], mfc="white", mec=COLORS[0], marker="s", ms=4.2, ls="none", label="after shrinkage"),
        Patch(color="#d3d8de", label="expected by chance"),
    ]


def _alt(paid: pd.DataFrame) -> str:
    ok = paid[paid["status"] == "ok"]
    half = Z95 * ok["se_narrowing"]
    clear = int((ok["narrowing"] - half > 0).sum())
    earning = ok[ok["score"] > 0]
    noise = int((earning["narrowing"] - Z95 * earning["se_narrowing"] <= 0).sum())
    median = text.number(100 * float(np.median(ok["expected_by_chance"])), 0)
    return (
        f"{len(earning)} of {len(ok)} gaps would earn something, {noise} of them although their interval includes zero; {clear} "
        f"narrow beyond sampling noise. With no true change the median gap would still earn {median}% of its maximum."
    )
