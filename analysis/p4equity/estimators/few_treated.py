"""Few treated units of a regression: what each comparison unit would have added at the treated units' dates and weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from p4equity.estimators.base import Answer, Array, Request, Term, finite
from p4equity.estimators.linear import LinearEstimate
from p4equity.estimators.panels import Panel
from p4equity.estimators.values import codes
from p4equity.inference.few_treated import FewTreatedResult, Loads, conley_taber, ferman_pinto
from p4equity.inference.sweeping import Codes, residuals, take_out

METHODS = ("conley_taber", "ferman_pinto")
NO_SIZES = "ferman_pinto needs sizes: pass cell counts as weights, or their column as sizes"
TWO_COMPARISONS = "two comparison units observed in all periods of the treated units are needed"
EQUAL_NOISE = (
    "the reference distribution takes treated units to be as noisy as the comparison units: where they are smaller it rejects "
    "a true null up to 30% of the time at 5%, where larger almost never"
)
FEW_RESIDUALS = (
    "the variance by size is estimated from the comparison units' residuals: with a dozen of them a true null is rejected 5 to "
    "17% of the time at 5%, most when the smallest units are treated"
)


@dataclass(frozen=True)
class FewTreatedDesign:
    """A two-way regression as weights on rows. terms: (N, K) regressors. effects: unit and period codes; holder: (N,) what
    is treated as a whole, the cluster. sizes_known: whether weights or sizes say how many members a cell has.
    """

    panel: Panel
    terms: Array
    effects: tuple[Codes, Codes]
    holder: Codes
    sizes_known: bool

    def row_weights(self, contrast: Array) -> tuple[Array, Array]:
        """(N,) weights with estimate = sum of weights y, and (N, c) covariates less all effects for taking them out of y."""
        w, p = self.panel.frame["w"].to_numpy(float), self.terms.shape[1]
        X = take_out(np.hstack([self.terms, self.panel.covariates()]), self.effects, w, self.holder)
        scale = np.sqrt(w @ X**2)
        X = X[:, scale > 0] / scale[scale > 0]
        c = np.zeros(len(scale))
        c[:p] = contrast
        M = linalg.pinvh((X * w[:, None]).T @ X, rtol=1e-10)
        return np.asarray(w * (X @ (M @ (c / np.where(scale > 0, scale, 1.0))[scale > 0]))), X

    def loads(self, contrast: Array, outcome: int) -> tuple[Loads | None, str]:
        """Loads of one term, and the comparison units that miss periods of the treated ones (as a warning, or why none)."""
        frame = self.panel.frame
        w, weights = frame["w"].to_numpy(float), self.row_weights(contrast)[0]
        y = self._adjusted(outcome)
        size = self.panel.sizes(outcome)
        place = codes(frame["group"], frame["time"])
        shape = (int(self.holder.max()) + 1, int(place.max()) + 1)

        def sums(values: Array) -> Array:
            out = np.zeros(shape)
            np.add.at(out, (self.holder, place), values)
            return out

        total = sums(w)
        means = np.divide(sums(w * y), total, out=np.full(shape, np.nan), where=total > 0)
        inverse = np.divide(1.0, sums(size), out=np.zeros(shape), where=total > 0)
        at = sums(weights)
        at[np.abs(at) <= 1e-12 * np.abs(at).max(initial=1e-300)] = 0.0
        treated = np.zeros(shape[0], bool)
        treated[self.holder[self.panel.treated]] = True
        never = np.ones(shape[0], bool)
        never[self.holder[frame["cohort"].notna().to_numpy()]] = False
        used = treated & (at != 0).any(axis=1)
        needed = (at[used] != 0).any(axis=0)
        whole = never & (total[:, needed] > 0).all(axis=1)
        if not used.any() or whole.sum() < 2:
            return None, TWO_COMPARISONS
        left = int(never.sum() - whole.sum())
        note = f"{left} comparison units that miss periods of the treated ones give no residuals" if left else ""
        squares = at**2
        shares = total[whole].sum(axis=1)
        return Loads(
            W=np.where(at[used] != 0, at[used], 0.0) @ np.nan_to_num(means[whole]).T,
            c=squares[used].sum(axis=1),
            x=squares[used] @ inverse[whole].T,
            own=(squares * inverse)[used].sum(axis=1),
            other_c=squares[never].sum(axis=1),
            other_x=(squares * inverse)[never].sum(axis=1),
            shares=shares / shares.sum(),
        ), note

    def _adjusted(self, outcome: int) -> Array:
        """(N,) outcome less its covariates' part."""
        y, covariates = self.panel.Y[:, outcome], self.panel.covariates()
        if not covariates.shape[1]:
            return np.asarray(y)
        w = self.panel.frame["w"].to_numpy(float)
        everything = np.hstack([self.terms, covariates])
        X = take_out(everything, self.effects, w, self.holder)
        root = np.sqrt(w)
        target = residuals(y[:, None], self.effects, w, self.holder)[:, 0]
        b = np.linalg.lstsq(root[:, None] * X, root * target, rcond=1e-10)[0]
        return np.asarray(y - covariates @ b[self.terms.shape[1] :])


def answer(estimate: LinearEstimate, term: Term, contrast: Array, b: float, inference: str, request: Request) -> Answer:
    """One term under Conley and Taber or Ferman and Pinto."""
    if not estimate.few_treated:
        return Answer(reason=f"{inference} is defined for did and meta_regression")
    design = estimate.few_treated[term.fit]()
    if inference == "ferman_pinto" and not design.sizes_known:
        return Answer(reason=NO_SIZES)
    loads, note = design.loads(contrast, term.outcome)
    if loads is None:
        return Answer(reason=note)
    return few_treated_answer(b, loads, inference, request, (note,) if note else ())


def few_treated_answer(
    b: float, loads: Loads, inference: str, request: Request, notes: tuple[str, ...] = (), between: float | None = None
) -> Answer:
    """An answer without standard error, with what its test rests on as warnings."""
    if not _varies(loads, b):
        return Answer(reason="no variation among comparison units: there is nothing to compare with")
    options = {"conf_level": request.conf_level, "limit": int(request.own.get("limit", 1_000_000)), "seed": request.seed}
    if inference == "conley_taber":
        result = conley_taber(b, loads, **options)  # type: ignore[arg-type]
    else:
        result = ferman_pinto(b, loads, between=between, **options)  # type: ignore[arg-type]
    rests = EQUAL_NOISE if inference == "conley_taber" else FEW_RESIDUALS if between is None else ""
    return Answer(
        b,
        p_value=result.p_value,
        conf_low=finite(result.conf_low),
        conf_high=finite(result.conf_high),
        p_attainable=result.p_attainable,
        warnings=tuple(text for text in (*notes, rests, *_of_draws(result)) if text),
    )


def _varies(loads: Loads, b: float) -> bool:
    from p4equity.inference.few_treated import residuals as movements

    return float(np.abs(movements(loads)).max()) > 1e-12 * max(float(np.abs(loads.W).max()), abs(b), 1e-300)


def _of_draws(result: FewTreatedResult) -> tuple[str, ...]:
    out = []
    if not np.isfinite(result.conf_low):
        out.append("the interval is unbounded: the attainable p exceeds the level")
    if result.sampled:
        error = f"Monte Carlo error of the p value {result.monte_carlo_error:.2g}"
        out.append(f"{result.n_draws:,} of the possible draws were taken: {error}")
    return tuple(out)


def few(term: Term) -> bool:
    """Whether a term has one or two treated clusters, and comparison units to draw from."""
    return 1 <= term.base.n_treated_clusters <= 2 <= term.base.n_comparison_clusters
