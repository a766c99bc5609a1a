"""Other things that happened: the primary answer with one fact about units held fixed, and spillover to units nearby."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.evaluation.announcements import announced
from p4equity.exhibits.select import adjusted_analyses
from p4equity.section import phrases
from p4equity.section.answers import Row, excludes_zero, figures, primary_question, without_number
from p4equity.section.heads import familywise
from p4equity.study.names import covariate_name

if TYPE_CHECKING:
    from p4equity.section.section import Section

NEAR = "near_contracted"  # of the facts held fixed, the one that asks about spillover
EFFECT, SLOPE, INTERACTION = "adjusted_gap", "gap_per_dose", "effect_per_dose"


def applies(s: Section) -> bool:
    """Whether the plan holds a fact about units fixed."""
    return bool(adjusted_analyses(s.study))


def text(s: Section) -> str:
    """The primary answer with each fact held fixed, whether gaps moved with grants, and whether the contract reached others."""
    return phrases.paragraphs(_effects(s), f"{_slopes(s)} {_interactions(s)}".strip(), _spillover(s))


def _row(s: Section, analysis: Any, outcome: str) -> Row | None:
    """The pooled answer by the first inference."""
    found = s.run.rows({"analysis_id": analysis.id, "outcome": outcome, "inference": analysis.inference[0]})
    found = found[found["measure_id"] == phrases.POOLED]
    return s.run.row({"row_id": str(found["row_id"].iloc[0])}) if len(found) else None


def _asked(s: Section, outcome: str, *, near: bool) -> list[tuple[Any, Row]]:
    pairs = [(a, _row(s, a, outcome)) for a in adjusted_analyses(s.study) if (a.covariate == NEAR) == near]
    return [(a, row) for a, row in pairs if row is not None]


def _effects(s: Section) -> str:
    """How far the primary answer moves when one fact is the same in both arms."""
    first, found = primary_question(s), _asked(s, EFFECT, near=False)
    if first is None or not first.ok or not found:
        return ""
    known = [(a, row) for a, row in found if row["status"] == "ok"]
    weak = [a for a, row in known if excludes_zero(first.main) and not excludes_zero(row)]
    turned = [a for a, row in known if (row["estimate"] < 0) != (first.main["estimate"] < 0)]
    names = phrases.join(covariate_name(a.covariate).prose for a in turned or weak)
    head = (
        "No fact about them could be held fixed"
        if not known
        else f"The primary answer changes sign with {names} held fixed"
        if turned
        else f"The primary answer keeps its sign, but not its certainty, with {names} held fixed"
        if weak
        else "The primary answer stays when other things that happened are held fixed"
        if excludes_zero(first.main)
        else "The primary answer keeps its sign when other things that happened are held fixed"
    )
    said = [
        f"{figures(s, row, level=False)} with {covariate_name(a.covariate).prose} held fixed" if row["status"] == "ok"
        else f"{without_number(s, row)} with {covariate_name(a.covariate).prose}" for a, row in found
    ]  # fmt: skip
    one = "" if len(found) == 1 else ", one at a time"
    return (
        f"**{head}{one}.** Beside {figures(s, first.main)}, the pooled effect is {phrases.join(said)} ([@tbl:T20]). What both"
        " arms had alike, such as reports and coaching, no comparison between them can show: the estimate remains the increment"
        " over it."
    )


def _slopes(s: Section) -> str:
    """Along which facts gaps of comparison units moved, where no contract was, by Holm's rule over the facts."""
    units = s.study.info.unit_label_plural
    known = [(a, row) for a, row in _asked(s, SLOPE, near=False) if row["status"] == "ok"]
    if not known:
        return ""
    shown = [row["row_id"] for row in announced([row for _, row in known], s.study.inference.alpha)]
    clear = [a for a, row in known if row["row_id"] in shown]
    head = (
        f"Among comparison {units} gaps moved with {phrases.join(covariate_name(a.covariate).prose for a in clear)}"
        if clear
        else f"Whether gaps of comparison {units} moved with any of them, the data cannot tell"
    )
    said = [f"{_along(s, row)} {covariate_name(a.covariate).per}" for a, row in known]
    tail = "" if clear else "; intervals this wide do not say that money or public programs do nothing"
    by = familywise(s, [row for _, row in known])
    return f"**{head}** ({by}). Their gaps changed by {phrases.join(said)}{tail}."


def _interactions(s: Section) -> str:
    """How much more the effect itself is along a fact, where the plan asks: numbers without a verdict, since few units tell."""
    found = [(a, row) for a, row in _asked(s, INTERACTION, near=False) if a.interaction]
    parts = [
        f"{_along(s, row)} {covariate_name(a.covariate).per}" if row["status"] == "ok" else without_number(s, row)
        for a, row in found
    ]
    info = s.study.info
    return f"The effect itself differs by {phrases.join(parts)}, which single {info.unit_label_plural} decide." if parts else ""


def _along(s: Section, row: Row) -> str:
    estimate = s.number(row["row_id"], signed=True, decimals=2)
    return f"{estimate} points ({s.number(row['row_id'], what='interval', decimals=2)})"


def _spillover(s: Section) -> str:
    """Whether gaps of comparison units near those with a contract moved more, and the effect against the others."""
    info = s.study.info
    for a, effect in _asked(s, EFFECT, near=True):
        near = _row(s, a, SLOPE)
        if near is None or near["status"] != "ok" or effect["status"] != "ok":
            why = phrases.capital(without_number(s, effect if effect["status"] != "ok" else near or effect))
            return f"**Whether the {info.treatment_label} reached others has no answer.** {why}."
        reached = bool(announced([near], s.study.inference.alpha)) and near["estimate"] < 0
        head = f"The {info.treatment_label} seems to reach its neighbours" if reached else "No spillover to neighbours is shown"
        by = f" ({familywise(s, [near])})" if reached else ""
        return (
            f"**{head}**{by}. Gaps of comparison {info.unit_label_plural} that share a county with a {info.unit_label} that has a"
            f" {info.treatment_label} changed by {_along(s, near)} beyond those of the others. Against the others alone the"
            f" pooled effect is {figures(s, effect, level=False)}."
        )
    return ""


def show(s: Section) -> None:
    """The part of a section on other things that happened; nothing where the plan holds nothing fixed."""
    if not applies(s):
        return
    s.text(f"## Other things that happened {{#sec:held-fixed}}\n\n{text(s)}")
    phrases.show(s, "T20")
