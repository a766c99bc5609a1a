"""Published aggregates as cells: a panel of units and years from a Python package, each value with its weight."""

from __future__ import annotations

import importlib
import importlib.metadata
import math
from typing import TYPE_CHECKING, Any

from p4equity.cells.plan import ALL_AGES
from p4equity.cells.tables import CellTables, canonical, empty
from p4equity.errors import DataError, StudyError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.study import Study
    from p4equity.study.plan import ValueSource

WHERE = "study.toml: data.value"


def value_cells(study: Study) -> CellTables:
    """The published panel of a study of kind "value" as cells: `value` and `weight`, null counts, no overlap, profile or flow.

    One row a unit, measure and year of the study; the unit stands for its practice, the scheme's only group for the members.
    Values keep the direction of the publication. Raises StudyError for a study of another kind or a block that does not fit
    the panel; DataError when the package, its version, a column, a unit or a year is missing, or adoption disagrees.
    """
    source = study.data.value
    if study.data.kind != "value" or source is None:
        found = study.data.kind
        raise StudyError("not a study of published aggregates", where="study.toml: data.kind", expected="value", found=found)
    if study.scheme is None or len(study.scheme.groups) != 1:
        raise StudyError("a study of values has a scheme of one group", where="study.toml: groups.scheme", expected="none")
    panel = _of_study(_load(source), source, study)
    if source.treated:
        _check_adoption(panel, source.treated, study)
    common = panel.assign(
        map=study.population.map, race_version="frozen", practice_id=panel["system_id"],
        group=study.scheme.groups[0].id, stratum=ALL_AGES,
    )  # fmt: skip
    parts = []
    for measure, outcome in source.outcomes.items():
        values = _transformed(panel[outcome.column].astype("float64"), outcome.transform, outcome.column)
        part = common.assign(measure_id=measure, value=values)
        parts.append(part[part["value"].notna()])
    import pandas as pd

    cell = canonical("cell", pd.concat(parts, ignore_index=True))
    return CellTables(cell, empty("cell_overlap"), empty("cell_profile"), empty("cell_flow"))


def _load(source: ValueSource) -> pd.DataFrame:
    """The panel as the package ships it, at exactly the version the study registered."""
    install = f"pip install '{source.package}=={source.version}'"
    try:
        found = importlib.metadata.version(source.package)
        module = importlib.import_module(source.package)
    except ImportError:
        raise DataError(
            "the package that holds the panel is not installed", where=WHERE, expected=f"{source.package} {source.version}",
            found="nothing", fix=install,
        ) from None  # fmt: skip
    if found != source.version:
        raise DataError(
            "the panel was registered from another version of its package", where=WHERE,
            expected=f"{source.package} {source.version}", found=found, fix=install,
        )  # fmt: skip
    dataset: Any = getattr(module, source.dataset, None)
    if dataset is None or not hasattr(dataset, "load_pandas"):
        raise StudyError("the package has no such dataset", where=f"{WHERE}.dataset", found=source.dataset)
    frame: pd.DataFrame = dataset.load_pandas().data
    wanted = [source.unit, source.year, source.treated, source.weight, *(o.column for o in source.outcomes.values())]
    for column in filter(None, wanted):
        if column not in frame:
            raise StudyError(
                "the panel has no such column", where=WHERE, found=column, fix=did_you_mean(column, map(str, frame.columns))
            )
    return frame


def _of_study(frame: pd.DataFrame, source: ValueSource, study: Study) -> pd.DataFrame:
    """The rows of the study's systems and years, with system_id, year (int) and weight; each unit and year exactly once."""
    unit_of = {s.source_key: s.id for arm in ("participating", "comparison") for s in study.arm_systems(arm)}
    panel = frame.assign(
        system_id=frame[source.unit].map(_key).map(unit_of),
        year=frame[source.year].astype("int64"),
        weight=frame[source.weight].astype("float64") if source.weight else 1.0,
    )
    panel = panel[panel["system_id"].notna() & panel["year"].isin(study.years)].reset_index(drop=True)
    present = set(zip(panel["system_id"], panel["year"], strict=True))
    wanted = {(system, year) for system in unit_of.values() for year in study.years}
    if present != wanted or len(panel) != len(wanted):
        lacking = sorted(wanted - present)
        raise DataError(
            "the panel does not hold each unit and year of the study exactly once",
            where=f"{source.package}.{source.dataset}",
            expected=f"{len(wanted)} rows",
            found=f"{len(panel)} rows, first missing: {lacking[0] if lacking else 'none'}",
            fix="compare source_key in systems.toml with the unit column of the panel, and data.years with its years",
        )
    if not (panel["weight"] > 0).all():
        raise DataError("weights must be positive", where=f"{WHERE}.weight", found=f"{int((~(panel['weight'] > 0)).sum())} rows")
    return panel


def _key(value: Any) -> str:
    """A unit's key as systems.toml writes it: whole numbers without a decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _transformed(values: pd.Series, transform: str, column: str) -> pd.Series:
    if transform == "none":
        return values
    if (values <= 0).any():
        raise DataError(
            "a logarithm needs positive values", where=f"{WHERE}.outcomes: column {column}",
            found=f"{int((values <= 0).sum())} values of 0 or less", fix="register another transform or column",
        )  # fmt: skip
    return values.map(math.log)


def _check_adoption(panel: pd.DataFrame, treated: str, study: Study) -> None:
    """The panel's adoption column and the study's contracts must tell the same story, unit by unit."""
    first = panel[panel[treated] == 1].groupby("system_id")["year"].min().to_dict()
    for system in sorted(set(panel["system_id"])):
        registered = study.cohort_of(system)
        if first.get(system) != registered:
            raise DataError(
                "the panel and systems.toml disagree on the first treated year",
                where=f"system {system}, column {treated}",
                expected=registered if registered else "never treated",
                found=first.get(system, "never treated"),
                fix="correct the contract's cohort, or name the column that the study registered",
            )
