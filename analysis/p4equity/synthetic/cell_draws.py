"""Draws of whole cell tables with a known truth, for recovery simulations: fixed denominators and overlap, new outcomes.

Each draw has fresh system-year shocks and new sampling error with the covariance that persistence within members gives it
(normal approximation, exact first two moments before rounding to whole members). Spending cells stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from p4equity.study import Study
from p4equity.symmetric import symmetric_root
from p4equity.synthetic.beside import by_owner
from p4equity.synthetic.build_streams import readings, streams_of
from p4equity.synthetic.bumps import rule_selected
from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray
from p4equity.synthetic.plan import HIGHEST_RATE, HIGHEST_READING, LOWEST_RATE
from p4equity.synthetic.rates import Rates, build_rates, draw_selection, draw_shocks
from p4equity.synthetic.truth import load_truth

if TYPE_CHECKING:
    import pandas as pd

KEYS = ["system_id", "measure_id", "group", "year"]


@dataclass(frozen=True)
class _Model:
    """Rates of one event stream, and the covariance of a member's results between years."""

    rates: Rates
    sharing: tuple[str, ...]
    persistence: float
    reading: FloatArray | None
    gain: FloatArray

    def probability(self, moving: FloatArray) -> FloatArray:
        """Probability of the numerator (S+1, K, Y) with the given shocks and passing gaps, in points."""
        rate = np.clip((self.rates.level + self.rates.effect + self.rates.beside + moving) / 100, LOWEST_RATE, HIGHEST_RATE)
        if self.reading is None:
            return rate
        result: FloatArray = np.minimum(rate / self.reading, HIGHEST_RATE) * np.minimum(self.reading + self.gain, HIGHEST_READING)
        return result

    def joint(self, probability: FloatArray) -> FloatArray:
        """Covariance of one member's results in two years (..., Y, Y), given their probabilities (..., Y)."""
        years = np.arange(probability.shape[-1])
        same = self.persistence ** np.abs(np.subtract.outer(years, years))
        apart = probability[..., :, None] * probability[..., None, :]
        if self.reading is None:
            return _both(probability, same) - apart
        reading = np.minimum(self.reading + self.gain, HIGHEST_READING)
        return _both(reading, same) * _both(probability / reading, same) - apart


def _both(p: FloatArray, same: FloatArray) -> FloatArray:
    """P(both uniforms below their bound) when the two are the same with probability `same` and independent otherwise."""
    first, second = p[..., :, None], p[..., None, :]
    result: FloatArray = same * np.minimum(first, second) + (1 - same) * first * second
    return result


@dataclass(frozen=True)
class _Block:
    """The cells of one measure: row numbers, position (system, group, year), size, root of their covariance."""

    stream: str
    rows: IntArray
    at: tuple[IntArray, IntArray, IntArray]
    size: FloatArray
    root: FloatArray


@dataclass(frozen=True)
class _Pairs:
    """The overlap rows whose measures are drawn: row numbers, the two cells, shared members, covariance within a member."""

    rows: IntArray
    first: IntArray
    second: IntArray
    shared: FloatArray
    covariance: FloatArray
    own: BoolArray


class CellSampler:
    """Prepared once for a cell table, then `draw` gives one table after the other.

    `cells`, `overlap`: one map and one race version of the tables `cell` and `cell_overlap`; practices and strata are summed.
    `scenario`: whose effects (and noise selection, documentation gain) hold; lasting levels are those of `seed`.
    """

    def __init__(
        self,
        study: Study,
        cells: pd.DataFrame,
        overlap: pd.DataFrame,
        *,
        scenario: str | None = "clean",
        seed: int | None = None,
    ) -> None:
        self._study = study
        self._planted = load_truth(study, scenario)
        self._groups = study.scheme.ids if study.scheme else ()
        self._shape = (len(study.systems) + 1, len(self._groups), len(study.years))
        self._models = self._build_models(study.data.seed if seed is None else seed)
        self.cells = _summed(cells)
        self.overlap = overlap.reset_index(drop=True)
        joint = {name: model.joint(model.probability(np.zeros(self._shape))) for name, model in self._models.items()}
        self._blocks = self._build_blocks(joint)
        self._pairs = self._build_pairs(joint)

    def draw(self, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Cells (summed over practices and strata) and overlap moments of one draw."""
        # From a stream beside: all else is drawn as in the scenario without bulges.
        probability, bumps = {}, rule_selected(self._study, self._planted, self._shape, rng.spawn(1)[0])
        for name, model in self._models.items():
            shocks = draw_shocks(self._planted, model.rates.gap_sd, self._shape, rng)
            moving = by_owner(self._study, self._planted, shocks) + bumps.get(name, 0.0)
            moving += draw_selection(self._study, self._planted, model.sharing, self._shape, rng)
            probability[name] = model.probability(moving)
        count = self.cells["num"].to_numpy(dtype=float).copy()
        for block in self._blocks:
            z = rng.standard_normal(block.root.shape[:-1])
            noise = (block.root @ z[..., None])[..., 0]
            count[block.rows] = np.clip(
                np.round(block.size * probability[block.stream][block.at] + noise[block.at]), 0, block.size
            )
        cells = self.cells.assign(num=count.astype(np.int64))
        if "with_reading" in cells:
            # Readings are not drawn; they only never fall below the numerators that need one.
            cells["with_reading"] = cells["with_reading"].mask(cells["with_reading"] < cells["num"], cells["num"])
        return cells, self._moments(count)

    def _moments(self, count: FloatArray) -> pd.DataFrame:
        """Overlap rows that agree with the drawn rates and the covariance within members."""
        pairs = self._pairs
        size = np.maximum(self.cells["den"].to_numpy(dtype=float), 1.0)
        first, second = (count / size)[pairs.first], (count / size)[pairs.second]
        one = np.where(pairs.own, count[pairs.first], np.round(pairs.shared * first))
        two = np.where(pairs.own, count[pairs.second], np.round(pairs.shared * second))
        both = np.round(pairs.shared * (first * second + pairs.covariance))
        both = np.where(pairs.own, one, np.clip(both, np.maximum(0.0, one + two - pairs.shared), np.minimum(one, two)))
        drawn = {}
        for column, value in (("num_den", one), ("den_num", two), ("num_num", both)):
            whole = self.overlap[column].to_numpy(dtype=np.int64).copy()
            whole[pairs.rows] = value.astype(np.int64)
            drawn[column] = whole
        return self.overlap.assign(**drawn)

    def _build_models(self, seed: int) -> dict[str, _Model]:
        result = {}
        for name, found in streams_of(self._study).items():
            sharing = tuple(m.id for m in found)
            reading, gain = readings(self._study, self._planted, found, self._groups, seed)
            rates = build_rates(self._study, self._planted, found[0], sharing, seed)
            result[name] = _Model(rates, sharing, float(found[0].synthetic.get("persistence", 0.4)), reading, gain)
        return result

    def _positions(self, frame: pd.DataFrame, *columns: str) -> tuple[IntArray, ...]:
        """Positions along the axes; a column is a system, a group, or a year by its name."""
        axes = {
            "system_id": {s.id: i for i, s in enumerate(self._study.systems)},
            "group": {g: i for i, g in enumerate(self._groups)},
        }
        years = {y: i for i, y in enumerate(self._study.years)}
        return tuple(frame[c].map(axes.get(c, years)).to_numpy(dtype=np.int64) for c in columns)

    def _build_blocks(self, joint: dict[str, FloatArray]) -> list[_Block]:
        blocks = []
        for measure, rows in self.cells.groupby("measure_id", observed=True).indices.items():
            stream = self._study.measure(str(measure)).events
            if stream not in self._models:
                continue
            mine = self.cells.iloc[rows]
            at = self._positions(mine, "system_id", "group", "year")
            size = mine["den"].to_numpy(dtype=float)
            both = np.zeros((*self._shape, self._shape[-1]))
            pairs = self.overlap[(self.overlap["measure_1"] == measure) & (self.overlap["measure_2"] == measure)]
            s, k, t, u = self._positions(pairs, "system_id", "group", "year_1", "year_2")
            both[s, k, t, u] = both[s, k, u, t] = pairs["den_den"].to_numpy(dtype=float)
            both[*at, at[2]] = size
            root = symmetric_root(both * joint[stream])
            blocks.append(_Block(stream, np.asarray(rows, dtype=np.int64), (at[0], at[1], at[2]), size, root))
        return blocks

    def _build_pairs(self, joint: dict[str, FloatArray]) -> _Pairs:
        import pandas as pd

        keys = self.overlap[["system_id", "group"]]
        number = pd.Series(np.arange(len(self.cells)), index=pd.MultiIndex.from_frame(self.cells[KEYS]))
        ends = []
        for end in ("1", "2"):
            wanted = keys.assign(measure_id=self.overlap[f"measure_{end}"], year=self.overlap[f"year_{end}"])[KEYS]
            ends.append(number.reindex(pd.MultiIndex.from_frame(wanted)).to_numpy(dtype=float))
        streams = [
            self.overlap[f"measure_{end}"].map(
                {m: self._study.measure(m).events for m in self.overlap[f"measure_{end}"].unique()}
            )
            for end in ("1", "2")
        ]
        known = np.logical_and.reduce(
            [np.isfinite(ends[0]), np.isfinite(ends[1]), *(s.isin(list(self._models)) for s in streams)]
        )
        rows = np.flatnonzero(known)
        s, k, t, u = (a[rows] for a in self._positions(self.overlap, "system_id", "group", "year_1", "year_2"))
        one, two = (stream.to_numpy()[rows] for stream in streams)
        covariance = np.zeros(len(rows))
        for name, table in joint.items():
            here = (one == name) & (two == name)
            covariance[here] = table[s[here], k[here], t[here], u[here]]
        first, second = ends[0][rows].astype(np.int64), ends[1][rows].astype(np.int64)
        shared = self.overlap["den_den"].to_numpy(dtype=float)[rows]
        return _Pairs(rows, first, second, shared, covariance, first == second)


def draw_cells(
    study: Study,
    cells: pd.DataFrame,
    overlap: pd.DataFrame,
    rng: np.random.Generator,
    *,
    scenario: str | None = "clean",
    seed: int | None = None,
) -> pd.DataFrame:
    """One draw of the cells; for many draws, or for the overlap moments that go with them, keep a `CellSampler`."""
    return CellSampler(study, cells, overlap, scenario=scenario, seed=seed).draw(rng)[0]


def _summed(cells: pd.DataFrame) -> pd.DataFrame:
    """One row a system, measure, group and year; the columns of the table otherwise, `practice_id` null, `stratum` all."""
    counts = [c for c in ("den", "num", "with_reading", "num_sq", "value", "weight") if c in cells]
    fixed = [c for c in ("map", "race_version") if c in cells]
    found = cells.groupby([*fixed, *KEYS], sort=True, observed=True)[counts].sum(min_count=1).reset_index()
    if "practice_id" in cells:
        found["practice_id"] = None
    if "stratum" in cells:
        found["stratum"] = "all"
    return found[list(cells.columns)]
