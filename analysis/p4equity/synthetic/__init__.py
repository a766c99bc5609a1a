"""The synthetic member-level extract (tier C): the tables of the dictionary with a known truth.

Rates are calibrated to the hints of the measures, sizes and race mix to the study's systems, planted features to its
`truth.toml`. Randomness comes from streams keyed by (seed, stage, block): the same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from p4equity.synthetic.summary import SimulationSummary

if TYPE_CHECKING:
    from p4equity.study import Study

__all__ = ["SimulationSummary", "simulate"]


def simulate(
    study: Study | str | Path,
    out: Path,
    *,
    members: int | None = None,
    seed: int | None = None,
    scenario: str | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationSummary:
    """Write a synthetic extract of a study to the folder `out`, with `extract.json` and `truth.json`.

    `members`: rows of the member table, everybody covered at some time in the study years (about half of them in any one
    year). None: the study's own number, seed, scenario. `progress(done, blocks)` is called after each block of members.
    Raises StudyError for a study that cannot be simulated or an unknown scenario, UsageError when `out` holds something else.
    """
    from p4equity.synthetic.run import run

    return run(study, Path(out), members=members, seed=seed, scenario=scenario, workers=workers, progress=progress)
