"""One question in two stages: changes of the systems that have one, with their sampling variances."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.evaluation.context import Arms

Array = NDArray[np.float64]
TOO_SMALL = "denominator too small"
FAR = "no counterpart by baseline gap"
EARLY = "left before a contract year could be counted"


@dataclass(frozen=True)
class Question:
    """One vector of changes: values and sampling variances of the kept systems for each side, in reporting units.

    several: treated systems started in different years. line: registered weights of the answer, where precision does not give
    them.
    """

    systems: tuple[str, ...]
    treated: NDArray[np.bool_]
    values: dict[str, Array]
    variances: dict[str, Array]
    unit: str
    note: str
    several: bool = False
    line: Array | None = None


def question_of(
    systems: Sequence[str],
    arms: Arms,
    sides: Mapping[str, tuple[Array, Array]],
    unit: str,
    why: str | Callable[[Sequence[str]], str] = TOO_SMALL,
    early: Collection[str] = (),
) -> Question:
    """The question of those of its arms that have a change with an error; its note names the others and why they are missing.

    sides: values and sampling variances (S,) of `systems` by side, "gap" among them: who has no gap has no side. why: the reason,
    or what says it of the systems that are missing. early: systems without a year after (`left_early`), a reason of their own.
    """
    member = np.isin(systems, arms.systems)
    keep = member & np.isfinite(sides["gap"][0]) & (sides["gap"][1] > 0)
    lost = [s for s, used, wanted in zip(systems, keep, member, strict=True) if wanted and not used]
    gone, other = [s for s in lost if s in early], [s for s in lost if s not in early]
    kept = tuple(s for s, used in zip(systems, keep, strict=True) if used)
    parts = [f"{', '.join(gone)} ({EARLY})"] if gone else []
    parts += [f"{', '.join(other)} ({why if isinstance(why, str) else why(other)})"] if other else []
    return Question(
        kept,
        arms.flags(kept),
        {side: value[keep] for side, (value, _) in sides.items()},
        {side: variance[keep] for side, (_, variance) in sides.items()},
        unit,
        f"without {', '.join(parts)}" if parts else "main",
        len({arms.treated[s] for s in kept if s in arms.treated}) > 1,
    )


def left_early(windows: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> frozenset[str]:
    """Systems without a year after: their exit came before a year under contract was over. windows: `Context.windows`."""
    return frozenset(system for system, (_, after) in windows.items() if not after)
