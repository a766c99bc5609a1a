"""Race and ethnicity data: self-report, versions with classification error, calibrated probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray, stream
from p4equity.synthetic.plan import RacePlan
from p4equity.synthetic.population import Members

_AGE_BAND = 10


@dataclass(frozen=True)
class RaceRecords:
    """By member and version (n, V): whether self-reported, and the recorded category."""

    self_reported: BoolArray
    category: IntArray
    channel: FloatArray


def record_race(race: RacePlan, members: Members, conditions: IntArray, seed: int, block: int) -> RaceRecords:
    """What each version of the race file says of each member.

    Members without self-report keep their frozen class, except for a share `error` who get the class of another member of
    the same home system, age band and `conditions`: mixes stay as they are, and within such a stratum the gap between
    recorded classes is (1 - error) times the gap between frozen ones.
    """
    rng = stream(seed, "race", block)
    reached, wrong = rng.random(members.n), rng.random(members.n)
    share = race.self_report[:, members.home].T
    self_reported = reached[:, None] < share
    swapped = _swap(members, conditions, wrong < race.error.max(initial=0.0), rng)
    mistaken = ~self_reported & (wrong[:, None] < race.error[None, :])
    category = np.where(mistaken, swapped[:, None], members.category[:, None])
    return RaceRecords(self_reported, category, rng.random(members.n))


def _swap(members: Members, conditions: IntArray, chosen: BoolArray, rng: np.random.Generator) -> IntArray:
    """Each chosen member's category replaced by that of the next chosen member of the stratum, in random order."""
    rows = np.flatnonzero(chosen)
    order = rng.permutation(len(rows))
    rows = rows[order]
    stratum = (members.home[rows] * 64 + members.birth_year[rows] // _AGE_BAND % 64) * 16 + conditions[rows]
    by_stratum = np.argsort(stratum, kind="stable")
    rows, stratum = rows[by_stratum], stratum[by_stratum]
    following = np.arange(1, len(rows) + 1)
    starts = np.flatnonzero(np.diff(stratum, prepend=-1))
    if len(rows):
        ends = np.append(starts[1:], len(rows)) - 1
        following[ends] = starts
    result = members.category.copy()
    if len(rows):
        result[rows] = members.category[rows[following]]
    return result


def probabilities(race: RacePlan, members: Members, n_classes: int, class_of: IntArray, seed: int, block: int) -> FloatArray:
    """P(class) of the frozen version (n, classes), calibrated: among members with probability p of a class, a share p is of it.

    `class_of` gives the class of each category. One normal signal a class, shifted for the member's own; the posterior under
    the home system's mix `prior` is exact. Rounded to four decimals that sum to 1.
    """
    rng = stream(seed, "race_probability", block)
    own = class_of[members.category]
    signal = rng.standard_normal((members.n, n_classes))
    signal[np.arange(members.n), own] += race.signal
    score = np.log(np.maximum(race.prior[members.home], 1e-9)) + race.signal * signal
    score -= score.max(axis=1, keepdims=True)
    posterior = np.exp(score)
    posterior /= posterior.sum(axis=1, keepdims=True)
    units = np.floor(posterior * 10_000).astype(np.int64)
    units[np.arange(members.n), posterior.argmax(axis=1)] += 10_000 - units.sum(axis=1)
    result: FloatArray = units / 10_000.0
    return result
