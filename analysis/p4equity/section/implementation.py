"""How the program was carried out: reach, adoption, coaching, grants, provider survey, interviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.program import DAGGER

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section


def _table(s: Section) -> pd.DataFrame | None:
    path = s.run_dir / "results" / "implementation.csv"
    return s.results("implementation") if path.is_file() else None


def available(s: Section) -> bool:
    """Whether the run has implementation data."""
    table = _table(s)
    return table is not None and len(table) > 0


def _value(row: dict[str, object]) -> str:
    if row["status"] != "ok":
        return {"suppressed": "suppr.", "not_estimable": "n.e."}.get(str(row["status"]), "–")
    unit, value = str(row["unit"] or ""), row["value"]
    if value is None or value != value:
        return phrases.plain(row["n"], 0)
    if unit.startswith("percent"):
        return f"{phrases.plain(value, 0)}%"
    if unit.startswith("USD"):
        return phrases.money(float(str(value)))
    return phrases.plain(value, 1)


def _share(s: Section, indicator: str, arm: str) -> dict[str, object] | None:
    table = _table(s)
    assert table is not None
    found = table[
        (table["indicator"] == indicator) & (table["arm"] == arm) & (table["item"] == "all") & (table["status"] == "ok")
    ]
    return dict(found.iloc[0]) if len(found) == 1 else None


PER_MEMBER = "amount_per_member"  # grants in USD for each attributed member: what systems of unequal size can be compared by
ALIKE = (0.8, 1.25)  # ratios of participating to comparison that count as about the same
APART = 10  # percentage points between the arms from which a survey item is named
ENOUGH = 20  # coded segments below which a construct is not named as helping or hindering


def _pair(s: Section, indicator: str) -> tuple[dict[str, object], dict[str, object]] | None:
    """One indicator in both arms; None unless both have a number."""
    if not available(s):
        return None
    own, other = _share(s, indicator, "participating"), _share(s, indicator, "comparison")
    return (own, other) if own is not None and other is not None else None


def _dose(row: dict[str, object]) -> str:
    return phrases.plain(row["value"], 0)


def _ratio(pair: tuple[dict[str, object], dict[str, object]]) -> float:
    own, other = (float(str(row["value"])) for row in pair)
    return own / other if other else float("inf")


def _apart(s: Section) -> list[tuple[str, str, str]]:
    """Survey items on which more respondents of participating units agree by at least ten points: (item, own, other)."""
    table = _table(s)
    if table is None:
        return []
    part = table[(table["section"] == "survey") & (table["indicator"] == "agree") & (table["status"] == "ok")]
    by = {arm: part[part["arm"] == arm].set_index("item")["value"] for arm in ("participating", "comparison")}
    own, other = by["participating"], by["comparison"]
    return [
        (statement(str(i)), f"{phrases.plain(own[i], 0)}%", f"{phrases.plain(other[i], 0)}%")
        for i in own.index
        if i in other.index and own[i] - other[i] >= APART
    ]


def statement(item: str) -> str:
    """A survey item as a statement; the extract holds its short name only."""
    return item.replace("_", " ")


def increment(s: Section, *, brief: bool = False) -> str:
    """What both arms had besides the contract, and in which of it participating units had more: part of the estimate.

    brief: after the question has said that both arms had help, only what differed.
    """
    units, label = s.study.info.unit_label_plural, s.study.info.treatment_label
    text = f"Comparison {units} also had data, coaching or grants: the estimate is the {label}'s increment over them."
    if brief:
        text = f"Comparison {units} also had data, coaching or grants"
    money, more = _pair(s, PER_MEMBER), _apart(s)
    unlike = money is not None and not ALIKE[0] <= _ratio(money) <= ALIKE[1]
    if money is None and not more:
        unknown = f"where {units} with a {label} had more of it, the estimate includes that"
        return f"{text}; {unknown}." if brief else f"{text} How much each had is not known here; {unknown}."
    parts = []
    if money is not None and unlike:
        word = "more" if _ratio(money) > 1 else "less"
        mark = ", synthetic" if s.synthetic else ""
        parts.append(f"{word} grant money per attributed member ({_dose(money[0])} against {_dose(money[1])} USD{mark})")
    if more:
        apart = "" if brief else f", by {APART} points or more,"
        parts.append(f"more agreement{apart} on {phrases.plural(len(more), 'survey statement')} (not tested)")
    where = phrases.section_ref(s, "implementation", " (")
    where += ")" if where else ""
    if not parts:
        return (
            f"{text}, by the numbers at hand about as much{where}."
            if brief
            else f"{text} By the numbers at hand both sides had about as much{where}."
        )
    if brief:
        return f"Participating {units} had {parts[0]}, which the estimate includes{where}."
    return (
        f"{text} The help {'was not' if unlike else 'may not have been'} equal: participating {units} had {phrases.join(parts)}."
        f" The estimate includes whatever that difference did{where}."
    )


def reports(s: Section) -> str:
    """Delivered and opened stratified reports in both arms: the reason why the estimand is an increment."""
    pair = _pair(s, "reports_opened")
    if pair is None:
        return "Counts of opened reports are suppressed or missing."
    units = s.study.info.unit_label_plural
    alike = ALIKE[0] <= _ratio(pair) <= ALIKE[1]
    head = (
        "Both arms received the stratified reports and opened them about as often" if alike else "The arms used reports unequally"
    )
    return (
        f"**{head}.** Participating {units} opened {_value(pair[0])} of the reports delivered to them, comparison {units}"
        f" {_value(pair[1])}. The estimates leave out whatever reports do in both arms"
        + ("." if alike else "; what they do in one arm only is part of them.")
    )


def grants(s: Section) -> str:
    """Grants in all and per member by arm, what of it is public and what is not, and what a difference means for the estimate."""
    pair, means, row = _pair(s, PER_MEMBER), _pair(s, f"mean_{PER_MEMBER}"), _share(s, "grants", "all")
    if row is None:
        return ""
    units, label = s.study.info.unit_label_plural, s.study.info.treatment_label
    text = f"{phrases.capital(phrases.count(int(float(str(row['n'])))))} grants of {_value(row)} in all went to {units}."
    head = "Money to prepare went to both arms"
    if pair is not None:
        mark = DAGGER if any("amount" in g.illustrative for g in s.study.grants) else ""
        text += (
            f" That is {_dose(pair[0])}{mark} USD for each attributed member of participating {units} and {_dose(pair[1])}{mark}"
            f" USD for each of comparison {units}"
        )
        text += f" (mean of {units}: {_dose(means[0])} and {_dose(means[1])} USD)." if means else "."
        if ALIKE[0] <= _ratio(pair) <= ALIKE[1]:
            head += ", about as much of it for each member"
        else:
            more = "participating" if _ratio(pair) > 1 else "comparison"
            head += f", but more of it for each member to {more} {units}"
            text += (
                f" The {label}'s estimated increment therefore includes whatever the difference in grants did; the data cannot"
                " separate the two."
            )
    assumed = [g for g in s.study.grants if "amount" in g.illustrative]
    if assumed:
        text += (
            " The amount of each grant, and so every split by arm and purpose, is not public: those figures are assumed"
            f" ({DAGGER}){', and stand here for illustration' if s.synthetic else ''}."
        )
    return f"**{head}.** {text}"


def survey(s: Section) -> str:
    """Respondents, the items with least and most agreement, and the items on which the arms differ."""
    table = _table(s)
    assert table is not None
    part = table[
        (table["section"] == "survey") & (table["indicator"] == "agree") & (table["arm"] == "all") & (table["status"] == "ok")
    ]
    respondents = _share(s, "respondents", "all")
    if part.empty or respondents is None:
        return "There are too few answers to the survey to show."
    low, high = part.loc[part["value"].idxmin()], part.loc[part["value"].idxmax()]
    most, least = (f"“{statement(str(r['item']))}” ({phrases.plain(r['value'], 0)}%)" for r in (high, low))
    more = "; ".join(f"“{item}” ({own} against {other})" for item, own, other in _apart(s))
    rate = _share(s, "response_rate", "all")
    return (
        f"**Of the survey's statements, {most} finds most agreement and {least} least.** In the last wave"
        f" {phrases.plain(respondents['n'], 0)} persons answered"
        + (f", {_value(rate)} of those asked. " if rate else "; the response rate is not in these data. ")
        + (
            f"Agreement is higher in participating {s.study.info.unit_label_plural} by at least {APART} points on {more}. That is"
            f" not tested: it may be chance, an effect of the {s.study.info.treatment_label}, or part of what came with it. "
            if more
            else (
                f"On no statement is agreement higher in participating {s.study.info.unit_label_plural} by {APART} points or"
                " more. "
            )
        )
        + "Answers come from clinicians and staff and are weighted for who was asked; they say what people report, not what they"
        " did."
    )


def interviews(s: Section) -> str:
    """How many interviews, with whom, and how far the coders agree."""
    table = _table(s)
    assert table is not None
    part = table[(table["section"] == "interviews") & (table["status"] == "ok") & (table["item"] == "all")]
    held = {r["arm"]: r for r in part[part["indicator"] == "interviews"].to_dict("records")}
    from p4equity.dictionary import load_dictionary

    if "all" not in held:
        return "There are too few interviews to show."
    kappa = part[part["indicator"] == "kappa"]
    named = {
        "participating": f"in participating {s.study.info.unit_label_plural}",
        "comparison": f"in comparison {s.study.info.unit_label_plural}",
        "outside": "outside them",
    }
    parts = [f"{phrases.plain(held[a]['n'], 0)} {words}" for a, words in named.items() if a in held]
    text = f"**What interviews add.** {phrases.plain(held['all']['n'], 0)} interviews were held: {phrases.join(parts)}."
    coded = table[(table["indicator"] == "segments") & (table["status"] == "ok")].sort_values("n", ascending=False)
    if len(coded):
        label = load_dictionary().table("interview_code").field("code").label
        text += (
            " Passages were coded by the constructs of the Consolidated Framework for Implementation Research [@cfir_2022]; the"
            f" one raised most often is {_theme(label(coded['item'].iloc[0]))}."
        )
        often = coded[coded["n"] >= ENOUGH]
        helps = often.loc[often["value"].idxmax()] if len(often) else None
        hinders = often.loc[often["value"].idxmin()] if len(often) else None
        said = []
        if helps is not None and helps["value"] > 0:
            said.append(f"{_theme(label(helps['item']))} was described as helping most")
        if hinders is not None and hinders["value"] < 0:
            said.append(f"{_theme(label(hinders['item']))} as hindering most")
        text += f" Among constructs with at least {ENOUGH} passages, {phrases.join(said)}." if said else ""
    return text + (f" Two coders agree with a pooled kappa of {phrases.plain(kappa['value'].iloc[0], 2)}." if len(kappa) else "")


def _theme(label: str) -> str:
    """A construct without its domain: "Innovation: cost" as "cost"."""
    return phrases.lower(label.split(": ", 1)[-1])
