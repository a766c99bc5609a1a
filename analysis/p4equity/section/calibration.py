"""Do the methods keep their promises on this study's own cells? Words for the calibration, numbers by look-up in its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.calibration.settings import VARYING
from p4equity.calibration.summary import LIBERAL, calibration_summary
from p4equity.evaluation.claims import FEWEST
from p4equity.exhibits.calibration_parts import SETTINGS
from p4equity.section import phrases
from p4equity.section.questions import changed

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

OK = "ok"


def text(s: Section) -> str:
    """Whether the primary test holds its level, where others fail, what few systems allow, and other nulls."""
    table = s.results("calibration")
    found = calibration_summary(table, s.study.inference.alpha)
    found = found[found["status"] == OK]
    if found.empty:
        reasons = phrases.join(dict.fromkeys(str(r) for r in table["reason"].dropna()))
        return f"**The methods were not tried on this study’s own cells.** {phrases.capital(reasons)}."
    least = found["n_clusters"] - found["n_treated_clusters"]
    enough = found[found["n_treated_clusters"].clip(upper=least) >= FEWEST]
    few = found[found["n_treated_clusters"].clip(upper=least) < FEWEST]
    return phrases.paragraphs(_primary(s, table, enough), _others(s, enough), _few(s, few), _elsewhere(s, enough))


def _method(s: Section) -> str:
    return str(s.study.inference.primary[0])


def _percent(value: Any, places: int = 1) -> str:
    return phrases.plain(100 * float(value), places) + "%"


def _name(method: Any) -> str:
    return phrases.method(method)


def _where(s: Section, row: pd.Series) -> str:
    """The question and the setting of a worst case."""
    setting = SETTINGS[str(row["worst_setting"])].replace("upper end,", "shocks at the upper end,")
    return f"{phrases.lower(phrases.measure(s, str(row['measure_id'])))}{_apart(s, row)}: {setting}"


def _apart(s: Section, row: pd.Series) -> str:
    """In what a co-primary question departs from the plan's base: the table shows only the primary method of it."""
    parts = changed(s, s.study.analysis(str(row["analysis_id"])))
    return f", {'; '.join(parts)}" if parts else ""


def _primary(s: Section, table: pd.DataFrame, rows: pd.DataFrame) -> str:
    own = rows[rows["inference"] == _method(s)]
    if own.empty:
        return ""
    alpha, units = s.study.inference.alpha, s.study.info.unit_label_plural
    beyond = int(own["too_often"].astype(bool).sum())
    top = own.loc[own["worst"].idxmax()]
    head = (
        f"The primary test rejects too often in {phrases.count(beyond)} of {phrases.plural(len(own), 'question')}"
        if beyond
        else "The primary test holds its level on this study’s own cells"
        if _within(own["worst"], own["worst_error"], alpha)
        else "The primary test holds its level with shocks as estimated and goes slightly beyond it at worst"
        if _within(own["at_estimate"], own["at_estimate_error"], alpha)
        else "The primary test goes slightly beyond its level"
    )
    first = table[table["status"] == OK].iloc[0]
    shock, low, high = (phrases.plain(float(first[c])) for c in ("shock_sd", "shock_sd_low", "shock_sd_high"))
    return (
        f"**{head}.** Data were simulated in which nothing happens, {int(first['draws']):,} times a setting, on this study’s own"
        f" {units}, missing cells and {s.study.info.treatment_label}s, with yearly shocks as the baseline years show them (first"
        f" question: standard deviation {shock} points, 90% interval {low} to {high}). Where {_percent(alpha, 0)} is meant,"
        f" the {_name(_method(s))} test rejects at most {_percent(top['worst'])} ({_where(s, top)}; Monte Carlo error"
        f" {phrases.plain(100 * float(top['worst_error']))} points), over {phrases.plural(len(own), 'question')} with at least"
        f" {phrases.count(FEWEST)} {units} in each arm ([@tbl:T14], [@fig:F9])."
    )


def _within(rates: pd.Series, errors: pd.Series, alpha: float) -> bool:
    """No rate is above alpha by more than two Monte Carlo errors."""
    known = rates.notna()
    return bool(known.any() and ((rates - alpha)[known] <= 2 * errors[known]).all())


def _others(s: Section, rows: pd.DataFrame) -> str:
    rest = rows[rows["inference"] != _method(s)]
    if rest.empty:
        return ""
    worst = rest.loc[rest.groupby("inference", sort=False)["worst"].idxmax()].sort_values("worst", ascending=False, kind="stable")
    bad = worst[worst["too_often"].astype(bool)]
    good = phrases.join(
        f"{_name(r['inference'])} {_percent(r['worst'])}{_bracket(s, r)}" for _, r in worst.drop(bad.index).iterrows()
    )
    if bad.empty:
        return f"**No other method fails clearly.** At worst: {good}."
    said = phrases.join(f"{_name(r['inference'])} reaches {_percent(r['worst'])} ({_where(s, r)})" for _, r in bad.iterrows())
    bound = _percent(LIBERAL * s.study.inference.alpha)
    head = f"**Where others fail**, rejecting in more than {bound}, one and a half times the level [@bradley_1978]. "
    return head + f"{phrases.capital(said)}." + (f" Not clearly beyond: {good}." if good else "")


def _bracket(s: Section, row: pd.Series) -> str:
    apart = _apart(s, row).removeprefix(", ")
    return f" ({apart})" if apart else ""


def _few(s: Section, rows: pd.DataFrame) -> str:
    """Questions in which an arm has too few units for any claim."""
    if rows.empty:
        return ""
    own = rows[rows["inference"] == _method(s)]
    measures = phrases.measures(s, list(dict.fromkeys(rows["measure_id"])))
    top = rows.loc[rows["worst"].idxmax()]
    units = s.study.info.unit_label_plural
    text = (
        f"**With one or two {units} in an arm no method is known to hold its level, so nothing is claimed** for {measures}."
        f" Here {_name(top['inference'])} goes as far as {_percent(top['worst'])}{_bracket(s, top)}"
    )
    if len(own):
        most = own.loc[own["worst"].idxmax()]
        text += (
            f" and {_name(_method(s))} to {_percent(most['worst'])}{_bracket(s, most)}"
            if most["inference"] != top["inference"]
            else ""
        )
        power = own["power"].dropna()
        text += f"; a meaningful change would be found in at most {_percent(power.max())} of data sets" if len(power) else ""
    return text + "."


def _elsewhere(s: Section, rows: pd.DataFrame) -> str:
    """Other nulls than no effect at all, the study's own baseline data, and power."""
    own = rows[rows["inference"] == _method(s)]
    vary = own["varying"].dropna()
    if vary.empty:
        return ""
    top = own.loc[vary.idxmax()]
    points = {VARYING[0]: 1, VARYING[1]: 2}[str(top["varying_setting"])]
    text = (
        "**What the test is a test of.** It asks whether nothing happened. When effects differ between"
        f" {s.study.info.unit_label_plural} around zero by {phrases.plural(points, 'point')} (standard deviation), it rejects in"
        f" up to {_percent(top['varying'])}{_bracket(s, top)}"
    )
    other = rows[rows["inference"] == f"{_method(s)}_varying"].dropna(subset=["varying"])
    if len(other):
        most = other.loc[other["varying"].astype(float).idxmax()]
        text += f", the version for varying effects in {_percent(most['varying'])}{_bracket(s, most)}"
    text += ". "
    real = own.iloc[0]
    if real["placebo_date"] == real["placebo_date"]:
        text += (
            f"In the study’s own baseline data a placebo launch rejects under {_percent(real['placebo_date'])} of reassigned"
            f" {s.study.info.treatment_label}s (first question): one data set, so a check, not a rate. "
        )
    if real["power"] == real["power"]:
        text += (
            f"It finds the meaningful change of {phrases.plain(float(real['effect']))} points in {_percent(real['power'])} of"
            " data sets (first question)."
        )
    return text.strip()
