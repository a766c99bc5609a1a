"""Reads `data_dictionary/` into frozen values, and refuses a dictionary that contradicts itself."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from p4equity import resources
from p4equity.dictionary.model import (
    DISCLOSURE,
    ROLES,
    TYPES,
    Break,
    Category,
    CrossRule,
    Dictionary,
    Field,
    ForeignKey,
    Group,
    GroupScheme,
    Measure,
    RowRule,
    Stratum,
    Summary,
    Table,
)
from p4equity.errors import DataError, did_you_mean

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = ("proportion", "spending", "value")


def load_dictionary(path: Path | None = None) -> Dictionary:
    """Tables, measures, group schemes and rules of the dictionary; cached.

    Raises DataError (naming file and key) when a file is missing or the dictionary contradicts itself.
    """
    return _load((path or resources.dictionary_dir()).resolve())


@lru_cache(maxsize=8)
def _load(folder: Path) -> Dictionary:
    measures = {k: _measure(k, v) for k, v in _toml(folder / "measures.toml").items()}
    schemes = {k: _scheme(k, v) for k, v in _toml(folder / "groups.toml").items()}
    vocabularies: dict[str, tuple[str, ...]] = {
        "measures": tuple(measures),
        "event_streams": tuple(dict.fromkeys(m.events for m in measures.values())),
        "groups": tuple(dict.fromkeys(g for s in schemes.values() for g in s.ids)),
    }
    files = sorted((folder / "tables").glob("*.yaml"))
    if not files:
        raise DataError("no table is described", where=str(folder / "tables"), expected="one YAML file a table", found="none")
    tables = {t.name: t for t in (_table(f, vocabularies) for f in files)}
    blocks = _toml(folder / "rules.toml")
    summaries = tuple(_summary(k, v, tables) for k, v in blocks.pop("summaries", {}).items())
    rules = tuple(_rule(k, v, tables) for k, v in blocks.items())
    _check_links(tables)
    return Dictionary(tables, measures, schemes, rules, summaries)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("a file of the dictionary is missing", where=str(path), fix="restore it") from None
    except tomllib.TOMLDecodeError as e:
        raise DataError("not valid TOML", where=str(path), found=str(e), fix="correct the line named") from None


def _take(block: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in block:
        raise DataError(f"the key '{key}' is missing", where=where, found=", ".join(block), fix=f"add '{key}'")
    return block[key]


def _one_of(value: Any, known: tuple[str, ...], where: str) -> Any:
    if value not in known:
        raise DataError("unknown word", where=where, expected=did_you_mean(str(value), known), found=value)
    return value


def _measure(measure_id: str, block: dict[str, Any]) -> Measure:
    where = f"measures.toml [{measure_id}]"
    text = {k: _take(block, k, where) for k in ("title", "short_title", "description", "domain", "events", "unit", "source")}
    known = {*text, "kind", "higher_is_better", "age_min", "age_max", "has_reading", "claims_only", "constant_definition"}
    for key in block:
        if key not in known | {"strata", "breaks", "synthetic"}:
            raise DataError("unknown key", where=where, expected=did_you_mean(key, known), found=key)
    return Measure(
        id=measure_id,
        **text,
        kind=_one_of(_take(block, "kind", where), _KINDS, f"{where} kind"),
        higher_is_better=_take(block, "higher_is_better", where),
        age_min=block.get("age_min"),
        age_max=block.get("age_max"),
        strata=tuple(Stratum(**s) for s in block.get("strata", ())),
        has_reading=block.get("has_reading", False),
        claims_only=block.get("claims_only", False),
        breaks=tuple(Break(**b) for b in block.get("breaks", ())),
        constant_definition=block.get("constant_definition", True),
        synthetic=block.get("synthetic", {}),
    )


def _scheme(scheme_id: str, block: dict[str, Any]) -> GroupScheme:
    where = f"groups.toml [{scheme_id}]"
    groups = tuple(
        Group(k, g["label"], tuple(g["categories"]), g["color"], g["marker"], tuple(g.get("probabilities", ())))
        for k, g in _take(block, "groups", where).items()
    )
    return GroupScheme(scheme_id, _take(block, "label", where), groups)


def _rule(rule_id: str, block: dict[str, Any], tables: Mapping[str, Table]) -> CrossRule:
    where = f"rules.toml [{rule_id}]"
    names = tuple(_one_of(t, tuple(tables), where) for t in _take(block, "tables", where))
    return CrossRule(rule_id, names, *(str(_take(block, k, where)) for k in ("description", "sql", "fix")))


def _summary(name: str, block: dict[str, Any], tables: Mapping[str, Table]) -> Summary:
    where = f"rules.toml [summaries.{name}]"
    of = tables[_one_of(_take(block, "of", where), tuple(tables), where)]
    by = tuple(_one_of(c, of.names, where) for c in _take(block, "by", where))
    return Summary(name, of.name, by, dict(block.get("keep", {})))


def _table(path: Path, vocabularies: Mapping[str, tuple[str, ...]]) -> Table:
    where = f"tables/{path.name}"
    try:
        d = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except yaml.YAMLError as e:
        raise DataError("not valid YAML", where=where, found=str(e), fix="correct the line named") from None
    schema = _take(d, "schema", where)
    return Table(
        name=_one_of(_take(d, "name", where), (path.stem,), f"{where} name"),
        title=_take(d, "title", where),
        description=_take(d, "description", where),
        role=_one_of(_take(d, "p4e:role", where), ROLES, f"{where} p4e:role"),
        tiers=tuple(d.get("p4e:tiers", ())),
        grain=_take(d, "p4e:grain", where),
        required_in=tuple(d.get("p4e:required_in", ())),
        fields=tuple(_field(f, vocabularies, where) for f in _take(schema, "fields", where)),
        primary_key=tuple(schema.get("primaryKey", ())),
        foreign_keys=tuple(
            ForeignKey(tuple(k["fields"]), k["reference"]["resource"], tuple(k["reference"]["fields"]))
            for k in schema.get("foreignKeys", ())
        ),
        rules=tuple(RowRule(r["id"], r["description"], r["check"]) for r in d.get("p4e:rules", ())),
        person_level=bool(d.get("p4e:person_level", False)),
    )


def _field(f: dict[str, Any], vocabularies: Mapping[str, tuple[str, ...]], table: str) -> Field:
    where = f"{table} {f.get('name', '?')}"
    limits = f.get("constraints", {})
    categories = tuple(Category(c["value"], c["label"]) for c in f.get("categories", ()))
    vocabulary = f.get("p4e:vocabulary")
    enum = tuple(c.value for c in categories) or tuple(limits.get("enum", ())) or None
    if vocabulary is not None:
        enum = (*vocabularies[_one_of(vocabulary, tuple(vocabularies), where)], *(enum or ()))
    return Field(
        name=_take(f, "name", where),
        type=_one_of(_take(f, "type", where), TYPES, where),
        title=_take(f, "title", where),
        description=_take(f, "description", where),
        unit=_take(f, "p4e:unit", where),
        source=_take(f, "p4e:source", where),
        disclosure=_one_of(_take(f, "p4e:disclosure", where), DISCLOSURE, where),
        required=bool(limits.get("required", False)),
        unique=bool(limits.get("unique", False)),
        minimum=limits.get("minimum"),
        maximum=limits.get("maximum"),
        enum=enum,
        pattern=limits.get("pattern"),
        categories=categories,
        optional=bool(f.get("p4e:optional", False)),
        vocabulary=vocabulary,
    )


def _check_links(tables: Mapping[str, Table]) -> None:
    """Keys name columns that exist, here and in the table referred to."""
    for t in tables.values():
        pairs = [(t, t.primary_key), *((t, k.fields) for k in t.foreign_keys)]
        for k in t.foreign_keys:
            pairs.append((tables[_one_of(k.table, tuple(tables), f"tables/{t.name}.yaml foreignKeys")], k.references))
        for owner, columns in pairs:
            for c in columns:
                _one_of(c, owner.names, f"tables/{t.name}.yaml keys")
