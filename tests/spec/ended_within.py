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

shown = progress.show_progress


@contextmanager
def ending(within: str, asked: int) -> Iterator[Callable[[str, int, int], None]]:
    """The progress of the terminal, which a run tells of every step."""
    with shown() as show:

        def update(label: str, done: int, total: int) -> None:
            show(label, done, total)
            if label.split()[0] == within and 2 * done >= total:
                os.kill(os.getpid(), asked)

        yield update


if __name__ == "__main__":  # workers import this file, too
    _, stage, number, *words = sys.argv
    progress.show_progress = lambda: ending(stage, int(number))
    sys.argv = ["p4equity", *words]
    main()
