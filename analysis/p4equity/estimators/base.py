"""What an estimator receives and hands back: the checked request, the terms to print, the frozen estimate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
NAN = float("nan")
FEW = 3  # fewer treated or comparison clusters than this: cluster-robust and bootstrap answers are not given


@dataclass(frozen=True)
class Request:
    """The arguments of `fit`, names checked against the data; see there for their meaning.

    chosen: whether the caller named the methods of inference.
    """

    estimator: str
    outcome: str
    cohort: str
    unit: str
    time: str | None = None
    group: str | None = None
    reference: object = None
    parent: str | None = None
    weights: str | None = None
    sampling_se: str | None = None
    cluster: str | None = None
    cluster2: str | None = None
    covariates: tuple[str, ...] = ()
    comparison: str = "never"
    anticipation: int = 0
    inference: tuple[str, ...] = ()
    chosen: bool = True
    aggregate: str | None = None
    conf_level: float = 0.95
    seed: int = 0
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dropped:
    """Rows of a unit that did not enter, and why. period is empty when all its rows are meant."""

    unit: str
    period: str
    reason: str


@dataclass(frozen=True)
class Base:
    """Data behind a term.

    n_members: member-periods, NaN unless weights are whole numbers. first_year, last_year: NaN unless time is a year.
    """

    n_members: float
    n_cells: int
    first_year: float
    last_year: float
    n_clusters: int
    n_treated_clusters: int
    n_comparison_clusters: int


@dataclass(frozen=True)
class Term:
    """One quantity to print: a linear combination of a fit's coefficients, or a joint test of several.

    contrast: (q, k) rows; q = 1 for a coefficient. joint: the term is the test that all rows are zero, and its
    estimate their mean. fit, outcome: which regression and which of its outcomes. band: terms of one band share a key
    and get simultaneous limits.
    """

    estimand: str
    contrast: Array
    base: Base
    fit: int = 0
    outcome: int = 0
    group: str = "all"
    cohort: object = None
    event_time: float = NAN
    period: str | None = None
    joint: bool = False
    band: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """Numbers of one row; all NaN when `reason` is filled. Limits are NaN where unbounded. unit: of the estimate."""

    estimate: float = NAN
    std_error: float = NAN
    statistic: float = NAN
    p_value: float = NAN
    conf_low: float = NAN
    conf_high: float = NAN
    df: float = NAN
    p_attainable: float = NAN
    reason: str = ""
    interval: str = "pointwise"
    warnings: tuple[str, ...] = ()
    unit: str = "outcome"


@dataclass(frozen=True)
class Estimate(ABC):
    """Common part of every estimator's result; subclasses add coefficients, cluster moments or changes, and how to answer."""

    terms: tuple[Term, ...]
    dropped: tuple[Dropped, ...]
    unbalanced: tuple[Dropped, ...]

    @abstractmethod
    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """One answer a term under one method of inference."""

    def methods(self, request: Request) -> tuple[str, ...]:
        """Methods of inference to answer by: those of the request."""
        return request.inference

    def notes(self, request: Request) -> tuple[str, ...]:  # noqa: ARG002
        """Sentences about the whole estimate."""
        return ()

    def attributes(self) -> dict[str, object]:
        """Details beside the rows, as plain lists of records: a frame's attrs are compared and stored."""
        return {}


def finite(value: float) -> float:
    """The value, or NaN when it is infinite: an unbounded limit is printed as missing."""
    return value if np.isfinite(value) else NAN


def estimand(name: str, outcome: str) -> str:
    """'att' for a plain outcome; 'att_gap', 'att_reference', 'att_group' for the three outcomes of a gap panel."""
    return f"{name}_{outcome}" if outcome else name
