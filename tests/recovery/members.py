"""Recovery of what is planted in members, over seeds: one extract a seed and scenario, rows of planted and found values."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import member_exits as exits
import member_features as features
import numpy as np
import pandas as pd
from member_extracts import Extract, Found, edited_study, extracted
from p4equity.study import load_study
from simulation import STUDY

TABLE = Path(__file__).with_name("members.csv")
SEEDS, MEMBERS = range(101, 121), 200_000
MORE = 2  # times as many members where small groups of one system must show something
Make = Callable[..., Extract]
# The same members without a feature, to be compared with.
PLAIN = (("access_shock = -1.5", "access_shock = 0.0"), ("usd_pmpm = 2.0", "usd_pmpm = 0.0"))
STAYING = (("leave = 0.2 ", "leave = 0.0 "),)


def one_seed(folder: Path, seed: int, members: int) -> list[Found]:
    """All comparisons of one seed; extracts are removed as soon as they have been compared."""
    studies = {
        "": load_study(STUDY), "plain": edited_study(folder / "study_plain", *PLAIN),
        "staying": edited_study(folder / "study_staying", *STAYING),
    }  # fmt: skip

    def make(scenario: str, variant: str = "", times: int = 1) -> Extract:
        return extracted(studies[variant], folder / f"{scenario}_{variant}", scenario, seed, times * members)

    rows = [row | {"seed": seed} for row in _compared(make)]
    for path in folder.iterdir():
        shutil.rmtree(path)
    return rows


def _compared(make: Make) -> Iterator[Found]:
    """Comparisons in the order in which extracts are needed."""
    clean = make("clean")
    yield from features.persistence(clean)
    yield from features.effects(clean)
    yield from features.documentation(clean, make("documentation_gain"))
    yield from features.race_drift(make("race_data_drift"))
    default, plain = make("default"), make("default", "plain")
    yield from features.spending(default, plain)
    yield from features.race_error(default)
    yield from features.specification_break(default, clean)
    yield from exits.exits(default)
    yield from exits.practice_changes(default)
    yield from exits.access(default, plain)
    yield from features.churn(make("differential_churn", "", MORE), make("differential_churn", "staying", MORE))


def simulate_members(folder: Path, seeds: range = SEEDS, members: int = MEMBERS) -> pd.DataFrame:
    """A row a seed, feature and quantity."""
    rows = [row for seed in seeds for row in one_seed(_emptied(folder / str(seed)), seed, members)]
    columns = ["feature", "quantity", "seed", "planted", "found", "error"]
    table = pd.DataFrame(rows)[columns].sort_values(columns[:3], kind="stable", ignore_index=True).round(4)
    return table.assign(date=date.today().isoformat())


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def summarized(rows: pd.DataFrame) -> pd.DataFrame:
    """By feature and quantity: means, the Monte Carlo error of found - planted, and its mean squared known standard error."""
    off = rows.assign(off=rows["found"] - rows["planted"])
    off["z2"] = (off["off"] / off["error"]) ** 2
    groups = off.groupby(["feature", "quantity"], sort=False)
    table = groups[["planted", "found", "off"]].mean()
    n = groups.size()
    return table.assign(
        error=groups["off"].std(ddof=1) / np.sqrt(n), spread=groups["found"].std(ddof=1) / np.sqrt(n), z2=groups["z2"].mean(),
        seeds=n,
    )  # fmt: skip
