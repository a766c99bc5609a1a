"""What the exhibits on calibration share: words for settings, the summary of a study's primary questions, and their footnote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from p4equity.calibration.methods import MOST
from p4equity.calibration.settings import PLACEBO_DATE, VARYING
from p4equity.calibration.summary import calibration_summary
from p4equity.estimates import OK
from p4equity.exhibits import text
from p4equity.exhibits.select import measure_analysis, pooled_analysis

if TYPE_CHECKING:
    from p4equity.results import Results

SETTINGS = {
    "shocks_estimate": "shocks as estimated",
    "shocks_low": "shocks at the lower end",
    "shocks_high": "shocks at the upper end",
    "heavy_tails": "upper end, heavy tails",
    "shocks_grow_with_size": "upper end, growing with size",
    "shocks_shared": "upper end, shared by measures",
    "stated_half": "stated variances half the true",
    "stated_twice": "stated variances twice the true",
    "placebo_contracts": "contracts reassigned",
    VARYING[0]: "effects vary, SD 1 point",
    VARYING[1]: "effects vary, SD 2 points",
    PLACEBO_DATE: "placebo launch, own data",
}


def calibrated(results: Results, exhibit_id: str) -> pd.DataFrame | None:
    """The rows that could be calibrated; None, with the reason recorded, when there is none."""
    table = results.table("calibration")
    if table.empty or not (table["status"] == OK).any():
        why = "; ".join(dict.fromkeys(table["reason"].dropna())) if len(table) else "the run has no calibration"
        results.skip(exhibit_id, f"no method could be tried on this study's cells: {why}")
        return None
    return table


def summary(results: Results, table: pd.DataFrame) -> pd.DataFrame:
    """One row a question and method."""
    return calibration_summary(table, results.study.inference.alpha)


def main_questions(results: Results) -> list[str]:
    """Ids of the pooled question and of the question by measure, with the registered baseline."""
    return [a.id for a in (pooled_analysis(results.study), measure_analysis(results.study)) if a is not None]


def main_method(results: Results) -> str:
    """The primary inference that the plan names first."""
    return results.study.inference.primary[0]


def note(results: Results, table: pd.DataFrame) -> str:
    """How the data were made and what the numbers are."""
    study = results.study
    label, units = study.info.treatment_label, study.info.unit_label_plural
    ok = table[table["status"] == OK]
    draws = f"{int(ok['draws'].max()):,}"
    worst = text.number(100 * float(ok["rejection_error"].max()), 1)
    ways = int(ok["n_assignments"].max())
    return (
        f"{draws} simulated data sets a setting on this study’s own cells: its {units}, missing cells, {label}s and stated "
        "sampling variances with their overlap. Yearly shocks to the gap, half of which carry over to the next year, vary as the "
        "baseline years do beyond sampling (upper and lower end: of a 90% interval); no change of the study is read. Monte Carlo "
        f"error: at most {worst} points. Placebo launch: the last baseline year of the study’s own data against earlier ones, "
        f"share of reassigned {label}s that reject; one data set, so its own chance is not in the number."
        + (f" Of more than {MOST:,} assignments a permutation takes {MOST:,} at random." if ways > MOST else "")
        + text.synthetic_note(results)
    )
