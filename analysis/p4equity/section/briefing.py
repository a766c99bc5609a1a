"""One system's confidential briefing: what it may read from its own numbers, and what it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.errors import UsageError, did_you_mean
from p4equity.section import phrases
from p4equity.section.answers import excludes_zero
from p4equity.section.payments import payments
from p4equity.section.systems import RELIABLE, changes, reliability

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section


def chosen(s: Section) -> str:
    """The system of the briefing; without a parameter the first participating one, so that the notebook opens by itself.

    Raises UsageError for a system that does not participate.
    """
    known = [x.id for x in s.study.arm_systems("participating")]
    if not s.system_id:
        return str(known[0])
    if s.system_id not in known:
        raise UsageError(
            "no such participating system", where="system_id", found=s.system_id, fix=did_you_mean(s.system_id, known)
        )
    return s.system_id


def contract(s: Section, system_id: str) -> str:
    """Measures under contract and since when."""
    matrix = s.study.contract_matrix()
    own = matrix[matrix["system_id"] == system_id]
    parts = [f"{phrases.lower(phrases.measure(s, m))} (from {c})" for m, c in zip(own["measure_id"], own["cohort"], strict=True)]
    left = s.study.exit_year(system_id)
    return f"Your {s.study.info.treatment_label} names {phrases.join(parts)}." + (
        f" Your years count until {left - 1}." if left else ""
    )


def in_short(s: Section, system_id: str) -> str:
    """Two or three sentences: what moved, what cannot be told, what pay would hang on."""
    items = [(m, raw, reliability(shrunken)) for m, _, raw, shrunken in changes(s, system_id)]
    ok = [(m, raw, r) for m, raw, r in items if raw["status"] == "ok"]
    if not ok:
        return "**No measure of yours has a number.** The reasons stand below."
    clear = [(m, raw, r) for m, raw, r in ok if excludes_zero(raw)]
    text = (
        f"**For {phrases.count(len(ok) - len(clear))} of your {phrases.plural(len(ok), 'measure')} the data cannot tell whether"
        " your gaps moved differently from elsewhere.**"
        if clear
        else (
            "**The data cannot tell whether your gaps moved differently from elsewhere, on"
            f" {'any of your ' + phrases.plural(len(ok), 'measure') if len(ok) > 1 else 'your measure'}.**"
        )
    )
    for measure, raw, r in clear:
        word = "narrower" if raw["estimate"] < 0 else "wider"
        name = phrases.lower(phrases.measure(s, measure))
        text += f" On {name} your gap became {word} than elsewhere by more than sampling error alone explains"
        text += (
            "."
            if r is not None and r >= RELIABLE
            else (
                f"; but the reliability of that change is {'not known' if r is None else phrases.plain(r, 2)}, so whether it is"
                " more than chance the data cannot tell."
            )
        )
    strong = [m for m, _, r in ok if r is not None and r >= RELIABLE]
    text += (
        " None of these changes is reliable enough to rank or pay a single system on."
        if not strong
        else f" Reliable enough to compare systems on: {phrases.measures(s, strong)}."
    )
    return text


def levels(s: Section, system_id: str) -> pd.DataFrame:
    """Rates of each group before and under contract from the payment table, with gaps; negative: the gap became narrower."""
    import pandas as pd

    table = payments(s, system_id)
    rows = []
    for r in [] if table is None else table.to_dict("records"):
        name = f"{phrases.measure(s, str(r['measure_id']))}, {phrases.group(s, str(r['group']))}"
        if r["status"] != "ok":
            rows.append([name, str(r["status"]).replace("_", " "), "–", "–", "–", "–"])
            continue
        error = phrases.critical(s) * float(r["se_narrowing"])
        change = float(r["narrowing"])
        rows.append(
            [
                name,
                f"{phrases.plain(r['baseline_rate'])} to {phrases.plain(r['performance_rate'])}",
                f"{phrases.plain(r['reference_baseline_rate'])} to {phrases.plain(r['reference_performance_rate'])}",
                f"{phrases.plain(r['gap_base'])} to {phrases.plain(r['gap_perf'])}",
                f"{phrases.plain(-change, signed=True)} ({phrases.plain(-change - error)} to {phrases.plain(-change + error)})",
                (
                    "no gap to narrow"
                    if float(r["gap_base"]) <= 0
                    else "narrower"
                    if change - error > 0
                    else "wider"
                    if change + error < 0
                    else "cannot tell"
                ),
            ]
        )
    reference = phrases.reference(s)
    return pd.DataFrame(
        rows,
        columns=[
            "Measure, group",
            "Rate of the group",
            f"Rate of {reference} members",
            "Gap",
            f"Change of the gap ({phrases.level(s)} interval)",
            "By sampling error alone",
        ],
    )


def earned(s: Section, system_id: str) -> pd.DataFrame:
    """What each cell would earn, at most, expected by chance, and after shrinkage, in thousand USD."""
    import pandas as pd

    table = payments(s, system_id)
    rows = []
    for r in [] if table is None else table[table["status"] == "ok"].to_dict("records"):
        top = float(r["max_possible"])
        values = [float(r["earned"]), top, float(r["earned_by_chance"]), float(r["shrunken_score"]) * top]
        gate = "met" if str(r["gate_met"]).lower() == "true" else "not met"
        rows.append(
            [
                f"{phrases.measure(s, str(r['measure_id']))}, {phrases.group(s, str(r['group']))}",
                gate,
                *(phrases.plain(v / 1e3, 0) for v in values),
            ]
        )
    return pd.DataFrame(rows, columns=["Measure, group", "Gate", "Earned", "Maximum", "By chance", "After shrinkage"])


def earned_text(s: Section, system_id: str) -> str:
    """The sum, and the share chance alone would be expected to earn."""
    table = payments(s, system_id)
    ok = table[table["status"] == "ok"] if table is not None else None
    if ok is None or ok.empty:
        return "No cell of yours has an amount under the formula."
    held = (ok["gate_met"].astype(str).str.lower() == "true").any()
    got, top = (float(ok[c].sum()) for c in ("earned", "max_possible"))
    text = f"Under the illustrative formula you would earn {phrases.against(got, top, 'of at most')}."
    if not held:
        return f"{text} In no row is the gate met, so nothing can be paid."
    chance = phrases.money(float(ok["earned_by_chance"].sum()))
    return f"{text} If nothing had changed at all, sampling error alone would be expected to earn {chance}."


def payable(s: Section, system_id: str) -> str:
    """Which measures a contract could pay on reliably for this system, by the reliability of the change."""
    items = [(m, reliability(shrunken)) for m, _, raw, shrunken in changes(s, system_id) if raw["status"] == "ok"]
    strong = [m for m, r in items if r is not None and r >= RELIABLE]
    if strong:
        return (
            f"A contract could reliably pay on {phrases.measures(s, strong)}: at least {phrases.plain(100 * RELIABLE, 0)}% of"
            " what differs between systems there is real."
        )
    return (
        f"**On none.** For no measure does the change reach a reliability of {RELIABLE:g}. Paying on levels, on several years"
        " together, on groups and measures pooled, or on the shrunken change would leave less to chance."
    )
