"""The primary question on other scales, and where gaps lie: within systems or between them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from p4equity.exhibits.t15_scales import shown_ids
from p4equity.section import phrases
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
    pooled = _pooled(s, found.get(phrases.POOLED, {}))
    parts = phrases.paragraphs(*(_parting(s, measure, rows, shown) for measure, rows in singles.items()))
    return phrases.paragraphs(f"{text} {pooled}", parts, _parallel(s))


def _parting(s: Section, measure: str, rows: dict[str, Row], shown: Collection[str]) -> str:
    """Where scales disagree about one measure: which show a change and which do not, and whether the worst-off group gained."""
    ok = {name: row for name, row in rows.items() if row["status"] == "ok"}
    clear = [name for name, row in ok.items() if row["row_id"] in shown]
    silent = [name for name in ok if name not in clear]
    if not clear or not silent:
        return ""
    changed = phrases.join(SCALE_NAMES[n].prose for n in clear)
    not_shown = phrases.join((SCALE_NAMES[n].prose for n in silent), "or")
    text = (
        f"Scales disagree on {phrases.lower(phrases.measure(s, measure))}. A change shows in {changed}, and none in {not_shown}."
    )
    if "gap" in clear and WORST in silent:
        text += f" So a gain of the group that was worst off is not shown: the effect on its rate is {_figures(s, ok[WORST])}."
    return text


def _pooled(s: Section, rows: dict[str, Row]) -> str:
    """The pooled log-odds gap and the pooled rate of the worst-off group, as the two that differ most in what they look at."""
    names = [n for n in ("log_odds_gap", WORST) if n in rows and rows[n]["status"] == "ok"]
    said = phrases.join(f"the effect on {SCALE_NAMES[n].prose} is {_figures(s, rows[n])}" for n in names)
    return f"Over all measures, {said}." if said else ""


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
