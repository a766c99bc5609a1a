"""Engines are refused by name, address and missing pieces before any work; whatever ends a block, the engine is closed."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pytest
from p4equity.engines import check_engine, open_engine
from p4equity.errors import DataError, P4Error, UsageError
from p4equity.pipeline import run


@pytest.fixture
def spark_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As far as the look for pyspark and Java goes: a folder for JAVA_HOME with bin/java in it."""
    monkeypatch.setattr("p4equity.engines.spark_process.find_spec", lambda name: ModuleSpec(name, None))
    java = tmp_path / "jvm" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\n", "utf-8")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jvm"))
    return java


def test_an_unknown_engine() -> None:
    with pytest.raises(UsageError, match="did you mean 'spark'"):
        check_engine("sparc")


@pytest.mark.parametrize(("url", "found"), [("none.duckdb", "nothing"), (".", "a folder")])
def test_an_address_that_is_no_database(url: str, found: str) -> None:
    with pytest.raises(UsageError, match="no such database file") as caught:
        check_engine("duckdb", url)
    assert caught.value.found == found


@pytest.mark.usefixtures("spark_is_there")
@pytest.mark.parametrize("url", [None, "local", "local[2]", "local[*]", "spark://host:7077", "yarn", "k8s://host:443"])
def test_addresses_of_spark(url: str | None) -> None:
    check_engine("spark", url)


@pytest.mark.usefixtures("spark_is_there")
@pytest.mark.parametrize("url", ["sc://host", "host:7077", "warehouse.duckdb"])
def test_an_address_that_is_no_master(url: str) -> None:
    with pytest.raises(UsageError, match="not a Spark master") as caught:
        check_engine("spark", url)
    assert "local mode" in caught.value.fix


@pytest.mark.usefixtures("spark_is_there")
def test_pyspark_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p4equity.engines.spark_process.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="pyspark is not installed") as caught:
        check_engine("spark")
    assert "pip install 'p4equity[spark]'" in caught.value.fix


@pytest.mark.usefixtures("spark_is_there")
@pytest.mark.parametrize("home", ["elsewhere", ""])
def test_java_is_missing(home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / home) if home else "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="Java is not installed") as caught:
        check_engine("spark")
    assert "JAVA_HOME" in caught.value.fix


def test_a_run_asks_before_it_makes_anything(tmp_path: Path, spark_is_there: Path) -> None:
    spark_is_there.unlink()
    with pytest.raises(UsageError, match="Java is not installed"):
        run(out=tmp_path / "run", engine="spark")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (duckdb.ConversionException("Could not convert 'QQLEAK'"), DataError, "do not fit its type"),
        (duckdb.IOException("cannot open QQLEAK"), DataError, "cannot be read"),
        (duckdb.IOException("QQLEAK: No space left on device"), P4Error, "the disk is full"),
    ],
)
def test_errors_of_duckdb_are_in_words(error: Exception, kind: type[P4Error], words: str) -> None:
    with pytest.raises(kind, match=words) as caught, open_engine():
        raise error
    assert "QQLEAK" not in str(caught.value)
    assert caught.value.fix


def test_what_was_kept_is_gone_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engine = open_engine(threads=1)
    kept = engine.keep("numbers", ibis.memtable(pa.table({"x": pa.array([1, 2], pa.int8())})))
    assert engine.fetch(kept).schema == pa.schema({"x": pa.int8()})
    with pytest.raises(KeyError), engine:
        raise KeyError("a mistake of ours")
    assert list(tmp_path.iterdir()) == []
