"""Options of the answers that rest on a whole path of event times: bounds, target, what is left out, which sets and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.arguments import known
from p4equity.estimators.base import Request
from p4equity.inference.pretest import TESTS
from p4equity.inference.sensitivity.path import GAPS
from p4equity.inference.sensitivity.sets import MAGNITUDES, METHODS, SMOOTHNESS

PRETEST = "pretest_power"
PATH_INFERENCES = (MAGNITUDES, SMOOTHNESS, PRETEST)
PATH_OPTIONS = ("bound", "average", "exclude", "gap", "set_method", "small_sample", "pretest", "power")
BOUNDS: Mapping[str, tuple[float, ...]] = {MAGNITUDES: (0.5, 1.0, 1.5, 2.0), SMOOTHNESS: (0.0,)}
POWERS = (0.5, 0.8)


@dataclass(frozen=True)
class PathOptions:
    """What a caller of `fit` asked for, checked; see `event_study_answers`."""

    bounds: tuple[float, ...]
    average: tuple[float, ...] | dict[float, float] | None
    exclude: tuple[float, ...]
    gap: str
    method: str | None
    small_sample: bool
    test: str
    powers: tuple[float, ...]


def path_options(inference: str, request: Request) -> PathOptions:
    """The options of one method of inference with their defaults. Raises UsageError for anything they cannot be."""
    own = request.own
    bounds = _numbers(own.get("bound", BOUNDS.get(inference, ())), "bound", "numbers from 0 on")
    if any(b < 0 for b in bounds):
        raise UsageError("a bound below 0", where="fit: bound", expected="numbers from 0 on", found=min(bounds))
    average = own.get("average")
    target: tuple[float, ...] | dict[float, float] | None = None
    if isinstance(average, Mapping):
        weights = _numbers(list(average.values()), "average", "weights", once=False)
        target = dict(zip(_numbers(list(average), "average", "event times"), weights, strict=True))
    elif average is not None:
        target = _numbers(average, "average", "event times, or weights by event time")
    gap, test = own.get("gap", GAPS[0]), own.get("pretest", TESTS[0])
    known(gap, GAPS, "gap rule", "fit: gap")
    known(test, TESTS, "pretest", "fit: pretest")
    method = own.get("set_method")
    if method is not None and inference in METHODS:
        known(method, METHODS[inference], f"set for {inference}", "fit: set_method")
    small = own.get("small_sample", True)
    if not isinstance(small, bool):
        raise UsageError("not a yes or no", where="fit: small_sample", expected="True or False", found=repr(small))
    powers = _numbers(own.get("power", POWERS), "power", "numbers between 0.05 and 1")
    if any(not 0.05 < p < 1 for p in powers):
        raise UsageError("power out of range", where="fit: power", expected="between 0.05 and 1", found=list(powers))
    exclude = _numbers(own.get("exclude", own.get("apart")), "exclude", "event times")
    return PathOptions(bounds, target, exclude, str(gap), method, small, str(test), powers)


def _numbers(value: object, name: str, expected: str, once: bool = True) -> tuple[float, ...]:
    """A number or a list of numbers as a tuple, each once; None for none."""
    given: list[object] = [] if value is None else list(value) if isinstance(value, Sequence | np.ndarray | set) else [value]
    numbers: list[float] = []
    for item in given:
        if isinstance(item, bool) or not isinstance(item, int | float | np.integer | np.floating) or not np.isfinite(float(item)):
            raise UsageError("not a number", where=f"fit: {name}", expected=expected, found=repr(item))
        numbers.append(float(item))
    return tuple(dict.fromkeys(numbers) if once else numbers)
