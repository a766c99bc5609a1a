"""Thousands of regressions at once: sums of what labels bring, many small systems, a large event study."""

from __future__ import annotations

import numpy as np
import p4equity
import pytest
from p4equity.inference.reassignment import reassignments
from p4equity.inference.refitting import solved, sums, zeros_and_ones
from reassignment_panel import OPTIONS, panel


@pytest.mark.parametrize("inference", ["permutation", "permutation_studentized"])
def test_event_studies_of_fifty_units_are_answered(inference: str) -> None:
    frame = panel(5, (*[2013] * 7, *[2014] * 7, *[2015] * 6, *[None] * 30))
    out = p4equity.fit("event_study", frame, inference=inference, **OPTIONS)
    assert out["status"].iloc[0] == "ok"


@pytest.mark.parametrize("kind", ["alike", "alike in strata", "a few factors", "of their own"])
def test_sums_of_what_labels_bring(kind: str) -> None:
    rng = np.random.default_rng(7)
    labels, strata = np.repeat([0, 1, 2], 8), np.arange(24) % 2
    of = {"alike": np.ones((24, 1)), "alike in strata": np.eye(2)[strata], "a few factors": rng.normal(size=(24, 3))}
    left = of.get(kind, np.eye(24))
    parts = np.einsum("nr,rck->nck", left, rng.normal(size=(left.shape[1], 3, 4)))
    found = sums(parts, labels, strata)
    assert (found.fixed is not None) == kind.startswith("alike")
    assert found.left.shape[1] == {"alike": 0, "alike in strata": 0, "a few factors": 3}.get(kind, 24)
    table = reassignments(labels, strata, limit=50, seed=1).table
    total = found.total(zeros_and_ones(table, 3, found.used))
    expected = parts[np.arange(24), table].sum(axis=1).T
    np.testing.assert_allclose(np.broadcast_to(total, expected.shape), expected, rtol=1e-11, atol=1e-11)


def test_many_systems_and_singular_ones() -> None:
    rng = np.random.default_rng(8)
    X, right = rng.normal(size=(5, 9, 3)), rng.normal(size=(3, 2, 5))
    moment = np.einsum("bni,bnj->ijb", X, X)
    moment[2, :, 1], moment[:, 2, 1] = moment[1, :, 1], moment[:, 1, 1]  # the second one: two regressors the same
    moment[2, 2, 1] = moment[1, 1, 1]
    found = solved(moment, np.einsum("iib->ib", moment), right)
    assert np.isnan(found[:, :, 1]).all()
    for b in (0, 2, 3, 4):
        assert found[:, :, b] == pytest.approx(np.linalg.solve(moment[:, :, b], right[:, :, b]), rel=1e-9)
    one = solved(moment[:, :, :1], np.einsum("iib->ib", moment[:, :, :1]), right)
    assert one[:, :, 3] == pytest.approx(np.linalg.solve(moment[:, :, 0], right[:, :, 3]), rel=1e-9)
