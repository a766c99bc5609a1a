"""Each kind of bad extract stops every verb that reads it: exit 10, its own words, nothing of a person, nothing half-made."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from p4equity.errors import LISTED, did_you_mean

LEAK = "QQLEAK"  # planted in columns about persons: must never be printed


def _remove(table: str) -> Callable[[Any], None]:
    def damage(d: Any) -> None:
        shutil.rmtree(d.path / table) if (d.path / table).is_dir() else d.file(table).unlink()

    return damage


def _query(table: str, query: str, form: str = "parquet") -> Callable[[Any], None]:
    return lambda d: d.rewrite(table, query, form)


def _first(column: str, value: str, where: str = "true") -> str:
    """A query that sets a column in one row."""
    return (
        f"SELECT * EXCLUDE (n_) REPLACE (CASE WHEN n_ = (SELECT min(rowid) FROM t WHERE {where}) THEN {value} "
        f'ELSE "{column}" END AS "{column}") FROM (SELECT *, rowid AS n_ FROM t)'
    )


def _truncate(table: str, share: float) -> Callable[[Any], None]:
    def damage(d: Any) -> None:
        file = d.file(table)
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    return damage


def _scramble(d: Any) -> None:
    """Footer and ends whole, pages overwritten: only reading finds it."""
    file = d.file("measure_event")
    content = bytearray(file.read_bytes())
    content[100:40_000] = bytes(39_900)
    file.write_bytes(bytes(content))


def _text(table: str, name: str, content: bytes) -> Callable[[Any], None]:
    def damage(d: Any) -> None:
        _remove(table)(d)
        (d.path / name).write_bytes(content)

    return damage


# What is damaged, how, and the words of the message. One kind of mistake each.
BAD = {
    "missing table": (_remove("measure_event"), [r"table measure_event: the table is missing", r"measure_event\.parquet"]),
    "misspelled table": (
        lambda d: d.file("system").rename(d.path / "systems.parquet"),
        [r"table system: the table is missing", r"did you mean 'systems'"],
    ),
    "missing column": (
        _query("attribution", "SELECT * EXCLUDE (system_id) FROM t"),
        [r"table attribution, column system_id: the column is missing", r"columns member_id, year"],
    ),
    "misspelled column": (
        _query("member", "SELECT * RENAME (birth_year AS birthyear) FROM t"),
        [r"table member, column birth_year: the column is missing", r"did you mean 'birthyear'"],
    ),
    "text in year, Parquet": (
        _query("measure_event", f"SELECT * REPLACE ('{LEAK}' AS year) FROM t"),
        [r"table measure_event, column year: the column has the wrong type", r"expected: integer", r"found VARCHAR"],
    ),
    "text in year, CSV": (
        _query("attribution", _first("year", f"'{LEAK}'").replace('"year" END', "year::VARCHAR END"), "csv"),
        [r"table attribution, column year: not a value of type integer", r"expected: a whole number", r"1 found"],
    ),
    "broken whole number, CSV": (
        _query("spending", _first("months", "'12.5'").replace('"months" END', '"months"::VARCHAR END'), "csv"),
        [r"table spending, column months: not a value of type integer"],
    ),
    "duplicate key, persons": (
        _query("member", "SELECT * FROM t UNION ALL (SELECT * FROM t LIMIT 3)"),
        [r"table member, column member_id: the key occurs more than once", r"3 keys on 6 rows"],
    ),
    "duplicate key, systems": (
        _query("contract", "SELECT * FROM t UNION ALL (SELECT * FROM t WHERE contract_id = 'C01')"),
        [r"table contract, column contract_id: the key occurs more than once", r"contract_id=C01"],
    ),
    "unknown category": (
        _query("race_ethnicity", _first("race_eth", f"'{LEAK}'")),
        [r"table race_ethnicity, column race_eth: unknown category", r"expected: .*NH Black"],
    ),
    "unknown measure": (
        _query("contract_measure", _first("measure_id", "'CPB'")),
        [r"table contract_measure, column measure_id: unknown category", r"CPB"],
    ),
    "numerator without denominator": (
        _query("measure_event", _first("denominator", "false", "numerator")),
        [r"table measure_event: a row breaks: .*[Nn]umerator"],
    ),
    "orphan key": (
        _query("enrollment_span", _first("member_id", f"'{LEAK}'")),
        [r"table enrollment_span, column member_id: the value is not in table member", r"values of member\.member_id"],
    ),
    "out of range": (
        _query("member", _first("birth_year", "1492")),
        [r"table member, column birth_year: out of range", r"expected: at least"],
    ),
    "missing value": (
        _query("attribution", _first("practice_id", "NULL")),
        [r"table attribution, column practice_id: a value is missing"],
    ),
    "truncated Parquet file": (
        _truncate("measure_event", 0.6),
        [r"table measure_event: measure_event/block-0000\.parquet: the Parquet file is truncated", r"found \d+ bytes"],
    ),
    "empty file": (_truncate("system", 0), [r"table system: system\.parquet: the file is empty"]),
    "scrambled Parquet pages": (
        _scramble,
        [r"table measure_event: measure_event/block-0000\.parquet: the content cannot be read", r"a whole parquet file"],
    ),
    "not text": (
        _text("member", "member.csv", b"member_id,sex\n\xff\xfe\x00QQLEAK,F\n"),
        [r"table member: member\.csv: .*(UTF-8|read)"],
    ),
    "ragged CSV": (
        _text(
            "member",
            "member.csv",
            b"member_id,birth_year,sex,adi_national_pct,language_pref,death_year\nQQLEAK,1950,F,3,English,,QQLEAK,1\n",
        ),
        [r"table member: member\.csv: the content cannot be read"],
    ),
    "facts of another study": (
        _query("contract", _first("announced", "DATE '2022-12-25'", "contract_id = 'C02'")),
        [
            r"table contract, column announced: differs from the study",
            r"study: 2022-12-15",
            r"extract: 2022-12-25",
            r"contract_id=C02",
        ],
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_extract_is_named_and_leaves_nothing(kind: str, damaged: Any, p4: Any, tmp_path: Path) -> None:
    damage, words = BAD[kind]
    damage(damaged)
    said = p4("estimate", damaged.path, "--out", tmp_path / "run")
    said.fails(10, *words)
    for part in ("expected:", "found:", "next:", "all problems are in"):
        assert part in said.err
    # No run, no working folder: only the extract and the report on what to mend.
    assert {p.name for p in tmp_path.iterdir()} == {"extract", "run.validation.json"}
    report = (tmp_path / "run.validation.json").read_text("utf-8")
    assert LEAK not in report
    assert not re.search(r"\bM\d{8}\b", report)
    assert json.loads(report)["ok"] is False


def test_validate_lists_every_problem(damaged: Any, p4: Any, tmp_path: Path) -> None:
    for kind in ("missing column", "text in year, CSV", "duplicate key, systems", "orphan key", "truncated Parquet file"):
        if kind != "missing column":  # same table as the text in the year
            BAD[kind][0](damaged)
    _query("member", "SELECT * EXCLUDE (sex) FROM t")(damaged)
    said = p4("validate", damaged.path, "--report", tmp_path / "report.json")
    said.fails(
        10, r"table member, column sex: the column is missing", r"column year: not a value of type integer",
        r"contract_id: the key occurs more than once", r"the Parquet file is truncated", r"breaks [56] rules",
    )  # fmt: skip
    found = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert {p["rule"] for p in found["problems"]} >= {"missing_column", "wrong_type", "duplicate_key", "unreadable_file"}


@pytest.mark.parametrize("verb", ["validate", "diagnose", "power", "cells", "run"])
def test_every_verb_refuses_a_bad_extract(verb: str, damaged: Any, p4: Any, tmp_path: Path) -> None:
    BAD["orphan key"][0](damaged)
    out = ["--out", tmp_path / "out"] if verb in ("cells", "run") else []
    data = ["--data", damaged.path] if verb == "run" else [damaged.path]
    p4(verb, *data, *out).fails(10, r"the value is not in table member", r"next: ")
    assert not (tmp_path / "out").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("verb", ["validate", "estimate", "diagnose", "power", "cells", "run"])
def test_a_missing_extract(verb: str, p4: Any, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "out"] if verb in ("cells", "run", "estimate") else []
    data = ["--data", tmp_path / "nowhere"] if verb == "run" else [tmp_path / "nowhere"]
    said = p4(verb, *data, *out)
    said.fails(10, r"nowhere: no such folder", r"expected: a folder with an extract", r"found: nothing", r"p4equity simulate")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_no_extract(p4: Any, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    p4("validate", tmp_path / "photos").fails(10, r"photos: this is not an extract", r"expected: a table", r"found: cat\.jpg")
    p4("validate", tmp_path / "photos" / "cat.jpg").fails(10, r"neither a folder nor a TOML file", r"found: a file")


def test_a_damaged_description(damaged: Any, p4: Any) -> None:
    (damaged.path / "extract.json").write_text('{"tier": "C", ', "utf-8")
    p4("validate", damaged.path).fails(10, r"extract\.json: not a JSON object", r"next: ")
    (damaged.path / "extract.json").write_text('{"tier": "D"}', "utf-8")
    p4("validate", damaged.path).fails(10, r"this is not an extract", r"a tier A, B or C in extract\.json")


def test_a_table_given_twice(damaged: Any, p4: Any) -> None:
    shutil.copy(damaged.file("system"), damaged.path / "keep.parquet")
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT * FROM '{damaged.path / 'keep.parquet'}') TO '{damaged.path / 'system.csv'}' (HEADER)")
    (damaged.path / "keep.parquet").unlink()
    p4("validate", damaged.path).fails(10, r"table system: the table is there twice", r"system\.csv", r"next: remove")


def test_a_table_in_another_form_reads_alike(damaged: Any, p4: Any) -> None:
    damaged.rewrite("attribution", "SELECT * FROM t", "csv")
    said = p4("validate", damaged.path)
    assert said.code == 0, said.text
    assert "Valid." in said.out


def test_long_lists_of_known_words_are_cut() -> None:
    text = did_you_mean("zzz", [f"word{i:03}" for i in range(300)])
    assert text.endswith(f"and {300 - LISTED} more")
    assert len(text) < 300
