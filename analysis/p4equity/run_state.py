"""One run on its way: its study, the source of its data, its folder, and what its stages read from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.cells import CellTables
    from p4equity.evaluation.context import Context
    from p4equity.extract import Extract

Progress = Callable[[str, int, int], None]


def silent(label: str, done: int, total: int) -> None:
    """No progress shown."""
    del label, done, total


@dataclass(frozen=True)
class Source:
    """Where the data come from: an extract and the engine that reads it, or how a synthetic extract is made."""

    data: Path | None = None
    members: int | None = None
    seed: int | None = None
    scenario: str | None = None
    engine: str = "duckdb"
    engine_url: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError at once for an engine that is unknown or cannot work here."""
        from p4equity.engines import check_engine

        check_engine(self.engine, self.engine_url)


@dataclass
class Run:
    """A run on its way. What several stages read is read from the run's folder once and kept here.

    `target`: where the folder will go when all is done, None for a folder that nobody keeps.
    """

    study: Study
    folder: Path
    progress: Progress = silent
    workers: int = 2
    source: Source = field(default_factory=Source)
    target: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)  # the extract's files as last hashed

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a stage and announce it."""
        self.progress(stage, 0, 1)
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 2)
        self.progress(stage, 1, 1)

    def steps(self, stage: str) -> Progress:
        """Progress within a stage."""
        return lambda name, done, total: self.progress(f"{stage} {name}", done, total)

    @property
    def published(self) -> bool:
        """Whether the cells come from the study's published panel: there is no extract."""
        return self.source.data is None and self.study.data.kind == "value"

    @property
    def masked(self) -> bool:
        """Whether systems are shown by label."""
        return self.study.disclosure.system_names == "masked"

    @cached_property
    def extract(self) -> Extract:
        """The extract, opened once."""
        from p4equity.dictionary import load_dictionary
        from p4equity.extract import open_extract

        source = self.source
        return open_extract(
            source.data or self.folder / "extract", load_dictionary(), to_validate=True, engine=source.engine,
            engine_url=source.engine_url,
        )  # fmt: skip

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What the data say of themselves: tier, synthetic or not, their description."""
        if self.published:
            value = self.study.data.value
            return {"tier": "B", "synthetic": False, "source": value.citation if value else None}
        said = self.extract.metadata
        return {
            "tier": self.extract.tier, "synthetic": said.get("synthetic") is True, "extract": {k: said[k] for k in sorted(said)},
        }  # fmt: skip

    @cached_property
    def cells(self) -> CellTables:
        """The cells that the cells stage wrote."""
        from p4equity.cells import read_cells

        return read_cells(self.folder / "restricted")

    @cached_property
    def context(self) -> Context:
        """The cells with their study, as every analysis wants them."""
        from p4equity.cells import cells_hash
        from p4equity.evaluation.context import Context
        from p4equity.manifest import code_version

        cells = self.cells
        return Context(
            self.study, cells.cell, cells.cell_overlap, cells_hash(cells), code_version(), cells.cell_probability,
            cells.cell_self_report, cells.cell_age, cells.cell_history, cells.race_bin,
        )  # fmt: skip

    def table(self, name: str) -> pd.DataFrame:
        """A table of the dictionary that a stage kept under `restricted/`."""
        import pandas as pd

        from p4equity.estimates import with_types

        return with_types(pd.read_parquet(self.folder / "restricted" / f"{name}.parquet"), name)

    @cached_property
    def failed(self) -> dict[str, dict[str, str]]:
        """What failed gates govern."""
        from p4equity.diagnostics import failed_gates

        return failed_gates(self.table("diagnostic"))
