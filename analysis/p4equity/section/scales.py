"""The primary question on other scales, and where gaps lie: within systems or between them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from p4equity.exhibits.t15_scales import shown_ids
from p4equity.section import phrases
from p4equity.section.answers import excludes_zero
from p4equity.section.heads import familywise
from p4equity.study.scale_names import SCALE_NAMES

if TYPE_CHECKING:
    from p4equity.section.answers import Row
    from p4equity.section.section import Section

WORST = "worst_group_rate"


def first_answers(s: Section) -> dict[str, dict[str, Row]]:
    """Measure -> statistic -> the row of the first inference: the primary gap and every other scale."""
    asked = [a for a in s.study.analyses if a.estimator == "scale_change"]
    if not asked:
        return {}
    gaps = [a for a in s.study.analyses if (a.registered, a.outcome, a.estimator) == ("primary", "gap", "meta_regression")]
    main = [next((a for a in gaps if a.pooled is None and a.groups == "pooled"), None), next((a for a in gaps if a.pooled), None)]
    found: dict[str, dict[str, Row]] = {}
    for analysis in [*(a for a in main if a), *asked]:
        rows = s.run.rows({"analysis_id": analysis.id, "inference": analysis.inference[0]})
        for key, outcome, measure in zip(rows["row_id"], rows["outcome"], rows["measure_id"], strict=True):
            if outcome in SCALE_NAMES:
                found.setdefault(str(measure), {}).setdefault(str(outcome), s.run.row({"row_id": str(key)}))
    return found


def scales(s: Section) -> str:
    """What the other scales say, where they part, and why not all of them can be right."""
    found = first_answers(s)
    singles = {m: rows for m, rows in found.items() if m != phrases.POOLED}
    others = [row for rows in found.values() for name, row in rows.items() if name != "gap" and row["status"] == "ok"]
    if not others:
        return ""
    shown = shown_ids(s.run.table("estimates"), s.study)
    clear = [row for row in others if row["row_id"] in shown]
    table = phrases.exhibit_ref(s, "T15", "gaps", " in ")
    head = "none" if not clear else phrases.count(len(clear))
    text = (
        f"Of {phrases.plural(len(others), 'answer')} on other scales{table}, {head} {'shows' if len(clear) == 1 else 'show'} a"
        f" change ({familywise(s, others)})."
    )
    pooled = _pooled(s, found.get(phrases.POOLED, {}), shown)
    parts = phrases.paragraphs(*(_parting(s, measure, rows, shown, familywise(s, others)) for measure, rows in singles.items()))
    return phrases.paragraphs(f"{text} {pooled}", parts, _parallel(s))


def _parting(s: Section, measure: str, rows: dict[str, Row], shown: Collection[str], by: str) -> str:
    """Of a measure where one scale shows a change: what the others say, and whether they disagree or just pass no rule.

    Scales disagree where intervals without zero lie on different sides; on the last scale a rise is the better side.
    """
    ok = {name: row for name, row in rows.items() if row["status"] == "ok"}
    clear = [name for name, row in ok.items() if row["row_id"] in shown]
    if not clear or len(clear) == len(ok):
        return ""
    better = [n for n in ok if excludes_zero(ok[n]) and (ok[n]["estimate"] > 0) == (n == WORST)]
    worse = [n for n in ok if excludes_zero(ok[n]) and n not in better]
    where, names = phrases.lower(phrases.measure(s, measure)), _names(clear)
    if better and worse:
        return f"Scales disagree on {where}: better by {_names(better)}, worse by {_names(worse)}, where intervals exclude zero."
    text = f"On {where} a change is shown in {names}."
    same = [n for n in (better or worse) if n not in clear]
    if same:
        ends = sorted(same, key=lambda n: ok[n]["p_value"])
        low, high = (s.number(ok[n]["row_id"], what="p_value") for n in (ends[0], ends[-1]))
        span = f"p {low} to {high}" if len(same) > 1 else f"p {low}"
        verbs = ("point", "do") if len(same) > 1 else ("points", "does")
        text += f" {phrases.capital(_names(same))} {verbs[0]} the same way ({span}) but {verbs[1]} not pass the rule ({by})."
    open_ = [n for n in ok if n not in (*clear, *same)]
    if open_:
        text += f" Of {_names(open_)} the data cannot tell."
    if WORST in open_:
        text += f" The effect on the rate of the group that was worst off is {_figures(s, ok[WORST])}."
    return text


def _names(names: Sequence[str]) -> str:
    return phrases.join(SCALE_NAMES[n].prose for n in names)


def _pooled(s: Section, rows: dict[str, Row], shown: Collection[str]) -> str:
    """Which pooled answers on other scales are shown and which are not; figures of the two that differ most in what they see."""
    ok = {n: row for n, row in rows.items() if n != "gap" and row["status"] == "ok"}
    parts = []
    for head, wanted in (("Shown over all measures", True), ("Not shown", False)):
        names = [n for n in ok if (ok[n]["row_id"] in shown) == wanted]
        said = [SCALE_NAMES[n].prose + (f", {_figures(s, ok[n])}" if n in ("log_odds_gap", WORST) else "") for n in names]
        parts += [f"{head}: {'; '.join(said)}."] if said else []
    return " ".join(parts)


def _figures(s: Section, row: Row) -> str:
    """ "+2.6 points (95% interval 0.3 to 5.2)"; other units than points stand in the name."""
    places = phrases.decimals(str(row["outcome_unit"]))
    said = s.number(row["row_id"], signed=True, decimals=places)
    said += " points" if row["outcome_unit"] == "percentage points" else ""
    return f"{said} ({phrases.level(s)} interval {s.number(row['row_id'], what='interval', decimals=places)})"


def _parallel(s: Section) -> str:
    label = s.study.info.treatment_label
    return (
        "Where levels differ at the start, trends that run parallel in points do not run parallel in ratios or odds"
        f" [@roth_santanna_2023]: the scales rest on different assumptions about what would have happened without a {label}, and"
        " these cannot hold together. The plan named points before any outcome was read, because targets are set in them; the"
        " other scales show what hangs on that choice. Ratios of success and of failure stand side by side, since either alone"
        " can tell the opposite of the other."
    )


def parts(s: Section) -> str:
    """How much of the change of contracted gaps lay within systems, and how far the part between them moved."""
    path = s.run_dir / "results" / "gap_parts.csv"
    if not path.is_file():
        return ""
    table = s.results("gap_parts")
    rows = table[(table["arm"] == "contracted") & (table["period"] == "change") & (table["status"] == "ok")]
    units, label = s.study.info.unit_label_plural, s.study.info.treatment_label
    ref = phrases.exhibit_ref(s, "T16", "gaps")
    ref = f" ({ref})" if ref else ""
    text = (
        f"A gap of all members has two parts [@kitagawa_1955]: gaps inside {units}, on which"
        f" a {label} can act, and where members of the groups are treated, which moves when members or {units} come and go{ref}."
    )
    if rows.empty:
        return f"{text} With so few contracted {units} whose cells are released, no gap could be split."
    inside = rows[rows["within"].abs() > rows["between"].abs()]
    often = f"{phrases.count(len(inside)) if len(inside) else 'none'} of {phrases.plural(len(rows), 'gap')}"
    if len(inside) == len(rows):
        often = f"all {phrases.plural(len(rows), 'gap')}" if len(rows) > 1 else "the one gap that could be split"
    far = rows.loc[rows["between"].abs().idxmax()]
    where = f"{phrases.lower(phrases.measure(s, str(far['measure_id'])))}, {phrases.group(s, str(far['group']))} members"
    half = phrases.critical(s) * float(far["se_between"])
    ends = f"{phrases.plain(far['between'] - half)} to {phrases.plain(far['between'] + half)}"
    return (
        f"{text} Among contracted {units} the part within them moved more than the part between them in {often}. The part"
        f" between them moved most for {where}: by {phrases.plain(far['between'], signed=True)} of"
        f" {phrases.plain(far['gap'], signed=True)} points ({phrases.level(s)} interval {ends}, sampling alone)."
    )
