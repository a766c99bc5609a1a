"""All problems of a study's files, or of another TOML file, in one error."""

from __future__ import annotations

from p4equity.errors import P4Error, StudyError
from p4equity.study.locate import KeyPath, Position, nearest


class Problems:
    """Collects problems file by file; `raise_any` turns them into one error, each with file, line and key.

    `study`: what the files are called after; empty when their own names say enough.
    """

    def __init__(self, study: str, *, error: type[P4Error] = StudyError, what: str = "the study's files") -> None:
        self.study, self.error, self.what = study, error, what
        self._found: list[P4Error] = []
        self._positions: dict[str, dict[KeyPath, Position]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def know(self, file: str, positions: dict[KeyPath, Position]) -> None:
        """Remember where the keys of a file stand."""
        self._positions[file] = positions

    def where(self, file: str, path: KeyPath, at: Position | None = None) -> str:
        """study/file:line:column: key, with blocks counted from 1 as a reader counts them."""
        position = at or nearest(self._positions.get(file, {}), path)
        spot = f":{position[0]}:{position[1]}" if position else ""
        key = ""
        for part in path:
            key += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if key else str(part)
        return (f"{self.study}/" if self.study else "") + f"{file}{spot}" + (f": {key}" if key else "")

    def add(
        self,
        file: str,
        path: KeyPath,
        problem: str,
        *,
        at: Position | None = None,
        expected: object = None,
        found: object = None,
        fix: str = "",
    ) -> None:
        """Note one problem at a key of a file; `at` gives the position where the file has no keys (CSV, broken TOML)."""
        where = self.where(file, path, at)
        self._found.append(self.error(problem, where=where, expected=expected, found=found, fix=fix))

    def raise_any(self) -> None:
        """Raise one error when anything was noted; a single problem keeps its own fields."""
        if not self._found:
            return
        if len(self._found) == 1:
            raise self._found[0]
        listing = "\n".join(problem.message() for problem in self._found)
        raise self.error(f"{len(self._found)} problems in {self.what}\n{listing}", where=self.study)
