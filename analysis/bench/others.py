"""The other libraries' side, run by the environment that `requirements-bench.lock` describes; imports nothing of the toolkit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.timing import Job, run_job

Spec = Mapping[str, Any]
Pair = tuple[Callable[[], Any], Callable[[Any], Any]]
TRIPLE = "y ~ effect | measure^system^group + measure^system^year + measure^group^year"
TWO_WAY = "y ~ treated | measure^system + measure^year"
LABELS = ("measure", "system", "group")


def _members(spec: Spec) -> Any:
    import pandas as pd

    frame = pd.read_parquet(spec["members"])
    return frame.astype(dict.fromkeys(LABELS, "category"))


def _effects(frame: Any, formula: str) -> Any:
    """The combined effects of a formula as columns of integers, made beforehand."""
    import pandas as pd

    made = {}
    for i, effect in enumerate(formula.split("|")[1].split("+")):
        columns = [c.strip() for c in effect.split("^")]
        made[f"fe{i}"] = pd.MultiIndex.from_frame(frame[columns]).factorize()[0]
    return pd.DataFrame(made, index=frame.index)


def pyfixest(spec: Spec) -> Pair:
    """The primary regression on rows of members. ready: combined effects made beforehand; read: the file is read each time."""
    import pyfixest as pf

    formula = TRIPLE if spec["estimator"] == "triple_difference" else TWO_WAY
    kept = None if spec["read"] else _members(spec)
    if spec["ready"] and kept is not None:
        made = _effects(kept, formula)
        kept = kept[["y", "effect", "treated", "system"]].join(made)
        formula = f"{formula.split('|')[0]}| {' + '.join(made)}"
    ssc = pf.ssc() if spec["ssc"] == "fixest" else pf.ssc(k_adj=False)

    def work() -> Any:
        frame = _members(spec) if kept is None else kept
        return pf.feols(formula, frame, vcov={"CRV1": "system"}, ssc=ssc, copy_data=False, store_data=False, lean=True)

    return work, lambda fit: {"estimate": float(fit.coef().iloc[0]), "std_error": float(fit.se().iloc[0])}


def linearmodels(spec: Spec) -> Pair:
    """The primary regression on rows of members by AbsorbingLS: PanelOLS has two effects at most."""
    import pandas as pd
    from linearmodels.iv.absorbing import AbsorbingLS

    triple = spec["estimator"] == "triple_difference"
    formula, column = (TRIPLE, "effect") if triple else (TWO_WAY, "treated")
    kept = None if spec["read"] else _members(spec)
    effects = None if kept is None else _effects(kept, formula)

    def work() -> Any:
        frame = _members(spec) if kept is None else kept
        absorbed = (_effects(frame, formula) if effects is None else effects).astype("category")
        model = AbsorbingLS(frame["y"], frame[[column]], absorb=pd.DataFrame(absorbed))
        return model.fit(cov_type="clustered", clusters=frame["system"].cat.codes, debiased=False)

    return work, lambda fit: {"estimate": float(fit.params.iloc[0]), "std_error": float(fit.std_errors.iloc[0])}


def wildboottest(spec: Spec) -> Pair:
    """The restricted wild bootstrap by measure and group on the panels of gaps: dummies, no weights."""
    import pandas as pd
    import statsmodels.api as sm
    from wildboottest.wildboottest import wildboottest as boot

    frame = pd.read_parquet(spec["gaps"])

    def work() -> Any:
        out = []
        for (measure, group), rows in frame.groupby(["measure_id", "group"]):
            dummies = pd.get_dummies(rows[["system_id", "year"]].astype(str), drop_first=True, dtype=float)
            X = sm.add_constant(dummies.assign(treated=rows["treated"]))
            clusters = pd.Series(pd.factorize(rows["system_id"])[0], index=rows.index)
            found = boot(
                sm.OLS(rows["gap"], X),
                B=spec["draws"],
                cluster=clusters,
                param="treated",
                weights_type="webb",
                seed=1,
                show=False,
            )
            out.append({"measure": measure, "group": group, "statistic": found["statistic"], "p_value": found["p-value"]})
        return out

    return work, lambda found: [{k: _plain(v) for k, v in row.items()} for row in found]


def _plain(value: Any) -> Any:
    import numpy as np

    return value if isinstance(value, str) else float(np.asarray(value).ravel()[0])


def diff_diff(spec: Spec) -> Pair:
    """Group-time effects on rows of members as repeated cross-sections, errors clustered by system."""
    import pandas as pd
    from diff_diff import CallawaySantAnna

    def read() -> Any:
        frame = pd.read_parquet(spec["members"], columns=["system", "year", "cohort", "y"])
        return frame.assign(row=range(len(frame)))

    kept = None if spec["read"] else read()

    def work() -> Any:
        model = CallawaySantAnna(panel=False, cluster="system", estimation_method="reg", cband=False)
        return model.fit(read() if kept is None else kept, outcome="y", unit="row", time="year", first_treat="cohort")

    def answer(found: Any) -> list[dict[str, Any]]:
        effects = found.group_time_effects.items()
        return [
            {"cohort": int(g), "period": int(t), "estimate": float(e["effect"]), "std_error": float(e["se"])}
            for (g, t), e in effects
        ]

    return work, answer


JOBS: dict[str, Job] = {job.__name__: job for job in (pyfixest, linearmodels, wildboottest, diff_diff)}

if __name__ == "__main__":
    run_job(JOBS)
