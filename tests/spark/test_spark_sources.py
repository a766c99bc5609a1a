"""Spark reads a table in each of its forms as DuckDB does: the same rows, to the last value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from p4equity.engines import Engine, open_engine
from p4equity.extract import Extract, open_extract
from p4equity.study import load_study
from p4equity.synthetic import simulate

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain extract; the folder's name would be a pattern, and a folder above is named like a column."""
    folder = tmp_path_factory.mktemp("spark") / "year=2099" / "x[1]"
    folder.parent.mkdir()
    simulate(load_study("bcbsma_pay_for_equity"), folder, members=2_000, seed=3, workers=1)
    return folder


@pytest.fixture(scope="module")
def block(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tables in other forms, named by a block."""
    here = tmp_path_factory.mktemp("forms")
    with duckdb.connect() as con:
        con.register("event", pq.read_table(plain / "measure_event" / "block-0000.parquet"))
        con.execute(f"COPY event TO '{here}/events' (PARTITION_BY (year, measure_id))")
    spending = pq.read_table(plain / "spending" / "block-0000.parquet")
    years = spending["year"].to_pylist()
    names = [name for name in spending.column_names if name != "year"]
    with duckdb.connect() as con:
        for year in sorted(set(years)):
            folder = here / "spending" / f"year={year}"
            folder.mkdir(parents=True)
            con.register("t", spending.filter(pa.array([y == year for y in years])))
            columns = names if year % 2 else names[::-1]
            con.execute(f"COPY (SELECT {', '.join(columns)} FROM t) TO '{folder}/a.csv.gz' (HEADER)")
    member = pq.read_table(plain / "member" / "block-0000.parquet").rename_columns({"member_id": "MBR ID"})
    dead = member["death_year"].is_valid()
    (here / "member").mkdir()
    alive = member.filter(pc.invert(dead)).drop_columns("death_year")
    pq.write_table(alive.append_column("death_year", pa.nulls(len(alive))), here / "member" / "a.parquet")
    pq.write_table(member.filter(dead).select(member.column_names[::-1]), here / "member" / "b.parquet")
    (here / "x.toml").write_text(
        f'[data]\ntier = "C"\n[data.tables]\nmeasure_event = "events"\nspending = "spending/*/*.csv.gz"\n'
        'member = { path = "member", columns = { member_id = "MBR ID" } }\n'
        f"attribution = {{ table = 'parquet.`{here}/attribution`' }}\n"
    )
    (here / "attribution").symlink_to(plain / "attribution")
    return here / "x.toml"


@pytest.fixture(scope="module")
def spark() -> Iterator[Engine]:
    """One session for all tables."""
    with open_engine("spark", threads=2) as engine:
        yield engine


@pytest.mark.parametrize("table", ["measure_event", "spending", "member", "attribution"])
def test_rows_are_those_of_duckdb(plain: Path, block: Path, spark: Engine, table: str) -> None:
    first = open_extract(plain)
    for other in (open_extract(block, engine="spark"), first):
        assert differing(spark, other, first, table) == (0, 0)


def differing(spark: Engine, extract: Extract, first: Extract, table: str) -> tuple[int, int]:
    """How many rows Spark has that DuckDB has not, and the other way round."""
    found = spark.fetch(spark.table(extract, table))
    with duckdb.connect() as con:
        con.register("found", found)
        expected = first.relation(table)
        assert con.execute(f"SELECT count(*) > 0 FROM {expected}").fetchone() == (True,)
        counts = [
            con.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {two})").fetchone()
            for one, two in (("found", expected), (expected, "found"))
        ]
    return counts[0][0], counts[1][0]  # type: ignore[index]
