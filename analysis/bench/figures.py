"""What a benchmark run holds: figures with their ratios and bars, agreements of answers, and how all of it is recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.measure import Measured


@dataclass(frozen=True)
class Figure:
    """One thing measured. ratio: its seconds over those of `of`, or, where it is a comparison, `of`'s seconds over its own.

    bar: what the ratio may be at most (at least, where `faster`); None without a bar. memory: bytes it may hold at most. seconds:
    a limit on the seconds themselves.
    """

    part: str
    name: str
    measured: Measured
    of: str = ""
    ratio: float = math.nan
    bar: float | None = None
    faster: bool = False
    memory: float | None = None
    seconds: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether every bar is met; None where there is none."""
        if self.bar is None and self.memory is None and self.seconds is None:
            return None
        if self.measured.failed:
            return False
        ratio = self.bar is None or (self.ratio >= self.bar if self.faster else self.ratio <= self.bar)
        held = self.memory is None or self.measured.peak <= self.memory
        return ratio and held and (self.seconds is None or self.measured.best <= self.seconds)

    def record(self) -> dict[str, Any]:
        """As `latest.json` holds it."""
        out = {"part": self.part, "what": self.name, **self.measured.record()}
        if math.isfinite(self.ratio):
            out |= {"ratio": round(self.ratio, 3), "of": self.of, "ratio_is": "times faster" if self.faster else "times as long"}
        out |= {k: v for k, v in (("bar", self.bar), ("memory_bar_bytes", self.memory), ("seconds_bar", self.seconds)) if v}
        return out | {k: v for k, v in (("bar_met", self.met), ("note", self.note)) if v not in (None, "")}


@dataclass(frozen=True)
class Agreement:
    """The largest difference between two answers to one question, and what it may be."""

    what: str
    difference: float
    tolerance: float

    @property
    def met(self) -> bool:
        """Whether the answers agree; a missing answer does not."""
        return self.difference <= self.tolerance

    def record(self) -> dict[str, Any]:
        """As `latest.json` holds it."""
        shown = None if math.isnan(self.difference) else self.difference
        return {"what": self.what, "largest_difference": shown, "tolerance": self.tolerance, "agree": self.met}


@dataclass
class Found:
    """Everything of one run, in order."""

    figures: list[Figure] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    sizes: dict[str, Any] = field(default_factory=dict)


def ratio(one: Measured, other: Measured) -> float:
    """Seconds of one over seconds of the other, each its fastest repetition; NaN where either failed."""
    return one.best / other.best if not (one.failed or other.failed) and other.best > 0 else math.nan


def faster_of(*several: Measured) -> Measured:
    """The measurement whose fastest repetition is the shortest; the first failure where all failed."""
    good = [m for m in several if not m.failed]
    return min(good, key=lambda m: m.best) if good else several[0]


def largest_difference(ours: Any, theirs: Any, keys: Sequence[str], value: str, factor: float = 1.0) -> float:
    """Largest distance of a value between two lists of records with the same keys, theirs times a factor; NaN without a pair.

    Records in which ours has no number (no answer by design) are left out.
    """
    by_key = {tuple(row[k] for k in keys): row for row in theirs or []}
    pairs = [(row[value], by_key.get(tuple(row[k] for k in keys), {}).get(value)) for row in ours or []]
    gaps = [abs(a - b * factor) for a, b in pairs if a is not None and math.isfinite(a) and b is not None]
    return max(gaps, default=math.nan)


def growth_ratio(times: Mapping[float, float], low: float, high: float) -> float:
    """How much longer the larger size takes than the smaller one."""
    return times[high] / times[low] if times.get(low, 0) > 0 and high in times else math.nan
