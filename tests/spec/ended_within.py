"""Runs a verb in this process and ends it from within one stage: python ended_within.py STAGE SIGNAL WORDS...

It ends half-way through what the stage counts, or, where a stage counts nothing, when its work is done and its record not yet
written. So the stage is always begun and never finished, however busy the machine is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from p4equity.cli import main, progress

STAGE, SIGNAL = sys.argv[1], int(sys.argv[2])
shown = progress.show_progress


@contextmanager
def ending() -> Iterator[Callable[[str, int, int], None]]:
    """The progress of the terminal, which a run tells of every step."""
    with shown() as show:

        def update(label: str, done: int, total: int) -> None:
            show(label, done, total)
            if label.split()[0] == STAGE and 2 * done >= total:
                os.kill(os.getpid(), SIGNAL)

        yield update


if __name__ == "__main__":  # workers import this file, too
    progress.show_progress = ending
    sys.argv = ["p4equity", *sys.argv[3:]]
    main()
