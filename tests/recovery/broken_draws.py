"""Draws of a measure whose ages changed and of its twin of constant definition: the members of the twin, and those added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from p4equity.evaluation.broken_series import changes_of_ages, twin_of
from p4equity.evaluation.context import Context
from p4equity.evaluation.plan import analysis_rows
from p4equity.study import Study
from p4equity.synthetic.build_streams import _added_rate, streams_of
from p4equity.synthetic.draws import FloatArray, IntArray
from p4equity.synthetic.rates import build_rates, draw_shocks
from p4equity.synthetic.truth import load_truth

KEYS = ["system_id", "group", "year"]


@dataclass(frozen=True)
class Broken:
    """One changed measure: (S, K, T) members of the twin and added ones, and their rates before shocks, percentage points."""

    study: Study
    measure: str
    twin: str
    year: int
    old: IntArray
    added: IntArray
    rate: FloatArray
    added_rate: FloatArray
    scenario: str

    def draw(self, rng: np.random.Generator) -> pd.DataFrame:
        """Cells of both measures; a shock moves all members of a system and group alike."""
        planted, study = load_truth(self.study, self.scenario), self.study
        sd = float(study.measure(self.twin).synthetic.get("shock_sd", 0.7))
        shock = draw_shocks(planted, sd, (len(study.systems) + 1, *self.old.shape[1:]), rng)[:-1]
        p, q = (np.clip((rate + shock) / 100, 0.001, 0.999) for rate in (self.rate, self.added_rate))
        num, more = rng.binomial(self.old, p), rng.binomial(self.added, q)
        index = pd.MultiIndex.from_product([[s.id for s in study.systems], study.scheme.ids, study.years], names=KEYS)
        first = {"map": study.population.map, "race_version": study.race.primary}
        counts = ((self.twin, self.old, num), (self.measure, self.old + self.added, num + more))
        found = [
            pd.DataFrame({"den": n.ravel(), "num": x.ravel()}, index=index).reset_index().assign(**first, measure_id=m)
            for m, n, x in counts
        ]
        return pd.concat(found, ignore_index=True).query("den > 0").assign(with_reading=np.nan)

    def rows(self, rng: np.random.Generator) -> list[dict[str, object]]:
        """The study's rows on one draw: one a group."""
        empty = pd.DataFrame(columns=["map", "race_version", "system_id", "group", *_PAIRS])
        context = Context(self.study, self.draw(rng), empty, "", "")
        found = analysis_rows(context, next(a for a in self.study.analyses if a.estimator == "specification_break"))
        return [row for row in found if row["measure_id"] == self.measure and row["first_year"] == self.year]

    def truth(self) -> dict[str, float]:
        """The planted jump of each compared group's gap in the first year, all systems of both arms together."""
        t = self.study.years.index(self.year)
        arms = {s.id for arm in ("participating", "comparison") for s in self.study.arm_systems(arm)}
        at = [i for i, s in enumerate(self.study.systems) if s.id in arms]
        n, m = self.old[at, :, t].astype(float), self.added[at, :, t].astype(float)
        p, q = self.rate[at, :, t], self.added_rate[at, :, t]
        jump = ((n * p).sum(0) + (m * q).sum(0)) / (n + m).sum(0) - (n * p).sum(0) / n.sum(0)
        k = {g: i for i, g in enumerate(self.study.scheme.ids)}
        reference = jump[k[str(self.study.groups.reference)]]
        return {g: float(reference - jump[k[g]]) for g in self.study.groups.compared}


_PAIRS = ("measure_1", "year_1", "measure_2", "year_2", "den_den", "num_den", "den_num", "num_num")


def broken(study: Study, old: IntArray, added: IntArray, *, scenario: str, alike: bool) -> Broken:
    """The study's first broken series. alike: every system at its group's mean level, so that without a break nothing jumps."""
    measure = study.measure_sets.broken_series[0]
    twin, planted = str(twin_of(study, measure)), load_truth(study, scenario)
    sharing = streams_of(study)[study.measure(measure).events]
    rates = build_rates(study, planted, study.measure(twin), tuple(m.id for m in sharing), study.data.seed)
    extra = next(m for m in sharing if m.id == measure)
    main = next(m for m in sharing if m.id == twin)
    rate = rates.level + rates.effect
    added_rate = _added_rate(study, planted, main, extra, rate)
    if alike:
        rate, added_rate = (np.broadcast_to(x.mean(axis=0), x.shape) for x in (rate, added_rate))
    year = changes_of_ages(study, measure)[0]
    return Broken(study, measure, twin, year, old, added, rate[:-1], added_rate[:-1], scenario)


def members_of(study: Study, cell: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """(S, K, T) members of the twin, and those whom the changed measure adds, from cells."""
    measure = study.measure_sets.broken_series[0]
    index = pd.MultiIndex.from_product([[s.id for s in study.systems], study.scheme.ids, study.years], names=KEYS)
    shape = (len(study.systems), len(study.scheme.ids), len(study.years))
    found = []
    for name in (twin_of(study, measure), measure):
        own = cell[cell["measure_id"] == name].groupby(KEYS, observed=True)["den"].sum()
        found.append(own.reindex(index).fillna(0).to_numpy(dtype=np.int64).reshape(shape))
    return found[0], np.maximum(found[1] - found[0], 0)
