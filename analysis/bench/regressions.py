"""The toolkit's answers that other libraries give too, each from cells on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from p4equity.study import Study

from bench.question import Question, primary_question, staggered_question

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("measure_id", "system_id", "group", "year")


def read_question(cells: Path, study: Study, question: Question) -> pd.DataFrame:
    """The cells of a question added up over practices and strata: rate, den and cohort by measure, system, group and year."""
    from p4equity.cells import cell_sums

    where: dict[str, Sequence[str | int]] = {
        "map": [study.population.map], "race_version": [study.race.primary if study.race else "frozen"],
        "measure_id": question.measures, "group": question.groups, "year": question.years,
    }  # fmt: skip
    sums, cohorts = cell_sums(cells, KEYS, where), question.cohorts
    at = list(
        zip(*(sums[key].to_numpy(dtype=object) for key in ("measure_id", "system_id", "year")), strict=True)
    )  # not value by value
    sums = sums.assign(rate=sums["num"] / sums["den"], cohort=np.array([cohorts.get(key) for key in at], float))
    return sums[np.array([key in cohorts for key in at])]


def primary_from_cells(cells: Path, study: Study, spec: Mapping[str, Any]) -> dict[str, float]:
    """Coefficient and clustered error of the primary regression, by the estimator and small-sample convention asked for."""
    import p4equity

    question = primary_question(study)
    frame = read_question(cells, study, question)
    groups: dict[str, Any] = (
        {"group": "group", "reference": question.groups[0]} if spec["estimator"] == "triple_difference" else {}
    )
    row = p4equity.fit(
        spec["estimator"], frame, outcome="rate", unit="system_id", within="measure_id", time="year", cohort="cohort",
        weights="den", weights_type="fweights", inference=spec["variance"], ssc=spec["ssc"], **groups,
    ).iloc[0]  # fmt: skip
    # The toolkit's gap is reference minus group; the regression on members has the group's own effect.
    sign = -1.0 if groups else 1.0
    return {"estimate": sign * float(row["estimate"]), "std_error": float(row["std_error"]), "members": int(row["n_members"])}


def group_time_from_cells(cells: Path, study: Study) -> list[dict[str, Any]]:
    """Effect and clustered error of every cohort and period on a rate, from repeated cross-sections."""
    import p4equity

    frame = read_question(cells, study, staggered_question(study))
    answers = p4equity.fit(
        "group_time", frame, outcome="rate", unit="system_id", time="year", cohort="cohort", weights="den", cluster="system_id",
        panel=False, inference="analytical",
    )  # fmt: skip
    systems, numbers = int(frame["system_id"].nunique()), ("estimate", "std_error")
    kept = answers[(answers["interval"] == "pointwise") & answers["cohort"].notna() & answers["period"].notna()]
    return [
        {"cohort": int(r["cohort"]), "period": int(r["period"]), "systems": systems, **{k: r[k] for k in numbers}}
        for r in kept[["cohort", "period", *numbers]].to_dict("records")
    ]


def gap_panels(cells: Path, study: Study, target: Path) -> int:
    """One row a measure, compared group, system and year: gap, treated or not; systems with all years. Returns their number."""
    import pandas as pd

    question = primary_question(study)
    frame = read_question(cells, study, question)
    wide = frame.pivot_table(index=["measure_id", "system_id", "year"], columns="group", values="rate").reset_index()
    parts = []
    for measure, rows in wide.groupby("measure_id"):
        for group in question.groups[1:]:
            own = rows[["system_id", "year"]].assign(measure_id=measure, group=group, gap=rows[question.groups[0]] - rows[group])
            own = own.dropna()
            parts.append(own[own.groupby("system_id")["year"].transform("size") == own["year"].nunique()])
    out = pd.concat(parts, ignore_index=True).merge(question.rows, on=["measure_id", "system_id", "year"])
    out["treated"] = (out["year"] >= out["cohort"]).fillna(False).astype(float)
    out.to_parquet(target, index=False)
    return len(out)


def bootstrap_gaps(gaps: Path, draws: int) -> list[dict[str, Any]]:
    """t statistic and p value of the restricted wild bootstrap, by measure and group; both sides read the same panels."""
    import p4equity
    import pandas as pd

    out = []
    for (measure, group), rows in pd.read_parquet(gaps).groupby(["measure_id", "group"]):
        row = p4equity.fit(
            "did", rows, outcome="gap", unit="system_id", time="year", cohort="cohort", inference="wild_bootstrap", draws=draws,
            wild_weights="webb", ssc="full",
        ).iloc[0]  # fmt: skip
        found = {"status": row["status"], "statistic": row["statistic"], "p_value": row["p_value"]}
        out.append({"measure": measure, "group": group, **found})
    return out
