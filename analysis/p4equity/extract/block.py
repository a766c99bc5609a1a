"""The [data] block of a TOML file: it names each table of an extract where it already lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from p4equity.dictionary import Dictionary
from p4equity.errors import DataError, did_you_mean
from p4equity.extract.catalog import CatalogTable
from p4equity.extract.folders import Found
from p4equity.extract.paths import found_at
from p4equity.study.base import Block
from p4equity.study.problems import Problems
from p4equity.study.reader import parse, read_toml

Format = Literal["parquet", "csv", "csv.gz"]


class TableBlock(Block):
    """One table under [data.tables]: a path (file, folder or pattern), or a table of the engine's catalog."""

    path: str | None = None
    format: Format | None = None
    table: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


def _short(value: object) -> object:
    """A bare text is a path."""
    return {"path": value} if isinstance(value, str) else value


class DataBlock(Block):
    """[data]: what an extract says of itself, the keys of extract.json, and where its tables lie."""

    tier: Literal["A", "B", "C"] | None = None
    synthetic: bool | None = None
    source: str | None = None
    data_version: str | None = None
    extract_date: Annotated[str, BeforeValidator(lambda v: v.isoformat() if isinstance(v, date) else v)] | None = None
    study: str | None = None
    scenario: str | None = None
    seed: int | None = None
    members: int | None = None
    generator: str | None = None
    truth: str | None = None
    tables: Annotated[dict[str, Annotated[TableBlock, BeforeValidator(_short)]], Field(min_length=1)]

    def metadata(self) -> dict[str, Any]:
        """What extract.json would say."""
        return self.model_dump(exclude={"tables", "truth"}, exclude_none=True)


class _File(Block):
    data: DataBlock


def read_block(path: Path, dictionary: Dictionary) -> DataBlock:
    """The block of a TOML file. Raises one DataError for all that is wrong with its words: keys, tables, columns."""
    problems = Problems("", error=DataError, what=str(path))
    file = parse(_File, read_toml(Path(), str(path), problems), str(path), problems)
    if file is not None:
        _check_words(file.data, str(path), dictionary, problems)
    problems.raise_any()
    if file is None:
        raise AssertionError  # a file that cannot be parsed has problems
    return file.data


def _check_words(block: DataBlock, file: str, dictionary: Dictionary, problems: Problems) -> None:
    known = {t.name: t for t in dictionary.tables.values() if t.tiers}
    for name, table in block.tables.items():
        place = ("data", "tables", name)
        if name not in known:
            problems.add(file, place, f"no table of the dictionary is called '{name}'", fix=did_you_mean(name, known))
            continue
        if (table.path is None) == (table.table is None):
            problems.add(
                file, place, "one place is needed", expected='a path, or { table = "schema.name" } in the engine\'s catalog',
                found="both" if table.path else "neither", fix="keep one of path and table",
            )  # fmt: skip
        if table.format and table.table:
            problems.add(file, (*place, "format"), "a table of the catalog has no format", fix="leave format out")
        for column in table.columns:
            if column not in known[name].names:
                fix = did_you_mean(column, known[name].names) + " Write: the dictionary's name = the stored name"
                problems.add(file, (*place, "columns", column), f"the dictionary's table has no column '{column}'", fix=fix)
        stored = list(table.columns.values())
        for twice in sorted({s for s in stored if stored.count(s) > 1}):
            problems.add(file, (*place, "columns"), f"the stored column '{twice}' is named twice", fix="name each column once")


def find_tables(block: DataBlock, home: Path, dictionary: Dictionary, engine: str, url: str | None) -> Iterator[Found]:
    """The tables of a block, in the dictionary's order, each with what is wrong with it. Paths count from `home`."""
    for name, schema in dictionary.tables.items():
        said = block.tables.get(name)
        if said is None:
            continue
        if said.path is not None:
            yield found_at(schema, said.path, home, said.format, said.columns)
        elif said.table is not None:
            yield _in_catalog(name, said.table, said.columns, engine, url)


def _in_catalog(name: str, table: str, renames: Mapping[str, str], engine: str, url: str | None) -> Found:
    if engine != "duckdb":
        return Found(CatalogTable(name, table, engine, None, renames))
    fault = None
    if url is None:
        fault = DataError(
            "the table lies in an engine's catalog, and no engine is named",
            where=f"[data.tables] {name} = {{ table = {table!r} }}",
            expected="--engine-url with a DuckDB database file, or another --engine",
            found="neither",
            fix="add --engine-url warehouse.duckdb, or --engine spark for a table of Spark's catalog",
        )
    elif not Path(url).is_file():
        fault = DataError(
            "no such database", where=f"--engine-url {url}: table {name}", expected="a DuckDB database file",
            found="a folder" if Path(url).is_dir() else "nothing", fix="correct the path of the database",
        )  # fmt: skip
    return Found(CatalogTable(name, table, engine, Path(url) if url is not None else None, renames), fault)
