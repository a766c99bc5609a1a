"""Settings of the planted exit and of practices that change hands, recovered from what extracts and their cells show."""

from __future__ import annotations

import numpy as np
import pandas as pd
from member_extracts import Extract, Found, found, share
from numpy.typing import NDArray
from p4equity.evaluation.context import POINTS
from p4equity.summaries.movers import movers_table
from p4equity.synthetic.places import PEDIATRIC

ARMS = ("participating", "comparison", "outside")
GROWN = 18
Array = NDArray[np.float64]


def exits(extract: Extract) -> list[Found]:
    """Practices sold and closed, members who moved, and who cares for them a year later, against [exit_flows]."""
    flows = extract.planted.truth.exit_flows
    assert flows is not None
    leave = extract.study.exits[0]
    spans = extract.table("practice_system_span")
    theirs = spans[(spans["system_id"] == leave.system_id) & (pd.to_datetime(spans["start"]).dt.year < leave.date.year)]
    after = spans[(pd.to_datetime(spans["start"]) >= pd.Timestamp(leave.date)) & (spans["change_type"] == "sale")]
    bought = theirs["practice_id"].isin(set(after["practice_id"]))
    used = extract.table("attribution").query(f"year > {leave.date.year}")["practice_id"]
    gone = ~theirs["practice_id"].isin(set(used)) & ~bought
    out = [
        share("exit_flows", "practices sold", flows.sold_share, bought.sum(), len(theirs)),
        share("exit_flows", "practices closed", flows.closed_share, gone.sum(), len(theirs)),
    ]
    return out + _members(extract)


def _members(extract: Extract) -> list[Found]:
    """Of members still covered a year later, percent in another practice and in each arm, given what became of practices."""
    leave, seen = extract.study.exits[0], movers_table(extract.study, extract.profile)
    seen = seen[(seen["years_later"] == 1) & (seen["place"] != "not covered")]
    total = seen["n"].sum()
    expected = _expected(extract, leave.system_id, leave.date.year)
    out = []
    for (practice, arm), planted in expected.items():
        here = seen[(seen["practice"] == practice) & (seen["place"] == arm)]["n"].sum()
        out.append(share("exit_flows", f"members, {practice} practice, {arm}", planted, here, total))
    moved, planted = seen.loc[seen["practice"] == "other", "n"].sum(), sum(v for (p, _), v in expected.items() if p == "other")
    return [*out, share("exit_flows", "members in another practice", planted, moved, total)]


def _expected(extract: Extract, system: str, year: int) -> dict[tuple[str, str], float]:
    """Share of members by practice (same or other) and its arm on 31 December of the exit's year, by the plan's settings.

    Each of the system's practices loses all members when it closes and the moving share otherwise; those who have outgrown a
    practice for children go, too. Who goes chooses among practices that take newcomers, by their attraction.
    """
    plan, study = extract.plan, extract.study
    places, t = plan.places, list(study.years).index(year)
    before = extract.table("attribution").query(f"year == {year - 1} and system_id == '{system}'")
    born = extract.table("member").set_index("member_id")["birth_year"]
    still = set(extract.table("attribution").query(f"year == {year}")["member_id"])
    before = before[before["member_id"].isin(still)]
    number = {p: i for i, p in enumerate(places.ids)}
    at = before["practice_id"].map(number).to_numpy()
    age = year - before["member_id"].map(born).to_numpy()
    closed = places.closed[at] <= year
    outgrown = (places.kind[at] == PEDIATRIC) & (age > plan.people.child_age_max)
    moves = np.where(closed | outgrown, 1.0, plan.people.exit_moving_share)
    arms = {s.id: s.arm for s in study.systems}
    arm_of = np.array([ARMS.index(arms[plan.system_ids[o]]) if o < len(plan.system_ids) else 2 for o in places.owner[:, t]])
    open_ = np.minimum(places.closed, places.exited) > year
    to = np.array([[(places.weight[:, kind] * open_)[arm_of == a].sum() for a in range(3)] for kind in (0, 1)])
    to /= to.sum(axis=1, keepdims=True)
    chosen = to[(age >= GROWN).astype(int)]
    result = {}
    for a, arm in enumerate(ARMS):
        result["same", arm] = float(((1 - moves) * (arm_of[at] == a)).mean())
        result["other", arm] = float((moves * chosen[:, a]).mean())
    return result


def access(shocked: Extract, unshocked: Extract) -> list[Found]:
    """The shock at former practices: points on every rate there from the exit on, beside the same members without it."""
    flows = shocked.planted.truth.exit_flows
    assert flows is not None
    leave, study = shocked.study.exits[0], shocked.study
    panels = [e.context.panel((study.population.map, "frozen")) for e in (shocked, unshocked)]
    years = [t for t, y in enumerate(panels[0].years) if y >= leave.date.year]
    s, moved = panels[0].systems.index(leave.system_id), []
    for measure in study.measure_ids("contracted"):
        at = [panels[0].index(measure, g) for g in study.scheme.ids]
        den, num = (np.array([getattr(p, name)[s][at][:, years].sum() for p in panels]) for name in ("den", "num"))
        moved.append(POINTS * float(num[0] / den[0] - num[1] / den[1]))
    carried = [
        e.answers("sensitivity_carry_exits", measures=("COL_50_75",), also_pooled=False)["COL_50_75", "gap", "pooled"]["estimate"]
        for e in (shocked, unshocked)
    ]
    return [
        found("exit_flows", "rates at former practices", flows.access_shock, float(np.mean(moved))),
        found("exit_flows", "gap when the system is carried on", 0.0, carried[0] - carried[1]),
    ]


def practice_changes(extract: Extract) -> list[Found]:
    """Practices that joined late, and that were sold, of systems that stay."""
    model, study = extract.planted.truth.practice_changes, extract.study
    assert model is not None
    leaving, first = {e.system_id for e in study.exits}, study.years[0]
    spans = extract.table("practice_system_span")
    home = spans.sort_values("start").groupby("practice_id").first()
    stays = home[~home["system_id"].isin(leaving)]
    start = pd.to_datetime(stays["start"]).dt.year
    sold = spans[(spans["change_type"] == "sale")]["practice_id"]
    late, changed = (start > first), stays.index.isin(set(sold))
    return [
        share("practice_changes", "joined", model.joined_share, late.sum(), len(stays)),
        share("practice_changes", "sold", model.sold_share, changed.sum(), len(stays)),
    ]
