"""The codebook says of every column what the dictionary says, in words."""

from __future__ import annotations

from dataclasses import replace

from p4equity.dictionary import codebook, codebook_measures, load_dictionary


def test_every_column_of_every_table_has_a_row() -> None:
    d = load_dictionary()
    book = codebook(d)
    assert {t.name for t, _ in book} == {t.name for t in d.tables.values() if t.role in ("extract", "result")}
    for table, rows in book:
        assert [r["column"] for r in rows] == list(table.names)
        assert all(r["description"] for r in rows)


def test_values_and_presence_in_words() -> None:
    rows = {(t.name, r["column"]): r for t, table in codebook() for r in table}
    assert rows["member", "sex"]["values"].startswith("F = Female")
    assert rows["member", "member_id"]["presence"] == "key"
    assert rows["member", "zip3"]["presence"] == "optional"
    assert rows["spending", "months"]["values"] == "1 to 12"
    assert rows["measure_event", "measure_id"]["values"] == "ids of event streams"
    assert rows["cell", "den"]["disclosure"] == "count"
    # Ids of another file, and a word beside them.
    assert rows["cell_history", "reported_group"]["values"] == "ids of groups; none = The member reported no group"


def test_measures_in_words() -> None:
    d = load_dictionary()
    rows = codebook_measures(d.measures.values())
    assert [r["measure"] for r in rows] == list(d.measures)
    assert any("strata" in r["ages"] for r in rows)
    assert all(r["direction"] in ("higher is better", "not applied") for r in rows)


def test_where_less_is_better_the_title_and_the_direction_say_what_rates_are() -> None:
    """One kind of value, one proportion of each direction: only the proportion turns."""
    first = next(m for m in load_dictionary().measures.values() if m.kind == "proportion")
    turned = replace(first, higher_is_better=False)
    value = replace(turned, kind="value")
    assert [m.shown_title for m in (first, turned, value)] == [
        first.short_title, f"{first.short_title}, share without", first.short_title,
    ]  # fmt: skip
    assert "share without" in codebook_measures([turned])[0]["direction"]
    assert codebook_measures([value])[0]["direction"] == "not applied"
