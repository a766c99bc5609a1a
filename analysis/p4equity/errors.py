"""Errors a user can meet: each says where, what was expected, what was found and what to do, and carries an exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LISTED = 8  # known words named in a message


class P4Error(Exception):
    """A failure with a message for people and an exit code for programs.

    `where` names the file, table, column, row or key; `problem` says what is wrong; `expected` and `found` make it concrete;
    `fix` is the next step. Never put a value that belongs to a person into any of them.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        where: str = "",
        expected: object = None,
        found: object = None,
        fix: str = "",
    ) -> None:
        self.problem, self.where, self.fix = problem, where, fix
        self.expected, self.found = expected, found
        super().__init__(self.message())

    def message(self) -> str:
        """The whole message on a few lines, in the order where, what, expected, found, next step."""
        head = f"{self.where}: {self.problem}" if self.where else self.problem
        lines = [head]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.found is not None:
            lines.append(f"  found:    {self.found}")
        if self.fix:
            lines.append(f"  next:     {self.fix}")
        return "\n".join(lines)


class UsageError(P4Error):
    """A command or a function was called with words it does not know."""

    exit_code = 2


class DataError(P4Error):
    """The extract is missing, unreadable or against the dictionary."""

    exit_code = 10


class StudyError(P4Error):
    """The study's own files are wrong, or leave nothing to compare."""

    exit_code = 11


class DiagnosticsFailed(P4Error):
    """The report is written, but a gate failed and governs rows that are therefore not estimable."""

    exit_code = 12


class DisclosureError(P4Error):
    """A count under the threshold would leave."""

    exit_code = 13


class NotReproduced(P4Error):
    """Two runs that should agree do not."""

    exit_code = 14


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean X?' for the nearest known word, or the list of known words when nothing is near."""
    options: Sequence[str] = sorted(set(known))
    lower = {option.lower(): option for option in reversed(options)}  # case is the commonest slip
    near = get_close_matches(word.lower(), sorted(lower), n=1, cutoff=0.6)
    if near:
        return f"did you mean '{lower[near[0]]}'?"
    more = f" and {len(options) - LISTED} more" if len(options) > LISTED else ""
    return "one of: " + ", ".join(options[:LISTED]) + more
