"""Which engine: checked by name and address before any work, opened when the work begins."""

from __future__ import annotations

from p4equity.engines.base import Engine
from p4equity.errors import UsageError, did_you_mean

ENGINES = ("duckdb", "spark")


def check_engine(name: str, url: str | None = None) -> None:
    """Raises UsageError for an unknown engine or an address that it cannot have."""
    if name not in ENGINES:
        raise UsageError("unknown engine", where="--engine", found=name, fix=did_you_mean(name, ENGINES))
    if name == "spark":
        from p4equity.engines.spark_process import check_spark

        check_spark(url)
    elif url is not None:
        from p4equity.engines.duckdb import check_database

        check_database(url)


def open_engine(name: str = "duckdb", *, url: str | None = None, threads: int | None = None) -> Engine:
    """An engine for use in a `with` block. `url`: for DuckDB a database file whose tables can be read, for Spark a master URL.

    Raises UsageError as `check_engine` does, and when the engine does not start.
    """
    check_engine(name, url)
    if name == "spark":
        from p4equity.engines.spark import SparkEngine

        return SparkEngine(url, threads=threads)
    from p4equity.engines.duckdb import DuckDBEngine

    return DuckDBEngine(url, threads=threads)
