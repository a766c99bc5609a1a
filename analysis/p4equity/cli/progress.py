"""Progress of long work on the terminal, quiet when output is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

console = Console(highlight=False)
errors = Console(stderr=True)


@contextmanager
def show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function (label, done, total) that draws one line a stage; sub-steps ('estimate pooled') share their stage's line.

    What is counted is the stage's own: registered rows of estimates, questions of a calibration.
    """
    counted = TextColumn("{task.fields[counted]}")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28), counted, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False, disable=not console.is_terminal) as bars:
        known: dict[str, TaskID] = {}

        def update(label: str, done: int, total: int) -> None:
            stage, _, detail = label.partition(" ")
            if not console.is_terminal:
                if not detail and done == 0:
                    console.print(f"{stage} ...")
                return
            if stage not in known:
                known[stage] = bars.add_task(stage, total=max(total, 1), counted="")
            words, counted = f"{stage} {detail}".strip(), f"{done}/{total}" if detail else ""
            bars.update(known[stage], description=words, completed=done, total=max(total, 1), counted=counted)

        yield update


def tell(line: str) -> None:
    """One line of plain text, above the bars of stages on their way."""
    console.print(line, markup=False, soft_wrap=True)
