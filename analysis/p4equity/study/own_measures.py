"""Measures that a study brings itself, in `measures.toml` of its folder: published figures outside the dictionary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from p4equity.dictionary import Break, Dictionary, Measure
from p4equity.study.base import Block, Many, Year
from p4equity.study.problems import Problems
from p4equity.study.reader import parse

FILE = "measures.toml"


class OwnBreak(Block):
    """First year of a changed definition."""

    year: Year
    note: str


class OwnMeasure(Block):
    """[ID]: a published figure (kind "value"). It is used as it stands, never as its complement; estimates stay in `unit`."""

    title: str
    short_title: str
    description: str
    domain: str
    higher_is_better: bool
    unit: str
    source: str
    breaks: Many[OwnBreak] = ()


def merged_measures(raw: Mapping[str, Any] | None, dictionary: Dictionary, problems: Problems) -> dict[str, Measure]:
    """The dictionary's measures and the study's own, by id."""
    measures = dict(dictionary.measures)
    for name, block in (raw or {}).items():
        if name in dictionary.measures:
            problems.add(FILE, (name,), f"the dictionary already defines '{name}'", fix="choose another id")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            problems.add(FILE, (name,), "the id of a measure is written in capitals, digits and underscores", found=name)
        own = parse(OwnMeasure, block, FILE, problems, prefix=(name,))
        if own is not None:
            measures[name] = _as_measure(name, own)
    return measures


def _as_measure(name: str, own: OwnMeasure) -> Measure:
    return Measure(
        id=name,
        title=own.title,
        short_title=own.short_title,
        description=own.description,
        domain=own.domain,
        kind="value",
        events=name,
        higher_is_better=own.higher_is_better,
        age_min=None,
        age_max=None,
        strata=(),
        has_reading=False,
        claims_only=False,
        unit=own.unit,
        breaks=tuple(Break(year=item.year, note=item.note) for item in own.breaks),
        constant_definition=not own.breaks,
        source=own.source,
        synthetic={},
    )
