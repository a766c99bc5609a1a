"""What Spark's errors mean to people, without a word of Spark's own text: it can quote a value of a person."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from p4equity.engines.faults import FULL, full_disk, unfit_values, unreadable_file
from p4equity.errors import P4Error

if TYPE_CHECKING:
    from p4equity.engines.spark_process import SparkProcess

PATIENCE = 10  # seconds
# Spark's names of what goes wrong with values and with files; nothing else of its text is repeated.
UNFIT = (
    "CAST_INVALID_INPUT", "CAST_OVERFLOW", "ARITHMETIC_OVERFLOW", "NUMERIC_VALUE_OUT_OF_RANGE", "DIVIDE_BY_ZERO",
    "MALFORMED_RECORD_IN_PARSING", "MALFORMED_CSV_RECORD",
)  # fmt: skip
UNREADABLE = ("PATH_NOT_FOUND", "FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER", "UNABLE_TO_INFER_SCHEMA", "FileNotFoundException")
LOST = ("ExecutorLostFailure", "ExecutorDeadException", "SparkContext was shut down", "Master removed our application")
MEMORY = ("java.lang.OutOfMemoryError", "SparkOutOfMemoryError")
OUT_OF_MEMORY = 52  # exit code of Java processes of Spark
AGAIN = "run again: nothing was written"
MORE = "give Spark more memory (local mode: SPARK_DRIVER_MEMORY=8g; executors: spark.executor.memory)"


def in_words(error: Exception, process: SparkProcess) -> Exception | None:
    """The error as a message of ours; None for one that is not of Spark, or that nobody has foreseen."""
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import PySparkException

    if not isinstance(error, Py4JError | PySparkException | ConnectionError):
        return None
    # An error that Java did not throw is a broken connection, and connections break a moment before the process is gone.
    broken = not isinstance(error, Py4JJavaError | PySparkException)
    code = process.ended(PATIENCE if broken else 0)
    if code is not None:
        return _java_ended(code)
    text = str(error)
    for words, said in ((UNFIT, unfit_values), (UNREADABLE, unreadable_file), (MEMORY, _out_of_memory), (LOST, _executors_lost)):
        found = next((word for word in words if word in text), None)
        if FULL in text:
            return full_disk()
        if found is not None:
            return said(found)
    return None


def _java_ended(code: int) -> P4Error:
    if code == OUT_OF_MEMORY:
        return _out_of_memory(f"exit code {code} of Java")
    number = -code if code < 0 else code - 128  # Java that ends in order after a signal exits with 128 and its number
    known = number in {s.value for s in signal.Signals}
    return P4Error(
        "Spark ended in the middle of the work",
        where="--engine spark",
        expected="a Java process that stays until the cells are made",
        found=f"it was ended by {signal.Signals(number).name}" if known else f"it ended with exit code {code}",
        fix=f"{AGAIN}; if this machine was short of memory, close other programs, or set SPARK_DRIVER_MEMORY to less",
    )


def _out_of_memory(found: str) -> P4Error:
    return P4Error("not enough memory for Spark", where="--engine spark", found=found, fix=f"{MORE}, then {AGAIN}")


def _executors_lost(found: str) -> P4Error:
    return P4Error(
        "Spark lost the executors that did the work, again and again",
        where="--engine spark",
        expected="executors that stay, or are replaced, until the cells are made",
        found=found,
        fix=f"see the cluster's own pages for why they ended (often memory: spark.executor.memory), then {AGAIN}",
    )
