"""The methods of inference in plain words, each with its reference, and what a claim needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.study.names import ANNOUNCED_OUTSIDE

if TYPE_CHECKING:
    from p4equity.section.section import Section

_PLAIN = {
    "averaged_t": (
        "The averaged t test compares the changes of {units}. How much {units} differ beyond sampling, and whether large or"
        " contracted ones differ more, cannot be known from so few; so each of a fixed list of possibilities gives its own t"
        " test, and the data weigh them"
    ),
    "averaged_t_varying": "The same with room for effects that differ between {units} with a {label}",
    "knapp_hartung": (
        "A random-effects regression compares the changes of {units} and allows true changes to differ among them; its intervals"
        " carry the correction of Knapp and Hartung, which keeps them honest with few {units}"
    ),
    "permutation": (
        "A permutation test sets the observed difference beside those of every other admissible way to have assigned the {label}s"
    ),
    "wild_bootstrap": "The wild cluster bootstrap resamples the residuals of whole {units} as if the {label} had done nothing",
    "cr2": (
        "Cluster-robust errors let the years of one {unit} depend on each other, with the bias reduction (CR2) and degrees of"
        " freedom that few clusters need"
    ),
    "cr1": "Cluster-robust errors (CR1) let the years of one {unit} depend on each other",
}
_SPREAD = {
    "PM": (
        "; the spread among {units} is estimated as in @paule_mandel_1982, and by restricted maximum likelihood where measures"
        " are pooled; with fewer than three {units} in an arm the correction can only widen an interval"
    )
}
_FAMILY = {"holm": ("Holm", "@holm_1979"), "benjamini_hochberg": ("Benjamini", "@benjamini_hochberg_1995")}


def described(s: Section, method: str) -> str:
    """One method in a sentence without its full stop."""
    info = s.study.info
    names = {"unit": info.unit_label, "units": info.unit_label_plural, "label": info.treatment_label}
    text = _PLAIN.get(method, phrases.capital(phrases.method(method)))
    text += f" [{phrases.cited(method)}]" if phrases.cited(method) else ""
    return (text + (_SPREAD.get(s.study.inference.tau2, "") if method == "knapp_hartung" else "")).format(**names)


def claim_rule(s: Section) -> str:
    """What a claim needs, what an adjusted p is, and what is said of everything that is not claimed."""
    rule = s.study.inference
    tests = (
        f"the {phrases.method(rule.primary[0])} test rejects"
        if len(rule.primary) == 1
        else f"{phrases.count(len(rule.primary))} methods of inference {'both ' if len(rule.primary) == 2 else ''}reject"
    )
    name, source = _FAMILY.get(rule.family, ("", ""))
    order = f"“{rule.multiplicity}” [{source}]." if name and name in rule.multiplicity else f"“{rule.multiplicity}.”"
    judged = not s.run.rows({"inference": "claim"}).empty
    adjusted = " An adjusted p is a p value after that allowance." if judged else ""
    allowed = " after adjustment" if judged else ""
    return (
        f"Nothing is claimed unless {tests} at {rule.alpha:g}{allowed}. {'. '.join(described(s, m) for m in rule.primary)}. The"
        f" plan also fixes the order of the questions: {order}{adjusted}{_outside(s)} Everything else is reported as an estimate"
        " with its interval and the words “the data cannot tell.” Those words do not mean that nothing happened."
    )


def _outside(s: Section) -> str:
    """Which kinds of answers outside the order of questions are announced, and by which rule."""
    asked = {a.estimator for a in s.study.analyses}
    kinds = [name for estimator, name in ANNOUNCED_OUTSIDE.items() if estimator in asked]
    kinds += ["negative controls"] if s.study.measure_sets.negative_control else []
    if not kinds:
        return ""
    return (
        f" Outside that order a change is announced, but not claimed, of {phrases.join(kinds)}, each kind by Holm’s rule over all"
        f" its questions (familywise error rate {phrases.plain(100 * s.study.inference.alpha, 0)}%)."
    )
