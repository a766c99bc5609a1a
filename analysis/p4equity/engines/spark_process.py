"""One Spark session and the Java process behind it: started quietly, ended with all that it left on disk."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

from p4equity.errors import UsageError

T = TypeVar("T")
MASTERS = ("local", "spark://", "yarn", "k8s://")
JAVA = "Java 17 or 21"
PATIENCE = 15  # seconds that Java has to start, or to end, by itself
# Defaults of the local mode that the environment (SPARK_DRIVER_MEMORY) and PYSPARK_SUBMIT_ARGS override.
LOCAL_MEMORY = "4g"
LOCAL_PARTITIONS = 8


def check_spark(url: str | None) -> None:
    """Raises UsageError when the master URL is none, or pyspark or Java is missing."""
    if url is not None and not url.startswith(MASTERS):
        raise UsageError(
            "not a Spark master", where=f"--engine-url {url}", expected="local[2], spark://HOST:PORT, yarn or k8s://HOST:PORT",
            fix="name the master as spark-submit --master takes it, or leave --engine-url out for the local mode",
        )  # fmt: skip
    if find_spec("pyspark") is None:
        raise UsageError(
            "pyspark is not installed", where="--engine spark", expected="the extra 'spark' of p4equity",
            fix="pip install 'p4equity[spark]'; in a checkout: make setup-spark",
        )  # fmt: skip
    home = os.environ.get("JAVA_HOME")
    if which("java", path=str(Path(home) / "bin") if home else None) is None:
        raise UsageError(
            "Java is not installed, or not where it is looked for", where="--engine spark", expected=JAVA,
            found=f"no bin/java in JAVA_HOME={home}" if home else "JAVA_HOME is not set, and no java is on the PATH",
            fix="install a Java runtime (Debian: sudo apt-get install openjdk-17-jre-headless), or set JAVA_HOME",
        )  # fmt: skip


class SparkProcess:
    """A Spark session with a Java process of its own.

    All calls go through `do`, which waits for a thread of their own: Ctrl-C and SIGTERM are then answered at once, whatever Spark
    is doing. Raises UsageError when this process has a session already, or Spark does not start.
    """

    def __init__(self, master: str) -> None:
        check_spark(master)
        from pyspark import SparkContext

        if SparkContext._active_spark_context is not None:
            raise UsageError(
                "a Spark session is open in this process", where="--engine spark",
                fix="end it with SparkSession.stop() first: the settings that make sums exact hold for a whole session",
            )  # fmt: skip
        self._scratch = tempfile.TemporaryDirectory(prefix="p4equity-", ignore_cleanup_errors=True)
        self._java: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, "spark")
        self._idle = False
        starting = self._thread.submit(self._start, master)
        try:
            self.session = starting.result()
            self._idle = True
        except BaseException as error:
            wait([starting], PATIENCE)  # until the process is known, it cannot be ended
            said = _not_started(master, error) if isinstance(error, Exception) else None
            self.close()
            if said is not None:
                raise said from None
            raise

    def _start(self, master: str) -> Any:
        from pyspark import SparkConf, SparkContext
        from pyspark.java_gateway import launch_gateway
        from pyspark.sql import SparkSession

        _silence()
        local = master.startswith("local")
        settings = SparkConf(loadDefaults=False).setMaster(master).setAppName("p4equity")
        settings.setAll(list(_settings(Path(self._scratch.name), local).items()))
        with Path(self._scratch.name, "log").open("wb") as log, _environment(local):
            gateway = launch_gateway(settings, {"stdout": log, "stderr": log})
        self._java = gateway.proc
        return SparkSession(SparkContext(conf=settings, gateway=gateway))

    def do(self, work: Callable[..., T], *values: Any) -> T:
        """The result of one piece of work."""
        self._idle = False
        result = self._thread.submit(work, *values).result()
        self._idle = True
        return result

    def ended(self, patience: float = 0) -> int | None:
        """The exit code of the Java process when it is no more (negative: the signal), else null after `patience` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._java.wait(patience) if self._java is not None else None
        return None

    def close(self) -> None:
        """Ends session and Java process, whatever they are doing, and removes the scratch folder. Again: nothing happens."""
        if self._java is not None:
            if self._idle:
                with contextlib.suppress(Exception):
                    self._thread.submit(self.session.stop).result(PATIENCE)
            self._java.terminate()  # Spark still ends its context, which frees the executors of a cluster
            try:
                self._java.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._java.kill()
                self._java.wait()
            self._java = None
            _forget()
        self._thread.shutdown(wait=False)
        self._scratch.cleanup()


def _not_started(master: str, error: Exception) -> UsageError:
    said = (
        line.removeprefix(": ") for line in str(error).splitlines() if line.startswith((": ", "["))
    )  # no data was read so far
    return UsageError(
        "Spark did not start", where=f"--engine-url {master}", expected=f"a master that answers, and {JAVA}",
        found=next(said, type(error).__name__),
        fix="check the address and java -version; settings come from SPARK_HOME, SPARK_CONF_DIR and PYSPARK_SUBMIT_ARGS, too",
    )  # fmt: skip


def _forget() -> None:
    """pyspark keeps its Java process for the next session; this one has ended."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    gateway = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
    SparkSession._instantiatedSession = None
    if gateway is not None:
        with contextlib.suppress(Exception):
            gateway.shutdown()


def _silence() -> None:
    """Loggers that print what `in_words` says, and with it the values that failed, go quiet."""
    from pyspark.logger import PySparkLogger

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_not_py4j)  # it logs a broken connection under the root's name


def _not_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in Path(record.pathname).parts


def _settings(scratch: Path, local: bool) -> dict[str, str]:
    """What every session needs for exact numbers, and what keeps a local one quiet, offline and in its folder."""
    settings = {
        "spark.sql.ansi.enabled": "true",  # a sum that leaves its type is an error, not a wrong number
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.csv.parser.columnPruning.enabled": "false",  # with it, rows with too many or too few values pass
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": f'-Duser.timezone=UTC "-Djava.io.tmpdir={scratch}" -XX:-UsePerfData',
    }
    if local:
        settings |= {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(scratch),
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.sql.shuffle.partitions": str(LOCAL_PARTITIONS),
        }
    return settings


@contextlib.contextmanager
def _environment(local: bool) -> Iterator[None]:
    """Defaults that Spark's launcher reads from the environment; what a user has set stays."""
    defaults = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DRIVER_MEMORY": LOCAL_MEMORY} if local else {}
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
