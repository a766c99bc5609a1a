"""The paragraph on who moved: every kind of narrowing has its probability, from its own row, and what is left is named."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_cells import made_cells
from p4equity.estimates import estimates_table
from p4equity.evaluation.claims import FEWEST
from p4equity.evaluation.context import Context
from p4equity.evaluation.leveling import PROBABILITIES
from p4equity.evaluation.plan import analysis_rows
from p4equity.results import write_csv
from p4equity.section import leveling, open_section, phrases
from p4equity.section.answers import answers, primary_question
from p4equity.section.section import Section
from p4equity.study import load_study
from p4equity.synthetic.cell_draws import CellSampler

STUDY = "bcbsma_pay_for_equity"


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Section:
    """An open section on the primary questions and the joint answers of one draw with the planted effects."""
    study = load_study(STUDY)
    context = Context(study, *CellSampler(study, *made_cells(study), scenario="clean").draw(np.random.default_rng(2)), "", "")
    quick = {"pooled": ("averaged_t",), "measure": ("averaged_t",), "leveling": study.analysis("leveling").inference}
    rows = [r for a, i in quick.items() for r in analysis_rows(context, study.analysis(a).model_copy(update={"inference": i}))]
    run = tmp_path_factory.mktemp("run")
    (run / "results").mkdir()
    write_csv(estimates_table(rows), run / "results" / "estimates.csv")
    (run / "report.json").write_text(json.dumps({"study": STUDY, "synthetic": True, "edition": "draft"}))
    return open_section(str(run), edition="draft")


def chances(s: Section, measure: str) -> pd.DataFrame:
    table = s.run.table("estimates")
    own = table[(table["measure_id"] == measure) & (table["group"] == "pooled") & table["outcome"].isin(list(PROBABILITIES))]
    return own.set_index("outcome").loc[list(PROBABILITIES)]


def test_the_sentence_gives_each_kind_after_and_before_the_data_and_names_the_rest(section: Section) -> None:
    asked = [a for a in (primary_question(section), *answers(section, "measure")) if a is not None]
    rests = []
    for a in asked:
        rows = chances(section, a.measure_id)
        if (rows["status"] != "ok").any():
            assert leveling.probability_words(section, a) == ""
            continue
        text = re.sub(r"\[([^]]+)\]\{[^}]*\}", r"\1", leveling.probability_words(section, a))  # without the marks of rows
        found = re.search(r"leveling down is (.+?) \(before.* of mixed movement (.+?) \(.* of leveling up (.+?) \(", text)
        assert found is not None, text
        for said, chance in zip(found.groups(), rows["estimate"], strict=False):
            assert said == ("below 1%" if chance < 1 else "above 99%" if chance > 99 else f"{round(float(chance))}%")
        before = [float(x) for x in re.findall(r"\((?:before the data )?(\d+)%\)", text)]
        assert before == pytest.approx(rows["statistic"].astype(float).tolist()[:3], abs=0.51)
        left = 100 - float(rows["estimate"].iloc[:3].sum())
        rests.append("The rest is no narrowing" in text)
        assert rests[-1] == (left >= 1)
        assert "a narrowing without any gain" in leveling.no_gain_words(section, a)
    assert any(rests)


def test_the_table_holds_all_kinds_in_one_column_and_names_the_margin(section: Section) -> None:
    asked = answers(section, "measure")
    table = leveling.table(section, asked)
    assert [c for c in table.columns if c.startswith("Probability")] == ["Probability down / mixed / up"]
    assert "Groups gain 0.5 or more" in table.columns
    cells = table["Probability down / mixed / up"]
    assert any(cell != "–" for cell in cells)
    assert all(cell == "–" or cell.count(" / ") == 2 for cell in cells)


def test_nothing_is_said_of_either_side_where_an_arm_has_too_few_systems(section: Section) -> None:
    asked = [a for a in answers(section, "measure") if a.ok and a.baseline_gap]
    levels = [leveling.judge(section, replace(a, main={**a.main, "n_treated_clusters": 2})) for a in asked]
    assert levels
    assert {(x.falls, x.gains) for x in levels} == {("cannot tell", "cannot tell")}
    few = phrases.count(FEWEST)
    assert f"fewer than {few} systems" in leveling.table_note(section)
