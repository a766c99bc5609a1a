"""Small pieces of prose: lists, counts, labels of measures, groups and methods, references that exist in this report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from inspect import signature
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from p4equity import words
from p4equity.study.names import estimator_name, inference_name

if TYPE_CHECKING:
    from p4equity.section.section import Section

POOLED = "pooled"
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DECIMALS = {
    "log points": 3,
    "USD per member-month": 2,
    "USD per member-month and point": 2,
    "share": 2,
    "standardized difference": 2,
    "standard errors": 1,
    "log ratio of success rates (reference / group)": 3,
    "log ratio of failure rates (group / reference)": 3,
    "log odds (reference less group)": 3,
    "thousandths of Theil's index": 2,
}


def join(parts: Iterable[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"; empty parts are left out."""
    kept = [p for p in parts if p]
    if len(kept) < 2:
        return "".join(kept)
    return f"{', '.join(kept[:-1])} {last} {kept[-1]}"


def count(n: int) -> str:
    """A count in words up to twelve, in digits above."""
    return _COUNTS[n] if 0 <= n < len(_COUNTS) else f"{n:,}"


def plural(n: int, one: str, many: str = "") -> str:
    """ "one system", "five systems"."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def lower(text: str) -> str:
    """The text with its first letter small, unless it begins with an abbreviation such as A1c or BMI."""
    return text if len(text) > 1 and (text[1].isupper() or text[1].isdigit()) else text[:1].lower() + text[1:]


def units(s: Section, n: int) -> str:
    """ "five systems", with the study's own word for a unit."""
    return plural(n, s.study.info.unit_label, s.study.info.unit_label_plural)


def measure(s: Section, measure_id: str) -> str:
    """The short title of what a measure's rates are shares of; of the pooled question: all contracted measures."""
    if measure_id in (POOLED, "all"):
        return "All contracted measures"
    return str(s.study.measure(measure_id).shown_title)


def measures(s: Section, ids: Sequence[str]) -> str:
    """Short titles in a list."""
    return join(lower(measure(s, m)) for m in ids)


def group(s: Section, group_id: str) -> str:
    """A group's label; pooled: the groups compared."""
    if group_id == POOLED:
        return "groups compared"
    if group_id == "all":
        return "all members"
    return str(s.study.group(group_id).label)


def method(inference: object) -> str:
    """What an inference is called in a sentence."""
    return inference_name(inference).prose


def cited(inference: object) -> str:
    """The reference of an inference, as "@key"; "" without one."""
    return inference_name(inference).cited


def estimator(word: object) -> str:
    """What an estimator is called in a sentence."""
    return estimator_name(word).prose


def groups(s: Section) -> str:
    """The compared groups in a list."""
    return join(group(s, g) for g in s.study.groups.compared)


def reference(s: Section) -> str:
    """The label of the reference group."""
    return group(s, str(s.study.groups.reference))


def years(values: Sequence[int]) -> str:
    """ "2019, 2021 and 2022", or "2000 to 2004" for three or more years in a row."""
    ordered = sorted(set(values))
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]} to {ordered[-1]}"
    return join(str(t) for t in ordered)


def decimals(unit: str) -> int:
    """Decimals that a unit is printed with."""
    return _DECIMALS.get(unit, 1)


def plain(value: object, places: int = 1, *, signed: bool = False) -> str:
    """A number of a result table as text; an en dash when it is missing."""
    if value is None or value != value or not hasattr(value, "__float__"):
        return "–"
    return words.number(float(value), places, signed=signed)


def money(value: float) -> str:
    """USD with as many digits as a reader needs: millions with two decimals from half a million on, else whole."""
    if abs(value) >= 5e5:
        return f"{words.number(value / 1e6, 2)} million USD"
    return f"{words.number(value, 0)} USD"


def against(one: float, other: float, word: str) -> str:
    """Two amounts with the unit once where both have the same: "1.77 against 0.84 million USD"."""
    first, second = money(one), money(other)
    tail = " million USD"
    if first.endswith(tail) and second.endswith(tail):
        first = first.removesuffix(tail)
    return f"{first} {word} {second}"


def level(s: Section) -> str:
    """The confidence level of intervals, as "95%"."""
    return f"{words.number(100 * s.study.inference.conf_level, 0)}%"


def critical(s: Section) -> float:
    """Two-sided normal quantile at the confidence level."""
    return float(NormalDist().inv_cdf(0.5 + s.study.inference.conf_level / 2))


def planned(s: Section) -> str:
    """What to call the plan and its parts: "registered" only where the study names a registration."""
    return "registered" if s.study.info.registration else "planned"


def masked(s: Section) -> str:
    """What masked labels stand for, where results of single units are first shown; nothing while names are shown."""
    if not s.mask_systems or s.study.disclosure.system_names != "masked":
        return ""
    units = s.study.info.unit_label_plural
    who = "describe no real organization"
    if has_section(s, "program"):
        who = "describe none of the organizations named in [@sec:program]"
    made = f"The values shown for single {units} were drawn at random by the toolkit and {who}. " if s.synthetic else ""
    return (
        f"{made}{capital(units)} carry masked labels. Masking is labelling, not protection: which"
        f" {s.study.info.treatment_label}s a {s.study.info.unit_label} holds can give it away."
    )


def power() -> str:
    """The power that detectable changes are computed at, as "80%"."""
    from p4equity.power import minimal_detectable_change

    return f"{words.number(100 * signature(minimal_detectable_change).parameters['power'].default, 0)}%"


def part_of(share: float) -> str:
    """A share in words: "none", "about half", "nearly all"; the narrowest of a few fixed classes."""
    if share <= 0 or share >= 1:
        return "none" if share <= 0 else "all"
    named = ((0.1, "little"), (0.28, "about a quarter"), (0.4, "about a third"), (0.6, "about half"), (0.71, "about two thirds"))
    return next((name for top, name in (*named, (0.9, "most")) if share < top), "nearly all")


def percent(part: float, whole: float) -> str:
    """A share in whole percent; "not defined" over nothing."""
    return f"{words.number(100 * part / whole, 0)}%" if whole else "not defined"


def with_labels(s: Section, text: str) -> str:
    """A note or reason in which neutral unit ids are replaced by the labels readers know."""
    known = {system.id: s.label(system.id) for system in s.study.systems}
    text = re.sub(r"\b(" + "|".join(map(re.escape, known)) + r")\b", lambda m: known[m.group()], text)
    named = {g.id: g.label for g in s.study.scheme.groups} if s.study.scheme else {}
    return re.sub(r"\((\w+)\)", lambda m: f"({named.get(m.group(1), m.group(1))})", text)


def has_section(s: Section, name: str) -> bool:
    """Whether the document has the section: the report as its study lists them, a briefing on one system none."""
    return not s.system_id and name in s.study.report.sections


def section_ref(s: Section, name: str, before: str = "") -> str:
    """A cross reference to a section, or nothing when this report does not have it; `before` is set in front of it."""
    return f"{before}[@sec:{name}]" if has_section(s, name) else ""


def exhibit_spec(s: Section, exhibit_id: str) -> dict[str, Any] | None:
    """The description of an exhibit that applies to this study, else None."""
    path = s.run_dir / "exhibits" / f"{exhibit_id}.json"
    if not path.is_file():
        return None
    spec: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return None if "skipped" in spec else spec


def exhibit_ref(s: Section, exhibit_id: str, where: str, before: str = "") -> str:
    """A cross reference to an exhibit shown in section `where`, or nothing when this report does not have it."""
    spec = exhibit_spec(s, exhibit_id)
    if spec is None or not has_section(s, where):
        return ""
    return f"{before}[@{'fig' if spec['kind'] == 'figure' else 'tbl'}:{exhibit_id}]"


def show(s: Section, *exhibit_ids: str) -> None:
    """Show those exhibits that apply to this study; what does not apply is listed with its reason in the appendix.

    Raises DataError when an exhibit was neither made nor skipped.
    """
    for exhibit_id in exhibit_ids:
        path = s.run_dir / "exhibits" / f"{exhibit_id}.json"
        if not path.is_file() or exhibit_spec(s, exhibit_id) is not None:
            s.exhibit(exhibit_id)


def paragraphs(*parts: str) -> str:
    """Paragraphs with blank lines between; empty ones are left out."""
    return "\n\n".join(p.strip() for p in parts if p and p.strip())


def bullets(items: Iterable[str]) -> str:
    """A Markdown list; empty items are left out."""
    return "\n".join(f"- {item}" for item in items if item)
