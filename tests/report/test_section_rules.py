"""Rules behind the words: confidence, a fall counted as a size, the word for the plan, parts of a narrowing, dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from p4equity import words
from p4equity.section import confidence, effects, open_section, phrases
from p4equity.section.answers import Answer
from p4equity.study import load_study


def made(estimate: float, low: float, high: float, *, treated: int = 5, p: float = 0.01) -> Answer:
    """An answer of ten systems with a claim row whose adjusted p is `p`."""
    row = {
        "status": "ok", "estimate": estimate, "conf_low": low, "conf_high": high, "outcome": "gap", "registered": "primary",
        "n_treated_clusters": treated,
    }  # fmt: skip
    return Answer("a", "m", "pooled", row, (), None, None, row | {"p_value": p}, 0.05, True)


@pytest.fixture
def section() -> Any:
    """The words a rating needs."""
    info = SimpleNamespace(unit_label="system", unit_label_plural="systems", treatment_label="contract", registration="")
    return SimpleNamespace(study=SimpleNamespace(info=info))


@pytest.mark.parametrize(
    ("answer", "others", "left_out", "level"),
    [
        (made(-3, -5, -1, treated=20), [made(-2, -4, -0.5)], [], "high"),
        (made(-3, -5, -1, treated=20), [made(-2, -4, 0.5)], [], "moderate"),
        (made(-3, -5, -1), [made(-2, -4, -0.5)], [], "moderate"),  # few treated
        (made(-3, -5, -1), [made(-2, -4, 0.5)], [], "low"),  # few treated, and a check whose interval holds zero
        (made(-3, -5, -1), [], ["without one"], "low"),
        (made(-3, -5, -1, treated=20), [made(0.2, -2, 2.4)], [], "low"),  # a check turns the sign
        (made(-3, -5, -1, treated=2), [], [], "low"),
        (made(-3, -5, -1, treated=20, p=0.2), [], [], "low"),  # no claim
    ],
)
def test_confidence(
    section: Any, monkeypatch: pytest.MonkeyPatch, answer: Answer, others: list[Answer], left_out: list[str], level: str
) -> None:
    monkeypatch.setattr(confidence, "checks", lambda *_: others)
    monkeypatch.setattr(confidence, "_left_out", lambda *_: left_out)
    monkeypatch.setattr(confidence, "_before", lambda *_: [])
    found, reason = confidence.rating(section, answer)
    assert (found, bool(reason)) == (level, True)


@pytest.mark.parametrize(
    ("p", "said"), [((0.3, 0.6, 0.9), "none rejected at 0.05."), ((0.01, 0.6, 0.9), "with nothing there, 0.2 would on average")]
)
def test_joint_tests_of_the_years_before_say_what_chance_alone_gives(
    monkeypatch: pytest.MonkeyPatch, p: tuple[float, ...], said: str
) -> None:
    study = load_study("bcbsma_pay_for_equity")
    base = {"measure_id": "CBP", "outcome": "pretrend_gap", "estimator": "event_study", "status": "ok", "reason": None}
    found = pd.DataFrame([{**base, "group": g, "p_value": v} for g, v in zip(study.groups.compared, p, strict=True)])
    s: Any = SimpleNamespace(study=study, run=SimpleNamespace(rows=lambda _: found))
    monkeypatch.setattr(effects.parting, "trends", lambda _: "")
    monkeypatch.setattr(effects, "_one_year", lambda _: "")
    assert said in effects.before(s)
    asked = replace(made(-3, -5, -1), measure_id="CBP")
    rejected = ["a test of the years before the contract rejects, 1 of 3"] if min(p) < 0.05 else []
    assert confidence._before(s, asked) == rejected
    assert confidence._before(s, replace(asked, group=study.groups.compared[1])) == []


def test_a_fall_is_counted_as_a_size(run_dir: Path) -> None:
    s = open_section(str(run_dir))
    assert s.number("r1", flipped=True) == '[2.4]{.num row-id="r1"}'
    assert s.number("r1", what="interval", flipped=True) == '[0.6 to 4.1]{.num row-id="r1"}'
    assert "unbounded" in s.number("r3", what="interval", flipped=True)
    assert "one treated system" in s.number("r4", flipped=True)


def test_registered_is_said_only_of_a_registered_plan(section: Any) -> None:
    assert phrases.planned(section) == "planned"
    section.study.info.registration = "OSF 1"
    assert phrases.planned(section) == "registered"


def test_parts_and_dates() -> None:
    parts = [phrases.part_of(x) for x in (-0.2, 0.05, 0.25, 0.46, 0.8, 0.95, 1.2)]
    assert parts == ["none", "little", "about a quarter", "about half", "most", "nearly all", "all"]
    assert words.date(date(2022, 12, 31)) == "December 31, 2022"
