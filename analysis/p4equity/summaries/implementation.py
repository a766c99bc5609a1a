"""How the program was carried out: reach, adoption, coaching, grants, provider survey, interviews; one long table by arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from p4equity.dictionary import load_dictionary
from p4equity.estimates import NOT_ESTIMABLE, OK
from p4equity.summaries.interviews import interview_rows

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.study import Study

ARMS = ("all", "participating", "comparison")
EVERY = "all"
MONTHS = 12
ANSWERS = (1, 5)  # what lies outside is "do not know" or "refused"
BASIS = {
    "systems_contracted": "systems", "practices_in_contracted_systems": "practices", "denominator_under_contract": "members",
    "reports_delivered": "reports", "reports_opened": "reports", "users_per_opened_report": "reports",
    "systems_attending": "systems", "sessions": "sessions", "attendances": "persons",
    "grants": "grants", "amount_per_system": "systems", "grants_by_purpose": "grants",
    "amount_per_member": "systems", "mean_amount_per_member": "systems",
    "respondents": "respondents", "mean": "respondents", "agree": "respondents",
    "interviews": "interviews", "segments": "segments", "kappa": "decisions",
}  # fmt: skip


def implementation_table(study: Study, small: Mapping[str, pd.DataFrame], cell: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every indicator of the implementation study, by section, indicator, arm and item.

    small: the extract's tables stratified_report, ta_participation, grant, survey_response, interview and interview_code; an
    absent table gives no rows. cell: cells of the run, for reach. Arms are those of the study; excluded systems count nowhere.
    `n` counts what `basis` names (disclosure control looks at those in PEOPLE), `value` is a share in percent, a mean, or USD. A
    mean over no one is not_estimable, never 0.
    """
    import pandas as pd

    arms = {s.id: s.arm for s in study.systems if s.arm in ARMS}
    grants = partial(_grants, members=_members(study, cell, arms))
    rows: list[dict[str, Any]] = list(_reach(study, cell, arms)) if study.data.kind == "counts" else []
    for name, make in (
        ("stratified_report", _adoption),
        ("ta_participation", _coaching),
        ("grant", grants),
        ("survey_response", _survey),
    ):
        if name in small and len(small[name]):
            frame = small[name].assign(arm=small[name]["system_id"].map(arms))
            rows += make(frame, {arm: sum(arm in (EVERY, a) for a in arms.values()) for arm in ARMS})
    if "interview" in small and len(small["interview"]):
        rows += interview_rows(small["interview"], small.get("interview_code"), arms)
    columns = load_dictionary().table("implementation").names
    frame = pd.DataFrame([_finished(row) for row in rows], columns=list(columns))
    return frame.astype({"n": "Int64", "value": "float64"})


def _finished(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its basis and status: a value over an empty base is not estimable."""
    empty = row["unit"] is not None and row["value"] is None
    state = {"status": NOT_ESTIMABLE, "reason": "nothing to count"} if empty else {"status": OK, "reason": None}
    return {**row, "basis": BASIS[row["indicator"]], **state}


def _row(
    section: str, indicator: str, arm: str, n: int, value: float | None = None, unit: str | None = None, item: str = EVERY
) -> dict[str, Any]:
    return {"section": section, "indicator": indicator, "arm": arm, "item": item, "n": int(n), "value": value, "unit": unit}


def _by_arm(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Each arm's rows; rows of systems outside the study or excluded are in none."""
    for arm in ARMS:
        yield arm, frame[frame["arm"].notna() if arm == EVERY else frame["arm"] == arm]


def _percent(part: float, whole: float) -> float | None:
    return 100.0 * float(part) / float(whole) if whole else None


def _reach(study: Study, cell: pd.DataFrame | None, arms: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """Systems, practices and, by measure, the denominator under contract, as shares of all systems of the study."""
    contracted = {c.system_id for c in study.contracts if c.system_id in arms}
    yield _row("reach", "systems_contracted", EVERY, len(contracted), _percent(len(contracted), len(arms)), "percent of systems")
    if cell is None:
        return
    used = _primary(study, cell, arms)
    last = max(study.baseline.pre_years)
    used = used[used["year"] == last]
    practices = used[["system_id", "practice_id"]].drop_duplicates()
    mine = practices["system_id"].isin(contracted)
    yield _row(
        "reach",
        "practices_in_contracted_systems",
        EVERY,
        mine.sum(),
        _percent(mine.sum(), len(practices)),
        "percent of practices",
    )
    matrix = study.contract_matrix()
    for measure in study.measure_ids("contracted"):
        rows = used[used["measure_id"] == measure]
        paid = rows[rows["system_id"].isin(matrix.loc[matrix["measure_id"] == measure, "system_id"])]["den"].sum()
        total = rows["den"].sum()
        yield _row(
            "reach",
            "denominator_under_contract",
            EVERY,
            paid,
            _percent(paid, total),
            f"percent of the denominator in {last}",
            measure,
        )


def _adoption(frame: pd.DataFrame, _: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    """Stratified reports delivered and opened; people who opened one."""
    for arm, rows in _by_arm(frame):
        delivered, opened = rows["delivered"].fillna(False).astype(bool), rows["opened"].fillna(False).astype(bool)
        yield _row(
            "adoption", "reports_delivered", arm, delivered.sum(), _percent(delivered.sum(), len(rows)), "percent of reports due"
        )
        yield _row(
            "adoption",
            "reports_opened",
            arm,
            opened.sum(),
            _percent(opened.sum(), delivered.sum()),
            "percent of reports delivered",
        )
        users = rows.loc[opened, "n_users"].dropna()
        yield _row("adoption", "users_per_opened_report", arm, len(users), float(users.mean()) if len(users) else None, "persons")


def _coaching(frame: pd.DataFrame, systems: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    """Sessions attended and attendances, in total and a system."""
    for arm, rows in _by_arm(frame):
        there = rows.loc[rows["sessions"] > 0, "system_id"].nunique()
        yield _row("coaching", "systems_attending", arm, there, _percent(there, systems[arm]), "percent of systems")
        for indicator, column in (("sessions", "sessions"), ("attendances", "attendees")):
            total = rows[column].sum()
            yield _row("coaching", indicator, arm, total, float(total) / systems[arm] if systems[arm] else None, "a system")


def _grants(
    frame: pd.DataFrame, systems: Mapping[str, int], members: Mapping[str, tuple[str, float]]
) -> Iterable[dict[str, Any]]:
    """Grants and their amounts: in total, a system, an attributed member, and by purpose.

    members: arm and attributed members of each system. A member of the arm, and the mean of systems, which is what an estimate
    that weights systems compares; a system without a grant counts with zero.
    """
    for arm, rows in _by_arm(frame):
        amount = float(rows["amount"].sum())
        yield _row("grants", "grants", arm, len(rows), amount, "USD")
        yield _row(
            "grants", "amount_per_system", arm, systems[arm], amount / systems[arm] if systems[arm] else None, "USD a system"
        )
        own = {s: n for s, (of, n) in members.items() if arm in (EVERY, of) and n > 0}
        if own:
            given = rows.groupby("system_id")["amount"].sum().reindex(list(own), fill_value=0.0).to_numpy(float)
            each = np.array(list(own.values()))
            yield _row("grants", "amount_per_member", arm, len(own), given.sum() / each.sum(), "USD a member")
            mean = float((given / each).mean())
            yield _row("grants", "mean_amount_per_member", arm, len(own), mean, "USD a member, mean of systems")
        for purpose, part in rows.groupby("purpose", sort=True):
            yield _row("grants", "grants_by_purpose", arm, len(part), float(part["amount"].sum()), "USD", str(purpose))


def _members(study: Study, cell: pd.DataFrame | None, arms: Mapping[str, str]) -> dict[str, tuple[str, float]]:
    """Arm and attributed members of each system of the study: member-months a month, the mean of the weights years."""
    spending, years = study.measure_sets.spending, study.baseline.weights_years
    if cell is None or spending is None:
        return {}
    used = _primary(study, cell, arms)
    used = used[(used["measure_id"] == spending) & used["year"].isin(years)]
    months = used.groupby("system_id")["den"].sum() / (MONTHS * len(years))
    return {s: (arms[s], float(months.get(s, 0.0))) for s in arms}


def _primary(study: Study, cell: pd.DataFrame, arms: Mapping[str, str]) -> pd.DataFrame:
    """Cells of the systems of the study, by the primary practice map and race version."""
    version = study.race.primary if study.race else "frozen"
    return cell[(cell["map"] == study.population.map) & (cell["race_version"] == version) & cell["system_id"].isin(list(arms))]


def _survey(frame: pd.DataFrame, _: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    """Weighted mean and share agreeing (4 or 5) of each item, over respondents who gave an answer; the last wave counts."""
    last = frame[frame["wave"] == frame["wave"].max()]
    for arm, rows in _by_arm(last):
        yield _row("survey", "respondents", arm, rows["respondent_id"].nunique())
        for item, answers in rows.groupby("item_id", sort=True):
            given = answers[answers["response"].between(*ANSWERS)]
            weight = given["weight"].fillna(0.0).to_numpy(float)
            response = given["response"].to_numpy(float)
            n = len(given) if weight.sum() > 0 else 0
            mean = float(weight @ response / weight.sum()) if n else None
            agree = 100 * float(weight @ (response >= 4) / weight.sum()) if n else None
            yield _row("survey", "mean", arm, n, mean, "scale from 1 to 5", str(item))
            yield _row("survey", "agree", arm, n, agree, "percent answering 4 or 5", str(item))
