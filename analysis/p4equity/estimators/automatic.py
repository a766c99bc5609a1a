"""`inference="auto"`: the methods that a design calls for, chosen from counts before anything is estimated."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np

from p4equity.estimators.base import Request
from p4equity.estimators.tidy import Cells
from p4equity.inference.autopilot import Design, choose, effective_clusters

AUTO = "auto"


def design(cells: Cells) -> Design:
    """Clusters of the checked cells: how many, how many ever treated within the data, how unequal, how many adoption dates."""
    frame = cells.frame
    sizes = frame.groupby("cluster")["w"].sum().to_numpy(float)
    # Two groups of one cluster are one size; weights of observations without counts are rows.
    treated = frame.loc[frame["cohort"].notna(), "cluster"].nunique()
    return Design(len(sizes), int(treated), effective_clusters(sizes), int(frame["cohort"].dropna().nunique()))


def automatic(cells: Cells, request: Request, module: ModuleType) -> tuple[Request, str]:
    """The request with the chosen methods, and the sentence that says which and why.

    The estimator's other checks of the data follow as always: what a chosen method cannot answer has a row with its reason.
    """
    found = design(cells)
    if request.sampling_se is not None:  # changes weigh by precision, not by rows
        precision = (1 / np.maximum(cells.frame.groupby("cluster")["se"].mean(), 1e-300) ** 2).to_numpy(float)
        found = replace(found, effective=effective_clusters(precision / precision.max()))
    choice = choose(found, module.INFERENCES)
    first, *others = choice.methods
    checks = f"; beside it {', '.join(others)}" if others else ""
    return replace(request, inference=choice.methods), f"auto: {first} is primary{checks} ({choice.why})"
