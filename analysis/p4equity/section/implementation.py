"""How the program was carried out: reach, adoption, coaching, grants, provider survey, interviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases

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


def reports(s: Section) -> str:
    """Delivered and opened stratified reports in both arms: the reason why the estimand is an increment."""
    own, other = _share(s, "reports_opened", "participating"), _share(s, "reports_opened", "comparison")
    if own is None or other is None:
        return "Counts of opened reports are suppressed or missing."
    return (
        f"**Both arms had the data.** Of the reports delivered, participating {s.study.info.unit_label_plural} opened"
        f" {_value(own)} and comparison {s.study.info.unit_label_plural} {_value(other)}. Whatever the reports do, they do in"
        " both arms, and the estimates leave it out."
    )


def survey(s: Section) -> str:
    """Respondents, and the items on which the arms agree least and most overall."""
    table = _table(s)
    assert table is not None
    part = table[
        (table["section"] == "survey") & (table["indicator"] == "agree") & (table["arm"] == "all") & (table["status"] == "ok")
    ]
    respondents = _share(s, "respondents", "all")
    if part.empty or respondents is None:
        return "There are too few answers to show."
    low, high = part.loc[part["value"].idxmin()], part.loc[part["value"].idxmax()]
    name = [str(r["item"]).replace("_", " ") for r in (high, low)]
    return (
        f"**Most respondents agree that “{name[0]}” ({phrases.plain(high['value'], 0)}%), fewest that “{name[1]}”"
        f" ({phrases.plain(low['value'], 0)}%).** {phrases.plain(respondents['n'], 0)} persons answered the last wave. Answers"
        " are of clinicians and staff, weighted for who was asked; they say what people report, not what they did."
        if high["value"] > 50
        else (
            f"**No statement finds a majority; “{name[0]}” comes nearest ({phrases.plain(high['value'], 0)}%).**"
            f" {phrases.plain(respondents['n'], 0)} persons answered the last wave."
        )
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
        low, high = coded.loc[coded["value"].idxmin(), "item"], coded.loc[coded["value"].idxmax(), "item"]
        text += (
            f" Raised most often: {_theme(label(coded['item'].iloc[0]))}. Most helping: {_theme(label(high))}; most hindering:"
            f" {_theme(label(low))}."
        )
    return text + (f" Two coders agree with a pooled kappa of {phrases.plain(kappa['value'].iloc[0], 2)}." if len(kappa) else "")


def _theme(label: str) -> str:
    """A construct without its domain: "Innovation: cost" as "cost"."""
    return phrases.lower(label.split(": ", 1)[-1])


def grants(s: Section) -> str:
    """Grants in all, and that amounts for single purposes are small counts."""
    row = _share(s, "grants", "all")
    return (
        ""
        if row is None
        else (
            f"**So had the money to prepare.** {phrases.plain(row['n'], 0)} grants of {_value(row)} in all went to"
            f" participating and comparison {s.study.info.unit_label_plural}."
        )
    )
