"""Spark's SQL where Ibis lacks a rule for it, or has one whose answer differs from other engines'."""

from __future__ import annotations

from typing import Any, ClassVar

import ibis.expr.operations as ops
from ibis.backends.sql.compilers.pyspark import PySparkCompiler


class SparkCompiler(PySparkCompiler):
    """Bit unions over rows, as Databricks' own rule has them; a count of no row is 0 even where the condition is never known."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar = {ops.BitOr: "bit_or", ops.BitAnd: "bit_and"}

    def visit_CountStar(self, op: Any, *, arg: Any, where: Any) -> Any:  # noqa: N802
        return super().visit_CountStar(op, arg=arg, where=None) if where is None else self.f.count_if(where)
