"""Spark: the engine for extracts that outgrow one machine, in local mode or on a cluster."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from p4equity.engines import spark_faults, spark_tables
from p4equity.engines.base import Engine
from p4equity.engines.spark_dialect import SparkCompiler
from p4equity.engines.spark_process import SparkProcess

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from p4equity.extract import Extract


class SparkEngine(Engine):
    """A Spark session of its own, ended with the block. `url` null: local mode on `threads` cores, else any master URL.

    Kept tables are persisted data frames: columns in memory, on the executors' disks what does not fit, and computed again when
    an executor is lost. Raises UsageError when pyspark or Java is missing, or Spark does not start.
    """

    def __init__(self, url: str | None = None, *, threads: int | None = None) -> None:
        import ibis

        self._process = SparkProcess(url or f"local[{threads or '*'}]")
        self._session = self._process.session
        self._kept: dict[str, Any] = {}
        try:
            self._backend = self._process.do(ibis.pyspark.connect, self._session)
            self._backend.compiler = SparkCompiler()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def table(self, extract: Extract, name: str) -> ir.Table:
        return self._process.do(self._table, extract, name)

    def keep(self, name: str, expression: ir.Table) -> ir.Table:
        return self._process.do(self._keep, name, expression)

    def kept(self, name: str) -> ir.Table:
        return self._process.do(self._backend.table, name)

    def drop(self, *names: str) -> None:
        for name in names:
            self._process.do(self._drop, name)

    def fetch(self, expression: ir.Table) -> pa.Table:
        rows = self._process.do(lambda: self._frame(expression).toArrow())
        return rows.cast(expression.schema().to_pyarrow())

    def close(self) -> None:
        self._process.close()

    def in_words(self, error: Exception) -> Exception | None:
        return spark_faults.in_words(error, self._process)

    def _table(self, extract: Extract, name: str) -> ir.Table:
        spark_tables.typed(self._session, extract, name).createOrReplaceTempView(f"extract_{name}")
        return self._backend.table(f"extract_{name}")

    def _keep(self, name: str, expression: ir.Table) -> ir.Table:
        from pyspark import StorageLevel

        frame = self._frame(expression).persist(StorageLevel.MEMORY_AND_DISK_DESER)
        frame.count()  # computes every row now, so that what it was made of can be dropped
        frame.createOrReplaceTempView(name)
        self._kept[name] = frame
        return self._backend.table(name)

    def _drop(self, name: str) -> None:
        self._session.catalog.dropTempView(name)
        self._kept.pop(name).unpersist()

    def _frame(self, expression: ir.Table) -> Any:
        """The expression as a data frame that is not computed yet. Tables in memory go over as Arrow: exact, and with nulls."""
        import ibis.expr.operations as ops

        for table in expression.op().find(ops.InMemoryTable):
            rows = self._session.createDataFrame(table.data.to_pyarrow(table.schema))
            rows.createOrReplaceTempView(table.name)
        return self._session.sql(self._backend.compile(expression))
