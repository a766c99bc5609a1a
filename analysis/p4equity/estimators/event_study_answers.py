"""Answers that rest on a whole path of event times: sensitivity to violations of parallel trends, and the power of pretests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.base import NAN, Answer, Array, Request, Term, finite
from p4equity.estimators.path_options import PRETEST, PathOptions, path_options
from p4equity.inference.pretest import pretest_power
from p4equity.inference.sensitivity.path import NO_LEAD, Path, path
from p4equity.inference.sensitivity.sets import MAGNITUDES, REACH, Sensitivity

LARGEST = 100.0  # bounds up to here are searched for the breakdown value
NOT_LAST = "not available, because the reference period is not the last one before treatment and its anticipation"
NORMAL = "small_sample=False: these are normal sets, which hold the truth too rarely with few clusters"
RATIO, PER_PERIOD = "bound", "outcome per period"  # units of a breakdown value and of a slope


@dataclass(frozen=True)
class EventPath:
    """An estimated path: the term of its average after treatment, and the event times with their joint covariance.

    event_times, values (n,), covariance (n, n); reference: the event time without a coefficient; df: of the average's
    standard error, infinite for the normal; reason: why there is none; notes: what the reader should know.
    """

    average: Term
    event_times: Array
    values: Array
    covariance: Array
    reference: float
    df: float
    reason: str = ""
    notes: tuple[str, ...] = ()


def path_answers(found: EventPath, inference: str, request: Request) -> list[tuple[Term, Answer]]:
    """Rows of one path under relative_magnitudes, smoothness or pretest_power.

    Sets: one row a bound ('att, relative magnitudes 0.5': the estimate is the one under parallel trends, the limits those
    of the set, interval 'sensitivity', a limit missing where the set is unbounded), then the breakdown value ('att, relative
    magnitudes breakdown': the largest bound at which the set excludes zero, in units of the bound). Power: for each power
    the slope of a linear violation that the test of the leads detects that often, the bias of the average it means, and the
    average's expected bias in samples that pass the test. Own options:
    bound: one or several (0.5, 1, 1.5, 2 times the largest change between neighbours before treatment; smoothness: 0, a
    linear difference in trends, in units of the outcome). average: event times to average, or weights by event time;
    default all from 0 on. exclude: event times left out of everything, such as a pandemic year; default those that stand
    `apart`. gap: what an excluded period means for its neighbours (per_period, whole, drop; see inference.sensitivity.path).
    set_method: hybrid (C-LF, default for relative magnitudes), conditional, fixed_length (FLCI, default for smoothness).
    small_sample: True (default) allows for the degrees of freedom of few clusters, False is R HonestDiD's normal version.
    pretest: individual (any lead significant at 5%) or joint; power: 0.5 and 0.8.
    Source: Rambachan and Roth (2023); Roth (2022). Reference cases: R HonestDiD 0.2.6 (tests/reference/sensitivity).
    """
    options = path_options(inference, request)
    built, reason = _path(found, options)
    if reason or built is None:
        return [(term, Answer(reason=reason)) for term in _names(found.average, inference, options)]
    df = found.df if options.small_sample and np.isfinite(found.df) else None
    if inference == PRETEST:
        return _power_rows(found, built, options, df, request)
    return _set_rows(found, built, options, df, inference, request)


def _path(found: EventPath, options: PathOptions) -> tuple[Path | None, str]:
    """The path to work on, and why there is none."""
    if found.reason:
        return None, found.reason
    try:
        built, reason = path(
            found.values,
            found.covariance,
            found.event_times,
            reference=found.reference,
            average=options.average,
            exclude=options.exclude,
            gap=options.gap,
        )
    except UsageError as problem:
        raise UsageError(
            problem.problem, where="fit: average, exclude", expected=problem.expected, found=problem.found, fix=problem.fix
        ) from None
    if not reason and (built.event_times[: built.before] >= 0).any():
        return None, NOT_LAST
    if not reason and options.gap == "drop" and not (np.diff([*built.event_times[: built.before], built.reference]) == 1).any():
        return None, NO_LEAD + " and next to another one that is not excluded"
    return built, reason


def _names(average: Term, inference: str, options: PathOptions) -> list[Term]:
    """The terms of the rows."""
    if inference == PRETEST:
        kinds = ("slope", "bias", "bias if passed")
        texts = [f"pretest {kind}, power {100 * p:g}%" for p in options.powers for kind in kinds]
    else:
        name = inference.replace("_", " ")
        texts = [f"{name} {b:g}" for b in options.bounds] + [f"{name} breakdown"]
    plain = replace(average, event_time=NAN, band="", joint=False, reason="")
    return [replace(plain, estimand=f"{average.estimand}, {text}") for text in texts]


def _set_rows(
    found: EventPath, built: Path, options: PathOptions, df: float | None, inference: str, request: Request
) -> list[tuple[Term, Answer]]:
    sensitivity = Sensitivity(built, inference, options.method, request.conf_level, df)
    notes = (*found.notes, *(() if options.small_sample or not np.isfinite(found.df) else (NORMAL,)))
    shown = NAN if df is None else df
    answers: list[Answer] = []
    for s in sensitivity.sets(options.bounds):
        ends = [end for end, limit in (("lower", s.low), ("upper", s.high)) if np.isinf(limit)]
        text = f"{' and '.join(ends)} limit unbounded: the set runs to the end of its grid, {REACH:.0f} standard errors"
        warnings = (*(notes if not answers else ()), *((text,) if ends else ()))
        low, high = finite(s.low), finite(s.high)
        done = Answer(built.target, conf_low=low, conf_high=high, df=shown, interval="sensitivity", warnings=warnings)
        answers.append(Answer(reason=s.reason, interval="sensitivity") if s.reason else done)
    value = sensitivity.breakdown(largest=LARGEST)
    unit = "" if inference == MAGNITUDES else " standard errors"
    if np.isnan(value):
        last = Answer(reason="not available, because no effect fits without a violation either")
    elif np.isinf(value):
        last = Answer(reason=f"zero stays excluded at bounds up to {LARGEST:g}{unit}")
    else:
        zero = ("without a violation the set holds zero already",) if value == 0 else ()
        last = Answer(value, df=shown, warnings=zero, unit=RATIO if inference == MAGNITUDES else "outcome")
    return list(zip(_names(found.average, inference, options), [*answers, last], strict=True))


def _power_rows(
    found: EventPath, built: Path, options: PathOptions, df: float | None, request: Request
) -> list[tuple[Term, Answer]]:
    shown = NAN if df is None else df
    answers: list[Answer] = []
    for p in pretest_power(built, options.powers, test=options.test, df=df, seed=request.seed):
        size = f"the {options.test} pretest rejects without a violation in {100 * p.size:.1f}% of samples"
        notes = () if answers else (*found.notes, size)
        notes = (*notes, f"simulation error of the slope {p.slope_error:.1g}") if p.slope_error else notes
        answers.append(Answer(p.slope, df=shown, warnings=notes, unit=PER_PERIOD))
        answers.append(Answer(p.bias, df=shown))
        passed = Answer(p.bias_if_passed, df=shown, warnings=(f"simulation error {p.bias_error:.1g}",))
        answers.append(passed if np.isfinite(p.bias_if_passed) else Answer(reason="hardly any sample passes the pretest"))
    return list(zip(_names(found.average, PRETEST, options), answers, strict=True))


def paths_of(terms: Sequence[Term]) -> list[tuple[Term, list[Term]]]:
    """The bands of event times, each with the average of its own group and outcome that is closest to their plain mean."""
    out = []
    for band in dict.fromkeys(t.band for t in terms if t.band and np.isfinite(t.event_time)):
        members = [t for t in terms if t.band == band]
        first, later = members[0], [t.contrast for t in members if t.event_time >= 0]
        same = [t for t in terms if (t.group, t.outcome, t.fit) == (first.group, first.outcome, first.fit)]
        averages = [t for t in same if not (t.joint or t.band or np.isfinite(t.event_time))]
        if averages and later:
            plain = np.mean(later, axis=0)
            out.append((min(averages, key=lambda t: float(np.abs(t.contrast.sum(axis=0) - plain.sum(axis=0)).sum())), members))
    return out
