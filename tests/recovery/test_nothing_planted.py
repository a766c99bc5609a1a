"""With nothing planted, the report announces no more often than its stated error rate. The table is false_alarms.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nothing_planted import HIERARCHY, STUDY, one_draw, simulate
from p4equity.cells import build_cells, write_cells
from p4equity.dictionary import load_dictionary
from p4equity.extract import open_extract
from p4equity.study import load_study
from p4equity.synthetic import simulate as write_extract

TABLE = Path(__file__).with_name("false_alarms.csv")
DRAWS = 2_000
AT_LEAST = 500  # draws of a family in the committed table; a run of the slow test gives all of them DRAWS


def cells_of(folder: Path, members: int) -> Path:
    """Cells of an extract in which nothing is planted: denominators and overlap are what the draws start from."""
    study = load_study(STUDY)
    write_extract(study, folder / "x", members=members, seed=study.data.seed, scenario="nothing", workers=2)
    write_cells(build_cells(open_extract(folder / "x"), study, load_dictionary()), folder / "cells")
    return folder / "cells"


def summarized(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a family of announcements: draws in which it could be made, and the share with a false alarm."""
    families = rows.drop(columns="draw")
    return pd.DataFrame(
        {
            "family": families.columns,
            "draws": families.notna().sum().to_numpy(),
            "announced": families.astype(float).mean().to_numpy(),
        }
    )


@pytest.mark.slow
def test_false_alarms_are_no_more_frequent_than_stated(tmp_path: Path) -> None:
    study = load_study(STUDY)
    table = summarized(simulate(cells_of(tmp_path, int(study.data.members or 0)), DRAWS))
    table.round(4).to_csv(TABLE, index=False, lineterminator="\n")
    judge(table, study.inference.alpha)


def judge(table: pd.DataFrame, alpha: float) -> None:
    """Every family within its level; three binomial standard errors for the draws."""
    assert HIERARCHY in set(table["family"])
    allowed = alpha + 3 * np.sqrt(alpha * (1 - alpha) / table["draws"])
    assert (table["announced"] <= allowed).all(), table


def test_the_committed_table_holds_the_stated_level() -> None:
    table = pd.read_csv(TABLE)
    assert table["draws"].between(AT_LEAST, DRAWS).all()
    judge(table, load_study(STUDY).inference.alpha)


def test_a_draw_says_what_it_announces(tmp_path: Path) -> None:
    """The simulation itself, on few members: each family is answered, and draws of the same number are the same."""
    cells = cells_of(tmp_path, 60_000)
    first = one_draw((cells, 3))
    assert HIERARCHY in first
    known, said = ({f for f in names if not f.startswith("claims of ")} for names in (pd.read_csv(TABLE)["family"], first))
    assert known == said - {"draw"}
    assert set(map(type, first.values())) <= {int, bool}
    assert one_draw((cells, 3)) == first
