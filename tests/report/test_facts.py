"""The cover: what it says of data that do not say what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from p4equity.report.facts import UNSTATED, facts_of
from p4equity.study import load_study


@pytest.mark.parametrize(("problems", "unstated"), [([], False), ([{"rule": "origin_not_stated"}], True)])
def test_the_cover_says_when_the_origin_of_the_data_is_not_stated(tmp_path: Path, problems: list[object], unstated: bool) -> None:
    (tmp_path / "validation.json").write_text(json.dumps({"tier": "A", "problems": problems}))
    study = load_study("bcbsma_pay_for_equity")
    facts = facts_of(study, tmp_path, edition="", synthetic=False, audience="public")
    data = dict(facts.transparency)["Data"]
    assert data.startswith("member-level extract of the payer")
    assert data.endswith(UNSTATED) == unstated
