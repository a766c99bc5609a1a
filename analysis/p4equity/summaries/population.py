"""Who is in the study: flow chart, baseline characteristics and the sources of race and ethnicity, by arm."""

from __future__ import annotations

import numpy as np
import pandas as pd

from p4equity.diagnostics.findings import standardized_differences
from p4equity.disclosure.marks import SMALL, small
from p4equity.estimates import SUPPRESSED
from p4equity.evaluation.context import Context
from p4equity.study import Study

ARMS = ("participating", "comparison")
CATEGORY = "race_category"  # as recorded, before groups are formed


def _arm(study: Study) -> dict[str, str]:
    return {s.id: s.arm for s in study.systems}


def flow_table(study: Study, flow: pd.DataFrame) -> pd.DataFrame:
    """Members at each step by arm, group and year, with those lost since the step before. Arm `none`: not yet in a system."""
    arms = _arm(study)
    named = flow.assign(arm=[arms.get(s, "none") if isinstance(s, str) else "none" for s in flow["system_id"]])
    keys = ["step", "label", "arm", "group", "year"]
    parts = [named, named.assign(group="all"), named.assign(arm="all"), named.assign(arm="all", group="all")]
    table = pd.concat([p.groupby(keys, as_index=False)["n"].sum() for p in parts], ignore_index=True)
    table = table.sort_values(["arm", "group", "year", "step"], ignore_index=True)
    before = table.groupby(["arm", "group", "year"])["n"].shift()
    return table.assign(n=table["n"].astype("int64"), dropped=(before - table["n"]).astype("Int64"))


def profile_table(context: Context, profile: pd.DataFrame) -> pd.DataFrame:
    """Baseline characteristics by arm in the last baseline year: n, share within the arm, standardized difference.

    Recorded categories of race and ethnicity are counted where a group holds several of them; the others are groups already.
    """
    study = context.study
    year = max(study.baseline.pre_years)
    rows = profile[(profile["map"] == study.population.map) & (profile["year"] == year)]
    if study.race:
        rows = rows[rows["race_version"] == study.race.primary]
    rows = rows[~rows["characteristic"].isin(["retention"])]
    race = rows[rows["characteristic"] == "sex"].assign(characteristic="race_ethnicity", level=lambda f: f["group"])
    rows = pd.concat([race, rows], ignore_index=True)
    arms = _arm(study)
    rows = rows.assign(arm=rows["system_id"].map(arms))
    rows = rows[rows["arm"].isin(ARMS)]
    out = []
    for name, part in rows.groupby("characteristic", sort=False):
        counts = part.pivot_table(index="level", columns="arm", values="n", aggfunc="sum", fill_value=0).reindex(
            columns=list(ARMS), fill_value=0
        )
        smd = standardized_differences(counts[ARMS[0]], counts[ARMS[1]])
        if name == CATEGORY:
            counts = counts[counts.index.isin(_pooled_categories(study))]
            total = _arm_totals(rows)
        else:
            total = counts.sum()
        for level, row in counts.iterrows():
            for arm in ARMS:
                out.append((name, level, arm, int(row[arm]), float(row[arm] / total[arm]), float(smd.loc[level])))
    return pd.DataFrame(out, columns=["characteristic", "level", "arm", "n", "share", "smd"])


def _pooled_categories(study: Study) -> list[str]:
    """Recorded categories that share their group with others, in the order of the scheme."""
    groups = study.scheme.groups if study.scheme else ()
    return [category for group in groups if len(group.categories) > 1 for category in group.categories]


def _arm_totals(rows: pd.DataFrame) -> pd.Series:
    return rows[rows["characteristic"] == "sex"].groupby("arm")["n"].sum()


def race_source_table(study: Study, profile: pd.DataFrame) -> pd.DataFrame:
    """Self-reported share of race and ethnicity by arm, group and year, in the versions in use when each year was reported."""
    return _race_sources(study, profile, ["arm"])


def race_source_systems(study: Study, profile: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """The same by system in whole percent and without counts; hidden where a count behind a share is small."""
    table = _race_sources(study, profile, ["arm", "system_id"])
    n, own = table["n"], table["n_self_reported"]
    hidden = small(n, threshold) | small(own, threshold) | small(n - own, threshold)
    share = (100 * own / n.where(n > 0)).round()
    return table.drop(columns=["n", "n_self_reported"]).assign(
        self_reported_share=share.mask(hidden), status=np.where(hidden, SUPPRESSED, "ok"),
        reason=pd.Series(np.where(hidden, SMALL, ""), index=table.index, dtype=object).replace("", None),
    )  # fmt: skip


def _race_sources(study: Study, profile: pd.DataFrame, where: list[str]) -> pd.DataFrame:
    if study.race is None:
        return pd.DataFrame(columns=[*where, "group", "year", "n", "n_self_reported"]).astype(
            {"n": float, "n_self_reported": float}
        )
    rows = profile[
        (profile["characteristic"] == "race_source")
        & (profile["race_version"] == "contemporaneous")
        & (profile["map"] == study.population.map)
    ]
    arms = _arm(study)
    rows = rows.assign(arm=rows["system_id"].map(arms), own=rows["n"].where(rows["level"] == "self_report", 0))
    rows = rows[rows["arm"].isin(ARMS)]
    both = pd.concat([rows, rows.assign(group="all")], ignore_index=True)
    table = both.groupby([*where, "group", "year"], as_index=False).agg(n=("n", "sum"), n_self_reported=("own", "sum"))
    return table.astype({"n": "int64", "n_self_reported": "int64"})
