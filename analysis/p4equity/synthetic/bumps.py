"""Gaps that bulge in the selection year at every system; contracts name each system's largest. Off unless switched on."""

from __future__ import annotations

import numpy as np

from p4equity.study import Study
from p4equity.synthetic.draws import FloatArray
from p4equity.synthetic.truth import Planted


def candidate_streams(study: Study, planted: Planted) -> tuple[str, ...]:
    """Event streams of the measures that a contract could have named."""
    model = planted.truth.rule_selection
    words = model.measures if model else ()
    return tuple(dict.fromkeys(study.measure(m).events for word in words for m in study.measure_ids(word)))


def contracted_streams(study: Study, system_id: str) -> set[str]:
    """Event streams of the measures in a system's contracts."""
    return {study.measure(m).events for c in study.contracts if c.system_id == system_id for m in c.measures}


def rule_selected(study: Study, planted: Planted, shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, FloatArray]:
    """What bulging gaps add to rates (S+1, K, Y), by stream; empty where the scenario has none.

    Every candidate stream of every system has its own normal draw in the selection years. A system with a contract has its
    largest draws in the streams that the contract names, in random order: as if the rule had looked at these draws alone.
    """
    model = planted.truth.rule_selection
    if not planted.on("rule_selection") or model is None:
        return {}
    streams = candidate_streams(study, planted)
    gaps = model.sd * rng.standard_normal((shape[0], len(streams)))
    order = rng.random(gaps.shape)
    for s, system in enumerate(study.systems):
        named = np.isin(streams, list(contracted_streams(study, system.id)))
        if named.any():
            falling = -np.sort(-gaps[s])
            gaps[s, named] = falling[: named.sum()][np.argsort(order[s, named])]
            gaps[s, ~named] = falling[named.sum() :][np.argsort(order[s, ~named])]
    gaps[-1] = 0.0
    columns = [t for t, year in enumerate(study.years) if year in study.baseline.selection_years]
    result = {name: np.zeros(shape) for name in streams}
    for i, name in enumerate(streams):
        result[name][:, 1:, columns] = -gaps[:, i, None, None]
    return result
