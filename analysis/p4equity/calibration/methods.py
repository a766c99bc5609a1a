"""Each method of inference as a function of simulated changes, for one question under one assignment of contracts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import P4Error
from p4equity.evaluation.two_stage import SPREAD_SEEN
from p4equity.inference.averaged_t import AveragedDesign, stacked_design
from p4equity.inference.batch import knapp_hartung, permutation, robust
from p4equity.inference.batch_stacked import StackedPermutation, regressors, stacked_knapp_hartung
from p4equity.inference.stacked import Array, Flags, Stacked
from p4equity.inference.stacked_permutation import contract_patterns, count_rows, enumerate_rows, sample_rows

METHODS = ("averaged_t", "averaged_t_varying", "knapp_hartung", "permutation", "cr2")
MOST = 2000  # assignments of a permutation in the simulation; where there are more, this many at random
BLOCK = 500  # draws held at once
Answer = Callable[[Array], tuple[Array, Array]]  # changes (R, S, M) -> estimates (R,), p values (R,)


@dataclass(frozen=True)
class Assignments:
    """Admissible assignments of contract rows (A, S), the observed one first, as positions in `patterns`; total: all of them."""

    patterns: Flags
    table: NDArray[np.int64]
    total: int

    def contracts(self, row: int) -> Flags:
        """(S, M) contracts under one assignment."""
        return np.asarray(self.patterns[self.table[row]])


def admissible(cells: Stacked, limit: int, seed: int) -> Assignments:
    """All assignments within strata, or MOST of them at random."""
    patterns, held = contract_patterns(cells.contracts)
    total = count_rows(held, cells.strata)
    if total > limit:
        return Assignments(patterns, sample_rows(held, cells.strata, MOST, seed), total)
    table = enumerate_rows(held, cells.strata)
    own = int((table == held).all(axis=1).argmax())
    others = np.delete(np.arange(total), own)
    if total > MOST:
        others = np.sort(np.random.default_rng(seed).choice(others, MOST - 1, replace=False))
    return Assignments(patterns, table[np.concatenate([[own], others])], total)


@dataclass
class Bench:
    """The methods for one question's cells. `tau2`: the registered estimator of the variance between systems."""

    cells: Stacked
    assignments: Assignments
    tau2: str

    @property
    def pooled(self) -> bool:
        """Whether there are several measures."""
        return int(self.cells.y.shape[1]) > 1

    @cached_property
    def permutations(self) -> StackedPermutation:
        """Permutation of whole contract rows; what it computes for one set of draws serves the next."""
        return StackedPermutation(self.cells, self.assignments.table)

    def answers(self, row: int = 0) -> dict[str, Answer | str]:
        """Every method under one assignment, or the reason why it has no answer there."""
        cells = replace(self.cells, contracts=self.assignments.contracts(row))
        out: dict[str, Answer | str] = {}
        try:
            regression = regressors(cells)
            for name in METHODS[:2]:
                design, mask = stacked_design(cells, varying=name == METHODS[1])
                out[name] = _averaged(design, mask)
        except (P4Error, np.linalg.LinAlgError) as error:
            return dict.fromkeys(METHODS, error.problem if isinstance(error, P4Error) else "the effect is not identified")
        if self.pooled:
            out["knapp_hartung"] = lambda Y: stacked_knapp_hartung(Y, cells)
            out["permutation"] = lambda Y: self.permutations(Y, row)
        else:
            out |= self._single(cells)
        if len(self.assignments.table) == 1:
            out["permutation"] = "contracts cannot be exchanged: no other system in the stratum"
        out["cr2"] = lambda Y: robust(Y[:, regression.mask], regression.X, regression.contrast, regression.system)[:2]
        return out | ({"cr2": "one unit alone in an arm has no spread"} if _alone(cells) else {})

    def _single(self, cells: Stacked) -> dict[str, Answer | str]:
        at = cells.present[:, 0]
        arm, v = cells.contracts[at, 0], cells.covariance[at, 0, 0]
        table = self.assignments.patterns[self.assignments.table][:, at, 0]
        table = table[table.any(axis=1) & ~table.all(axis=1)]
        few = min(int(arm.sum()), int((~arm).sum())) < SPREAD_SEEN
        return {
            "knapp_hartung": lambda Y: knapp_hartung(Y[:, at, 0], arm, v, self.tau2, few),
            "permutation": lambda Y: permutation(Y[:, at, 0], arm, v, table, self.tau2),
        }


def _alone(cells: Stacked) -> bool:
    """Whether a measure has an arm of one system, which leaves no spread to be robust against."""
    mask = cells.included(cells.contracts) & (cells.measure_weights > 0)
    arms = np.stack([(mask & cells.contracts).sum(axis=0), (mask & ~cells.contracts).sum(axis=0)])
    return bool(np.any(arms[:, cells.measure_weights > 0] < 2))


def _averaged(design: AveragedDesign, mask: Flags) -> Answer:
    def answer(Y: Array) -> tuple[Array, Array]:
        parts = []
        for start in range(0, len(Y), BLOCK):
            mixture = design.mixture(Y[start : start + BLOCK][:, mask])
            parts.append(((mixture.weights * mixture.estimates).sum(axis=1), mixture.p_values))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    return answer
