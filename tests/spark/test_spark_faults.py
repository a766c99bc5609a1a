"""Spark that dies, loses an executor, meets a bad value or is stopped: one message, no value of a person, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from p4equity.engines import Engine, open_engine
from p4equity.errors import DataError, P4Error, UsageError
from p4equity.extract import Extract, open_extract

pytestmark = pytest.mark.spark
LOCAL = "local[2]"
LEAK = "QQLEAK"
NUMBERS = pa.table({"group": pa.array(range(1000), pa.int64()), "value": pa.array([str(i) for i in range(1000)])})


@pytest.fixture
def engine(scratch: Path) -> Iterator[Engine]:
    """A session that the test may break."""
    with open_engine("spark", url=LOCAL) as opened:
        yield opened
    assert list(scratch.iterdir()) == []


def children(pid: int, words: str) -> list[int]:
    """Processes below one whose command line holds these words."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", words], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_a_value_that_does_not_fit_is_not_repeated(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    rows = engine.keep("rows", ibis.memtable(pa.table({"value": ["1", LEAK]})))
    with pytest.raises(DataError, match="do not fit its type") as caught, engine:
        engine.fetch(rows.select(value=rows.value.cast("int64")))
    assert caught.value.found == "CAST_INVALID_INPUT"
    assert caught.value.fix
    said = capfd.readouterr()
    assert LEAK not in str(caught.value) + said.out + said.err


def test_a_sum_that_leaves_its_type_is_an_error(engine: Engine) -> None:
    rows = ibis.memtable(pa.table({"value": pa.array([2**62, 2**62], pa.int64())}))
    with pytest.raises(DataError, match="do not fit its type"), engine:
        engine.fetch(rows.agg(total=rows.value.sum()))


def test_a_file_that_vanishes(engine: Engine, tmp_path: Path) -> None:
    spans = {"practice_id": ["P1"], "start": ["2020-01-01"], "end": [None], "system_id": ["S01"]}
    file = tmp_path / "practice_system_span.parquet"
    pq.write_table(pa.table(spans), file)
    (tmp_path / "extract.json").write_text('{"tier": "A"}', "utf-8")
    table = engine.table(open_extract(tmp_path), "practice_system_span")
    file.unlink()
    with pytest.raises(DataError, match="a file of the extract cannot be read") as caught, engine:
        engine.fetch(table)
    assert caught.value.fix


def test_java_is_killed_between_two_steps(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    rows = engine.keep("rows", ibis.memtable(NUMBERS))
    os.kill(engine._process._java.pid, signal.SIGKILL)
    with pytest.raises(P4Error, match=r"Spark ended in the middle(.|\n)*SIGKILL(.|\n)*run again"), engine:
        engine.fetch(rows)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_second_session_is_refused_and_a_later_one_opens(engine: Engine) -> None:
    with pytest.raises(UsageError, match="a Spark session is open"):
        open_engine("spark", url=LOCAL)
    engine.close()
    with open_engine("spark", url=LOCAL) as later:
        assert later.fetch(ibis.memtable(NUMBERS)).num_rows == NUMBERS.num_rows


def test_a_lost_executor_is_replaced(scratch: Path) -> None:
    """What it kept is computed again: the same integers."""
    with open_engine("spark", url="local-cluster[1,1,1024]") as engine:
        kept = engine.keep("numbers", ibis.memtable(NUMBERS))
        for pid in children(engine._process._java.pid, "CoarseGrainedExecutorBackend"):
            os.kill(pid, signal.SIGKILL)
        assert engine.fetch(kept.agg(total=kept["group"].sum(), n=kept.count())).to_pylist() == [{"total": 499500, "n": 1000}]
    assert list(scratch.iterdir()) == []


def test_executors_that_stay_away(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf spark.task.maxFailures=1 pyspark-shell")
    engine = open_engine("spark", url="local-cluster[1,1,1024]")
    kept = engine.keep("numbers", ibis.memtable(NUMBERS))
    [executor] = children(engine._process._java.pid, "CoarseGrainedExecutorBackend")
    without_end = kept.cross_join(kept.view()).cross_join(kept.view()).cross_join(kept.view())
    Timer(3, os.kill, (executor, signal.SIGKILL)).start()
    with pytest.raises(P4Error, match=r"Spark lost the executors(.|\n)*ExecutorLostFailure(.|\n)*run again"), engine:
        engine.fetch(without_end.agg(n=without_end.value.max()))
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "to_java", "code", "words"),
    [
        (signal.SIGKILL, True, 1, r"Spark ended in the middle of the work.*found: +it was ended by SIGKILL.*next: +run again"),
        (signal.SIGINT, False, 130, r"Stopped\. No unfinished output was left"),
        (signal.SIGTERM, False, 143, r"Stopped\. No unfinished output was left"),
    ],
)
def test_a_command_that_is_broken_off(
    asked: signal.Signals, to_java: bool, code: int, words: str, extract: Extract, tmp_path: Path, scratch: Path
) -> None:
    verb = ["cells", str(extract.path), "--out", str(tmp_path / "out"), "--engine", "spark", "--engine-url", LOCAL]
    running = subprocess.Popen(
        [sys.executable, "-c", "from p4equity.cli import main; main()", *verb],
        env={**os.environ, "TMPDIR": str(scratch)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not list(scratch.glob("**/blockmgr-*")) and time.monotonic() < until and running.poll() is None:
        time.sleep(0.2)
    time.sleep(3)  # into the work
    [java] = children(running.pid, "p4equity")
    os.kill(java if to_java else running.pid, asked)
    out, err = running.communicate(timeout=60)
    assert running.returncode == code, out + err
    assert re.search(words, " ".join(err.split())), err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["scratch"]
    assert list(scratch.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(java, 0)
