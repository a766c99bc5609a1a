"""Every sentence of the report that may announce something, with the family of its answers and the rule that holds its error.

A part of a section that reads which answers exclude zero, are claimed or are announced stands here, or a test fails: either its
rule has a familywise error rate, or it announces nothing of its own. How often each announces where nothing is planted stands in
tests/recovery/false_alarms.csv under `alarms`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from p4equity.evaluation.announcements import adjusted
from p4equity.section import phrases

if TYPE_CHECKING:
    from p4equity.section.section import Section

CLAIMS = "rule for claims: gatekept, Holm within a family"
ALONE = "rule for claims: Holm within the analysis"
HOLM = "Holm"
BOUNDS = "bounds of one question that hold together"
ONE = "its own interval"
NOTHING = ""  # announces nothing of its own


@dataclass(frozen=True)
class Head:
    """where: "file.function" in this folder. family: what is tested together; where `rule` is "", why nothing is announced."""

    where: str
    family: str
    rule: str
    alarms: tuple[str, ...] = ()


_HIERARCHY = ("claims of the hierarchy",)
_LEVELING = ("leveling, pooled", "leveling, a measure", "leveling, a group")
_SIDE = ("leveling, a side of the pooled gap",)
_AGAIN = "the primary answer asked again: supports or weakens it"
_LISTED = "intervals that exclude zero are counted, and called unadjusted or open to chance"
_SYSTEM = "one system's measures, by sampling error alone; said to be open to chance unless reliable"
HEADS = (
    Head("answers.verdict", "pooled, measures behind it, groups behind their measure", CLAIMS, _HIERARCHY),
    Head("answers.narrows", "the same", CLAIMS, _HIERARCHY),
    Head("answers.sentence", "the same; an interval alone is said to meet no rule", CLAIMS, _HIERARCHY),
    Head("answers.moved", "whether its interval excludes zero: a part of other sentences", NOTHING),
    Head("answers.movement", "both sides of a question, after its claim", CLAIMS, _HIERARCHY),
    Head("composition._breaks", "groups", HOLM, ("jump of a broken series",)),
    Head("composition._churn", "measures and groups", HOLM, ("staying",)),
    Head("confidence.holding_zero", _AGAIN, NOTHING),
    Head("confidence.rating", "the confidence in a claim", CLAIMS, _HIERARCHY),
    Head("discussion._movers", "the verdict on who moved, after the primary claim", BOUNDS, _LEVELING),
    Head("discussion.conclusion", "the primary question", CLAIMS, _HIERARCHY),
    Head("effects._count_excluding", _LISTED, NOTHING),
    Head("effects.fresh_baseline", "the co-primary questions", CLAIMS, _HIERARCHY),
    Head("effects.groups", "groups behind their measure", CLAIMS, _HIERARCHY),
    Head("exits._counted", _AGAIN, NOTHING),
    Head("exits._verdict", _AGAIN, NOTHING),
    Head("briefing.in_short", _SYSTEM, ONE, ("a single system",)),
    Head("glance._chance", "the primary question", CLAIMS, _HIERARCHY),
    Head("glance._first", "the primary question", CLAIMS, _HIERARCHY),
    Head("glance._movers", "the verdict on who moved", BOUNDS, _LEVELING),
    Head("glance._single_measures", "measures behind the pooled question; an interval alone is said to be open to chance", CLAIMS,
         _HIERARCHY),
    Head("glance._value_findings", _LISTED, NOTHING),
    Head("glance._value_head", "the primary questions", CLAIMS),
    Head("guardrails.guardrails", "measures of one analysis", ALONE,
         ("a measure worse (overall_quality)", "a measure worse (spending)")),
    Head("held_fixed._effects", _AGAIN, NOTHING),
    Head("held_fixed._slopes", "facts held fixed, measures pooled", HOLM, ("gaps along a fact held fixed",)),
    Head("held_fixed._spillover", "one question", HOLM, ("spillover to neighbours",)),
    Head("leveling._narrows", "measures behind the pooled question", CLAIMS, _HIERARCHY),
    Head("leveling.judge", "both sides and the gap of one question", BOUNDS, _LEVELING),
    Head("leveling.summary", "the same", BOUNDS, _LEVELING),
    Head("leveling.table", "the same", BOUNDS, _LEVELING),
    Head("leveling.who_moved", "both sides of one question", BOUNDS, _SIDE),
    Head("placebo._singles", _LISTED, NOTHING),
    Head("race._answers", _AGAIN, NOTHING),
    Head("robustness._control", "negative controls", HOLM, ("claims of negative_control",)),
    Head("robustness._other", "measures without a contract", ALONE, ("claims of not_incentivized",)),
    Head("robustness._same_movers", _AGAIN, NOTHING),
    Head("robustness._together", "measures without a contract, pooled: figures, and what the interval excludes", NOTHING),
    Head("robustness.left_out", _AGAIN, NOTHING),
    Head("scales.scales", "all answers on other scales", HOLM, ("other scales",)),
    Head("scales._parting", _LISTED, NOTHING),
    Head("selection._free", _AGAIN, NOTHING),
    Head("selection._unchosen", "one question: figures, and what the interval excludes", NOTHING),
    Head("side_effects._shares", "groups", HOLM, ("attributed shares",)),
    Head("systems.said", _SYSTEM, ONE, ("a single system",)),
    Head("systems.summary", _LISTED, NOTHING),
    Head("guardrails.cost_sentence", "given only where Fieller's set shows a narrowing", ONE, ("cost of a point",)),
)  # fmt: skip


def familywise(s: Section, rows: Sequence[Mapping[str, Any]]) -> str:
    """ "Holm’s rule over nine questions, familywise error rate 5%": by which some of these rows are announced, or none."""
    n, rate = int(np.isfinite(adjusted(rows)).sum()), phrases.plain(100 * s.study.inference.alpha, 0)
    if not n:
        return f"too few {s.study.info.unit_label_plural} for a test"
    if n == 1:
        return f"one test at {rate}%"
    few = f" with enough {s.study.info.unit_label_plural} in each arm" if n < len(rows) else ""
    return f"Holm’s rule over {phrases.count(n)} questions{few}, familywise error rate {rate}%"
