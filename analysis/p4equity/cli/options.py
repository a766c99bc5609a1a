"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

FIRST = "bcbsma_pay_for_equity"
EXTRACT = "Extract of tier A, B or C: a folder, or a TOML file whose [data] block names the tables where they lie."

Study = Annotated[str, typer.Option("--study", help="Id of a shipped study, or a folder with study.toml.")]
RunStudy = Annotated[str | None, typer.Option("--study", help="Id or folder. Default: the study the run names.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes and threads to use.")]
Data = Annotated[Path, typer.Argument(metavar="DATA", help=EXTRACT)]
DataOption = Annotated[Path | None, typer.Option("--data", help=f"{EXTRACT} Default: a synthetic one.")]
CellsOf = Annotated[
    Path | None, typer.Option("--run", metavar="RUN", help="A finished run, whose cells are read. Default: --data.")
]
Engine = Annotated[Literal["duckdb", "spark"], typer.Option("--engine", help="What aggregates members to cells.")]
EngineUrl = Annotated[
    str | None,
    typer.Option("--engine-url", help="DuckDB: a database file that holds tables of the extract. Spark: a master URL."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Reuse what an earlier attempt finished, where inputs, plan and code have the same content."),
]
