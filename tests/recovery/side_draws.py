"""Draws of what the quality cells do not hold: spending, attributed member-months, and who stays. Each has system-year shocks.

Spending follows the model of the synthetic extract: a level a system, growth and group as in the cells, a shock a system and
year, and the sampling error that the overlap of members implies. Member-months are Poisson counts of members with a shock a
system, group and year. Staying is binomial, with a shock a system and one a system and group. All scale whole cells, so that
their moments stay those of members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from made_cells import STAYS
from p4equity.disparity.panel import Panel, build_panel
from p4equity.study import Study
from p4equity.synthetic.draws import autoregressive
from p4equity.synthetic.places import real_sizes
from p4equity.synthetic.rates import treated_years
from p4equity.synthetic.truth import load_truth

SHARE_SD = 0.02  # of a group's members in a system and year, relative; autocorrelated like the shocks of rates
STAY_SD, STAY_GAP_SD = 0.02, 0.01  # of the share who stay: a system's, and a system's and group's
KEYS = ["system_id", "group", "year"]
Array = np.ndarray


@dataclass(frozen=True)
class Sides:
    """One draw: rows of `cell` and `cell_overlap` of the spending measure, and rows of `cell_age`."""

    cell: pd.DataFrame
    overlap: pd.DataFrame
    ages: pd.DataFrame


class SideSampler:
    """Prepared once for the spending cells (one map, one race version), their overlap, and the cells by age."""

    def __init__(
        self, study: Study, cell: pd.DataFrame, overlap: pd.DataFrame, ages: pd.DataFrame, *, scenario: str = "nothing"
    ) -> None:
        self.study, self.measure = study, str(study.measure_sets.spending)
        self.planted = load_truth(study, scenario)
        self.groups = study.scheme.ids if study.scheme else ()
        self.systems = [s.id for s in study.systems]
        fixed = ["map", "race_version", "measure_id"]
        self.cell = cell.groupby([*fixed, *KEYS], observed=True)[["den", "num", "num_sq"]].sum().reset_index()
        self.cell = self.cell.astype({"den": float, "num": float, "num_sq": float})
        self.overlap = overlap.reset_index(drop=True)
        self.panel: Panel = build_panel(
            self.cell.assign(with_reading=np.nan), overlap.astype(dict.fromkeys(_MOMENTS, float)), measures=[self.measure],
            groups=self.groups, systems=self.systems, years=study.years,
        )  # fmt: skip
        at = [self.panel.index(self.measure, g) for g in self.groups]
        self.den, self.rate = self.panel.den[:, at], self.panel.rate[:, at]
        pooled = self.panel.num[:, at].sum(axis=0) / np.maximum(self.den.sum(axis=0), 1)
        self.pooled = np.where(self.den > 0, pooled[None], np.nan)
        months = self.den.sum(axis=0)
        self.expected = self.den.mean(axis=2, keepdims=True) * (months / months.mean(axis=1, keepdims=True))[None]
        self._money = _roots(np.stack([self.panel.covariances(g, self.measure, self.measure) for g in self.groups], axis=1))
        self._months = _roots(np.stack([self.panel.overlap[g] for g in self.groups], axis=1))
        self._at = self._places(self.cell, "year")
        self._first, self._second = (self._places(self.overlap, name) for name in ("year_1", "year_2"))
        self.ages, self._stay = ages.reset_index(drop=True), self._staying(ages.reset_index(drop=True))

    def draw(self, rng: np.random.Generator) -> Sides:
        """A table of each."""
        kept, cost = self._kept(rng), self._cost(rng)
        one, two = (kept[at] for at in (self._first, self._second))
        both, first, second = np.minimum(one, two), cost[self._first], cost[self._second]
        factor = {"den_den": both, "num_den": both * first, "den_num": both * second, "num_num": both * first * second}
        k, c = kept[self._at], cost[self._at]
        cell = self.cell.assign(
            den=np.round(self.cell["den"] * k), num=np.round(self.cell["num"] * k * c), num_sq=self.cell["num_sq"] * k * c**2,
            with_reading=np.nan,
        )  # fmt: skip
        overlap = self.overlap.assign(**{name: self.overlap[name].astype(float) * f for name, f in factor.items()})
        return Sides(cell, overlap, self._stayed(rng))

    def _cost(self, rng: np.random.Generator) -> Array:
        """Drawn over present spending a member-month (S, K, T)."""
        hints = self.study.measure(self.measure).synthetic
        systems, years = len(self.systems), len(self.study.years)
        level = 1 + float(hints["level_sd"]) * rng.standard_normal(systems)
        shock = 1 + float(hints["shock_sd"]) * rng.standard_normal((systems, years))
        effect = 100 * self.planted.truth.spending_effect.usd_pmpm * self.contracted
        wanted = self.pooled * (level[:, None] * shock)[:, None, :] + effect[:, None, :] + _noise(self._money, rng)
        return np.where(np.isfinite(self.rate), wanted / np.where(self.rate > 0, self.rate, 1.0), 1.0)

    def _kept(self, rng: np.random.Generator) -> Array:
        """Drawn over present member-months (S, K, T); less where a scenario sheds members."""
        shocks = self.planted.truth.shocks
        moved = autoregressive(rng, self.den.shape, SHARE_SD, shocks.autocorrelation)
        wanted = self.expected * (1 + moved) * self.left + _noise(self._months, rng)
        return np.where(self.den > 0, np.maximum(wanted, 0.0) / np.maximum(self.den, 1), 1.0)

    @property
    def contracted(self) -> Array:
        """1 where a contract on any measure is in force (S, T)."""
        return treated_years(self.study, self.study.measure_ids("contracted"))[: len(self.systems)]

    @property
    def left(self) -> Array:
        """Share of members (S, K, T) whom contracted systems have not shed, whatever their results."""
        model = self.planted.truth.cherry_picking
        if model is None or not self.planted.on("cherry_picking"):
            return np.ones(self.den.shape)
        share = still_there(model.leave, self.planted.truth.population.turnover, len(self.study.years))
        under = np.cumsum(self.contracted, axis=1).astype(np.int64) * (self.contracted > 0)
        shed = np.isin(self.groups, model.groups)
        return np.where(shed[None, :, None], share[under][:, None, :], 1.0)

    def _staying(self, ages: pd.DataFrame) -> tuple[Array, Array, Array]:
        """Position (system, group) of each row, and the share who stay of its measure and group over all systems."""
        system = ages["system_id"].map({s: i for i, s in enumerate(self.systems)}).to_numpy()
        group = ages["group"].map({g: i for i, g in enumerate(self.groups)}).to_numpy()
        keys = ["measure_id", "group", "year"]
        total = ages.groupby(keys, observed=True)[["den", "den_stayed"]].transform("sum").astype(float)
        return system, group, (total["den_stayed"] / total["den"].clip(lower=1)).to_numpy()

    def _stayed(self, rng: np.random.Generator) -> pd.DataFrame:
        system, group, share = self._stay
        shape = (len(self.systems), len(self.groups))
        moved = STAY_SD * rng.standard_normal((shape[0], 1)) + STAY_GAP_SD * rng.standard_normal(shape)
        p = np.clip(share + moved[system, group], 0.0, 1.0)
        return self.ages.assign(den_stayed=rng.binomial(self.ages["den"].to_numpy(dtype=np.int64), p))

    def _places(self, frame: pd.DataFrame, year: str) -> tuple[Array, Array, Array]:
        axes = (("system_id", self.systems), ("group", self.groups), (year, self.study.years))
        return tuple(frame[c].map({v: i for i, v in enumerate(known)}).to_numpy(dtype=np.int64) for c, known in axes)


def still_there(leave: float, turnover: float, years: int) -> Array:
    """(years + 1,) share of members who have not left a system after so many years under contract, new ones among them.

    Of those present a share `turnover` is new each year, and has been at risk of leaving for fewer years.
    """
    found = [1.0]
    for year in range(1, years + 1):
        risk = [turnover * (1 - turnover) ** (k - 1) for k in range(1, year)]
        found.append(sum(s * (1 - leave) ** k for k, s in enumerate([*risk, 1 - sum(risk)], 1)))
    return np.array(found)


_MOMENTS = ("den_den", "num_den", "den_num", "num_num")


def _roots(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]


def _noise(root: Array, rng: np.random.Generator) -> Array:
    return (root @ rng.standard_normal(root.shape[:-1])[..., None])[..., 0]


def made_spending(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells of spending and their overlap without an extract: members of real size, 12 months each, moments of the hints."""
    measure = str(study.measure_sets.spending)
    hints, cells, overlap = study.measure(measure).synthetic, [], []
    same = np.exp(hints["log_sd"] ** 2) / (1 - hints["zero_share"])
    again = np.exp(hints["log_sd"] ** 2 * hints["persistence"])
    for system, size in zip(study.systems, real_sizes(study), strict=True):
        for group in study.scheme.ids:
            n = round(size * (system.synthetic.race_mix.get(group, 0.0) if system.synthetic else 0.0))
            key = {"map": study.population.map, "race_version": study.race.primary, "system_id": system.id, "group": group}
            money = [
                12 * 100 * hints["pmpm_mean"] * hints["group_ratio"][group]
                * (1 + hints["pmpm_trend"]) ** (t - study.baseline.reference_year) for t in study.years
            ]  # fmt: skip
            for i, (t, y) in enumerate(zip(study.years if n else (), money, strict=False)):
                cells.append({**key, "measure_id": measure, "year": t, "den": 12 * n, "num": n * y, "num_sq": n * y * y * same})
                for u, z in zip(study.years[i:], money[i:], strict=True):
                    both, product = n * STAYS ** (u - t), y * z * (same if u == t else again)
                    pair = {"measure_1": measure, "year_1": t, "measure_2": measure, "year_2": u, "den_den": 144 * both}
                    overlap.append({**key, **pair, "num_den": 12 * both * y, "den_num": 12 * both * z, "num_num": both * product})
    return pd.DataFrame(cells), pd.DataFrame(overlap)
