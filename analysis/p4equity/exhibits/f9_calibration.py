"""F9: how often each method rejects a true null on this study's own cells, setting by setting, one panel a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.calibration.settings import PLACEBO_DATE, VARYING
from p4equity.estimates import OK
from p4equity.exhibits import text
from p4equity.exhibits.base import COLORS, MARKERS, Exhibit, exhibit_style, new_figure
from p4equity.exhibits.calibration_parts import SETTINGS, calibrated, main_method, main_questions, summary
from p4equity.exhibits.figure_parts import INK, MUTED, SMALL, key
from p4equity.exhibits.tabular import capital

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "F9", "figure"
ROW, SHIFT = 0.24, 0.24  # inches a setting; distance of methods within a setting
MOST = 3  # methods drawn: the primary ones and the first cross-checks
COLUMNS = ("analysis_id", "measure_id", "setting", "inference", "rejects_percent", "error_percent", "draws")


def build(results: Results) -> Exhibit | None:
    """Rejection rates in percent with two Monte Carlo errors to each side; the level of the plan is the vertical line."""
    table = calibrated(results, ID)
    if table is None:
        return None
    plan = results.study.inference
    known = list(dict.fromkeys(table.loc[table["status"] == OK, "inference"]))
    named = [str(m) for m in (*plan.primary, *plan.cross_check)]
    wanted = [m for m in named if m in known][:MOST] or known[:MOST]
    first = main_questions(results)
    rows = table[table["analysis_id"].isin(first) & table["inference"].isin(wanted) & (table["status"] == OK)]
    if rows.empty:
        results.skip(ID, "no primary question could be calibrated")
        return None
    with exhibit_style():
        figure = _draw(results, rows, wanted)
    title = "How often a method rejects a true null on this study’s own cells, setting by setting"
    words = (
        "Dots: share of simulated data sets in which a method rejects; bars: two Monte Carlo errors to each side; vertical line: "
        f"the level of the plan; over each panel: {results.study.info.unit_label_plural} with a "
        f"{results.study.info.treatment_label} of all. Simulated on this study’s own cells, with "
        f"shocks as in the baseline years; the table in this section says how.{text.synthetic_note(results)}"
    )
    data = rows.assign(rejects_percent=100 * rows["rejection"], error_percent=100 * rows["rejection_error"])
    return Exhibit(ID, "figure", title, _alt(results, table), words, (), data[list(COLUMNS)], figure)


def _draw(results: Results, rows: pd.DataFrame, wanted: list[str]) -> Any:
    settings = [s for s in SETTINGS if (rows["setting"] == s).any()]
    asked = list(dict.fromkeys(zip(rows["analysis_id"], rows["measure_id"], strict=True)))
    figure = new_figure(1.15 + ROW * len(settings))
    panels = figure.subplots(1, len(asked), sharey=True, sharex=True, squeeze=False)[0]
    top = 100 * float((rows["rejection"] + 2 * rows["rejection_error"].fillna(0)).max())
    looks = {m: (COLORS[i], MARKERS[i]) for i, m in enumerate(wanted)}
    for ax, (analysis, measure) in zip(panels, asked, strict=True):
        own = rows[(rows["analysis_id"] == analysis) & (rows["measure_id"] == measure)]
        for row in own.to_dict("records"):
            place = wanted.index(str(row["inference"])) - (len(wanted) - 1) / 2
            _dot(ax, row, -settings.index(str(row["setting"])) - SHIFT * place, *looks[str(row["inference"])])
        ax.axvline(100 * results.study.inference.alpha, color=INK, lw=0.8, zorder=1)
        for other in (VARYING[0], PLACEBO_DATE):  # other nulls below a line
            if other in settings:
                ax.axhline(0.5 - settings.index(other), color=MUTED, lw=0.5, zorder=0)
        arms = f"{int(own['n_treated_clusters'].iloc[0])} of {int(own['n_clusters'].iloc[0])}"
        ax.set_title(f"{_two_lines(text.measure_name(results, str(measure)))}\n{arms}", fontsize=SMALL)
        ax.grid(False, axis="y")
        ax.grid(True, axis="x")
        ax.tick_params(axis="y", length=0)
    panels[0].set_xlim(0, max(top * 1.03, 10))
    panels[0].set_ylim(0.6 - len(settings), 0.6)
    panels[0].set_yticks([-i for i in range(len(settings))], [capital(SETTINGS[s]) for s in settings], fontsize=SMALL)
    panels[len(panels) // 2].set_xlabel("Rejects, % of data sets")
    handles = [key(*looks[m], capital(text.method(m)), line=True) for m in wanted]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(wanted), fontsize=SMALL)
    return figure


def _dot(ax: Any, row: dict[str, Any], y: float, color: str, marker: str) -> None:
    rate, error = 100 * float(row["rejection"]), row["rejection_error"]
    if not text.is_missing(error):
        half = 200 * float(error)
        ax.plot([max(rate - half, 0), rate + half], [y, y], color=color, lw=1.0, marker="none", zorder=2)
    ax.plot(rate, y, marker=marker, ms=3.6, color=color, mec="white", mew=0.4, ls="none", zorder=3, clip_on=False)


def _two_lines(name: str) -> str:
    """A long name broken near its middle."""
    words = name.split()
    if len(words) < 2:
        return name + "\n"
    cut = min(range(1, len(words)), key=lambda i: abs(len(" ".join(words[:i])) - len(" ".join(words[i:]))))
    return f"{' '.join(words[:cut])}\n{' '.join(words[cut:])}"


def _alt(results: Results, table: pd.DataFrame) -> str:
    """Range of the primary method's rates without effects, and the highest of any other."""
    found = summary(results, table)
    found = found[(found["status"] == OK) & found["analysis_id"].isin(main_questions(results))]
    own = found[found["inference"] == main_method(results)]
    rest = found[found["inference"] != main_method(results)]
    level = text.number(100 * results.study.inference.alpha, 0)
    said = []
    if len(own):
        low, high = (text.number(100 * float(own["worst"].agg(end))) for end in ("min", "max"))
        said.append(
            f"The primary method’s worst case without an effect is {low} to {high}% over the questions, {level}% being meant"
        )
    if len(rest):
        top = rest.loc[rest["worst"].idxmax()]
        name = text.method(top["inference"])
        where = text.measure_name(results, str(top["measure_id"]))
        said.append(f"of the others {name} goes highest, {text.number(100 * float(top['worst']))}% ({where})")
    return "; ".join(said) + "."
