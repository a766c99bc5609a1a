"""A TOML file with a [data] block: every form of a table gives the same rows and the same cells, and every slip its words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from p4equity.cells import CellTables, build_cells, cells_hash, read_cells, write_tier_b
from p4equity.dictionary import load_dictionary
from p4equity.errors import DataError, UsageError
from p4equity.extract import data_places, open_extract
from p4equity.extract.block import read_block
from p4equity.pipeline import run
from p4equity.resources import dictionary_dir
from p4equity.study import Study, load_study
from p4equity.synthetic import simulate
from p4equity.validate import validate

HEAD = '[data]\ntier = "C"\nsynthetic = true\nextract_date = 2026-01-31\n[data.tables]\n'
MEMBERS = 20_000


def query(folder: Path, sql: str) -> None:
    """Runs SQL in which `plain(t)` is a table of the plain extract."""
    with duckdb.connect() as con:
        con.execute("SET threads = 1")
        con.execute(f"CREATE MACRO plain(t) AS TABLE SELECT * FROM query('FROM ''{folder}/' || t || '/*.parquet''')")
        con.execute(sql)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain extract."""
    folder = tmp_path_factory.mktemp("block") / "plain"
    simulate(load_study("bcbsma_pay_for_equity"), folder, members=MEMBERS, seed=3, workers=1)
    return folder


@pytest.fixture(scope="module")
def mixed(plain: Path) -> tuple[Path, str]:
    """The same extract with each table in another form, beside the plain one, and the address of its database."""
    here = plain.parent
    small = sorted(p.stem for p in plain.glob("*.parquet"))
    query(plain, f"COPY (FROM plain('measure_event')) TO '{here}/events' (PARTITION_BY (year, measure_id))")
    (here / "events" / "_SUCCESS").touch()
    query(plain, f'COPY (SELECT member_id AS "MBR ID", * EXCLUDE member_id, 1 AS load_id FROM plain(\'member\')) '
                 f"TO '{here}/member.csv.gz' (HEADER)")  # fmt: skip
    for name, columns in (("a", "*"), ("b", "version, * EXCLUDE version")):
        folder = here / "race" / f"part={name}"
        folder.mkdir(parents=True)
        half = f"hash(member_id) % 2 = {int(name == 'a')}"
        query(plain, f"COPY (SELECT {columns} FROM plain('race_ethnicity') WHERE {half}) TO '{folder}/x.csv' (HEADER)")
    query(plain, f"COPY (FROM plain('spending')) TO '{here}/spending.dat' (FORMAT parquet)")
    database = here / "warehouse.duckdb"
    query(plain, f"ATTACH '{database}' AS w; CREATE SCHEMA w.claims; "
                 "CREATE TABLE w.claims.attribution AS FROM plain('attribution'); "
                 "CREATE TABLE w.spans AS SELECT member_id AS m, * EXCLUDE member_id FROM plain('enrollment_span'); "
                 "CREATE VIEW w.claims.coverage AS SELECT * FROM w.main.spans")  # fmt: skip
    block = here / "extract.toml"
    block.write_text(
        HEAD.replace("[data.tables]", 'truth = "plain/truth.json"\n[data.tables]')
        + "".join(f'{name} = "plain/{name}.parquet"\n' for name in small)
        + 'measure_event = "events"\n'
        + 'member = { path = "member.csv.gz", columns = { member_id = "MBR ID" } }\n'
        + 'race_ethnicity = "race/**/*.csv"\n'
        + f'race_probability = "{plain}/race_probability/*.parquet"\n'
        + 'spending = { path = "spending.dat", format = "parquet" }\n'
        + 'attribution = { table = "claims.attribution" }\n'
        + 'enrollment_span = { table = "warehouse.claims.coverage", columns = { member_id = "m" } }\n'
    )
    return block, str(database)


@pytest.fixture(scope="module")
def cells(plain: Path, study: Study) -> CellTables:
    """The cells of the plain extract."""
    return build_cells(open_extract(plain), study, load_dictionary(), threads=1)


def test_every_form_gives_the_same_rows_and_cells(plain: Path, mixed: tuple[Path, str], cells: CellTables, study: Study) -> None:
    first, other = open_extract(plain), open_extract(mixed[0], engine_url=mixed[1])
    assert other.tables.keys() == first.tables.keys()
    with duckdb.connect() as con:
        other.attach(con)
        for name in first.tables:
            one, two = first.relation(name), other.relation(name)
            count = f"SELECT count(*), (SELECT count(*) FROM {one}), (SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {two}))"
            rows = con.execute(f"{count} FROM {two}").fetchone() or ()
            assert rows[0] == rows[1] > 0, name
            assert rows[2] == 0, name
    assert cells_hash(build_cells(other, study, load_dictionary(), threads=2)) == cells_hash(cells)
    assert other.truth() == first.truth()
    assert other.truth() is not None


def test_validation_reads_every_form(plain: Path, mixed: tuple[Path, str], study: Study) -> None:
    first, other = validate(open_extract(plain), study), validate(open_extract(mixed[0], engine_url=mixed[1]), study)
    assert first.problems == ()
    assert [(p.table, p.rule, p.column) for p in other.problems] == [
        ("member", "unknown_column", "load_id"), ("race_ethnicity", "unknown_column", "part"),
    ]  # fmt: skip
    assert {name: t.rows for name, t in other.tables.items()} == {name: t.rows for name, t in first.tables.items()}


def test_the_small_tables_go_with_the_cells(mixed: tuple[Path, str], cells: CellTables, study: Study, tmp_path: Path) -> None:
    extract = open_extract(mixed[0], engine_url=mixed[1])
    write_tier_b(cells, study, tmp_path / "b", source=extract)
    written = open_extract(tmp_path / "b")
    assert validate(written, study).errors == ()
    assert cells_hash(read_cells(written)) == cells_hash(cells)
    assert {"grant", "survey_response"} <= written.tables.keys()
    assert written.metadata["extract_date"] == "2026-01-31"


def test_nothing_absolute_and_no_hash_where_content_cannot_be_known(plain: Path, mixed: tuple[Path, str]) -> None:
    extract = open_extract(mixed[0], engine_url=mixed[1])
    names = [n for t in extract.tables.values() for n in t.names]
    assert {"member.csv.gz", "plain/grant.parquet", "race_probability/block-0000.parquet"} <= set(names)
    assert not any(str(plain.parent) in n for n in names)
    assert str(plain.parent) not in json.dumps(dict(extract.metadata))
    assert extract.unknowable() == ("attribution", "enrollment_span")
    assert extract.content_hash() is None
    assert {mixed[0], plain / "grant.parquet", plain.parent / "spending.dat"} <= set(data_places(mixed[0]))


def test_a_catalog_that_duckdb_cannot_read_is_not_passed_over(mixed: tuple[Path, str], study: Study) -> None:
    extract = open_extract(mixed[0], engine="spark")
    report = validate(extract, study)
    assert sorted(p.table for p in report.problems if p.rule == "not_checked") == ["attribution", "enrollment_span"]
    assert report.errors == ()
    with pytest.raises(DataError, match="lies in the catalog of spark"):
        extract.relation("attribution")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a few files."""
    for name in ("events/a.parquet", "events/b.parquet", "both/a.parquet", "both/b.csv", "delta/a.parquet", "plainly.dat"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        form = "HEADER" if name.endswith(".csv") else "FORMAT parquet"
        query(tmp_path, f"COPY (SELECT 'M1' AS member_id, 1 AS x) TO '{file}' ({form})")
    for name in ("empty", "hidden", "delta/_delta_log"):
        (tmp_path / name).mkdir()
    shutil.copy(tmp_path / "events/a.parquet", tmp_path / "hidden/_a.parquet")
    shutil.copy(tmp_path / "events/a.parquet", tmp_path / "hidden/part-00000")
    query(tmp_path, f"ATTACH '{tmp_path}/w.duckdb' AS w; CREATE SCHEMA w.claims; CREATE TABLE w.claims.attribution (i INT)")
    return tmp_path


FAULTS = [
    ('member = "evets"', "no such file or folder", "did you mean 'events'"),
    ('member = "events/*.csv"', "no file matches the pattern", "correct the path"),
    ('member = "empty"', "the folder holds no data file", "do not count"),
    ('member = "hidden"', "the format of the files is not known", 'format = "parquet"'),
    ('member = "plainly.dat"', "the format of the files is not known", 'format = "parquet"'),
    ('member = "both"', "Parquet and CSV are mixed", "by a pattern"),
    ('member = "delta"', "the folder is a Delta table", "catalog"),
    ('member = "s3://bucket/member"', "an address is not a path", "mount the store"),
    ('member = { table = "claims.member" }', "no engine is named", "--engine-url"),
    ('membr = "events"', r"x.toml:2:1: data.tables.membr: no table of the dictionary", "did you mean 'member'"),
    ("member = { path = 'events', pat = 1 }", "unknown key 'pat'", "did you mean 'path'"),
    ("member = {}", "one place is needed", "keep one of path and table"),
    ("member = { path = 'events', table = 'm' }", "one place is needed", "keep one"),
    ("member = { table = 'm', format = 'csv' }", "a table of the catalog has no format", "leave format out"),
    ("member = { path = 'events', format = 'orc' }", "unknown word", "one of: csv, csv.gz, parquet"),
    ("member = { path = 'events', columns = { member = 'x' } }", "has no column 'member'", "did you mean 'member_id'"),
    ("member = { path = 'events', columns = { member_id = 'x', sex = 'x' } }", "named twice", "name each column once"),
    ("member = 3", "should be a valid dictionary", ""),
    ("= 3", "not valid TOML", "correct this line"),
]


@pytest.mark.parametrize(("line", "problem", "fix"), FAULTS, ids=[f[0] for f in FAULTS])
def test_slips_in_a_block(home: Path, line: str, problem: str, fix: str) -> None:
    (home / "x.toml").write_text(f'[data.tables]\n{line}\n[data]\ntier = "A"\n')
    with pytest.raises(DataError, match=problem) as caught:
        open_extract(home / "x.toml")
    assert fix in str(caught.value)


def test_slips_that_show_when_a_table_is_read(home: Path) -> None:
    (home / "x.toml").write_text(
        f"{HEAD}member = {{ path = 'events', columns = {{ member_id = 'MEMBER_ID' }} }}\n"
        "attribution = { table = 'atribution' }\n"
        "spending = { path = 'both/b.csv', format = 'parquet' }\n"
    )
    extract = open_extract(home / "x.toml", engine_url=str(home / "w.duckdb"))
    with pytest.raises(DataError, match=r"member_id = 'MEMBER_ID'(.|\n)*did you mean 'member_id'"):
        extract.relation("member")
    with pytest.raises(DataError, match=r"no such table or view(.|\n)*did you mean 'claims.attribution'"):
        extract.relation("attribution")
    with pytest.raises(
        DataError, match=r"x.toml: table grant: the table is missing(.|\n)*a line under \[data.tables\] of x.toml"
    ):
        extract.relation("grant")
    with pytest.raises(DataError, match=r"both/b.csv: table spending: not a Parquet file"):
        extract.relation("spending")


@pytest.mark.parametrize(("url", "problem"), [("absent.duckdb", "no such database"), ("both/b.csv", "cannot be opened")])
def test_addresses_that_are_no_database(home: Path, url: str, problem: str) -> None:
    (home / "x.toml").write_text(f"{HEAD}attribution = {{ table = 'claims.attribution' }}\n")
    with pytest.raises(DataError, match=problem):
        open_extract(home / "x.toml", engine_url=str(home / url)).relation("attribution")


def test_all_slips_of_a_block_come_at_once(home: Path) -> None:
    (home / "x.toml").write_text("[data]\nsynthetic = 'no'\nsorce = 'x'\n[data.tables]\n")
    with pytest.raises(DataError, match=r"3 problems in .*x.toml") as caught:
        open_extract(home / "x.toml")
    assert caught.value.exit_code == 10
    for words in ("did you mean 'source'", "synthetic: should be a valid boolean", "data.tables"):
        assert words in str(caught.value)


def test_validation_lists_what_is_wrong_with_each_table(home: Path, study: Study) -> None:
    (home / "x.toml").write_text(
        f"{HEAD}member = 'evets'\nspending = 'empty'\nattribution = {{ table = 'claims.attribution' }}\n"
    )
    report = validate(open_extract(home / "x.toml", to_validate=True), study)
    assert {p.table for p in report.errors if p.rule == "unreadable_file"} == {"member", "spending", "attribution"}


def test_a_run_never_replaces_the_tables_that_it_reads(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    block = tmp_path_factory.mktemp("elsewhere") / "x.toml"
    block.write_text(f"{HEAD}member = '{home}/events'\n")
    with pytest.raises(UsageError, match="the output would replace its own input"):
        run("bcbsma_pay_for_equity", block, home)
    assert (home / "events" / "a.parquet").is_file()


def test_the_documented_block_is_one(home: Path) -> None:
    readme = (dictionary_dir() / "README.md").read_text("utf-8")
    (home / "x.toml").write_text(readme.split("```toml\n")[1].split("```")[0])
    block = read_block(home / "x.toml", load_dictionary())
    assert block.metadata() == {"tier": "A", "synthetic": False, "source": "claims warehouse", "extract_date": "2026-01-31"}
    assert set(block.tables) == {"member", "measure_event", "spending", "attribution"}


def test_what_is_neither_a_folder_nor_a_block(home: Path) -> None:
    for path, problem in ((home / "plainly.dat", "neither a folder nor a TOML file"), (home / "absent.toml", "no such folder")):
        with pytest.raises(DataError, match=problem):
            data_places(path)
    (home / "x.toml").write_text("[data]\ntables = { member = 'events' }\n")
    with pytest.raises(DataError, match="no tier is stated or seen"):
        open_extract(home / "x.toml")
