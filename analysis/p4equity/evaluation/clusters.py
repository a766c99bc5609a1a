"""Systems of one owner as one unit: their cells added up, so that they stay together in every step that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.study import Analysis, Study
from p4equity.study.roster import owners


def clustered(context: Context, analysis: Analysis) -> Context:
    """The context in which an analysis is asked: as it is, or with the systems of each owner as one unit."""
    if analysis.clusters == "system":
        return context
    return context.once("by_owner", lambda: _by_owner(context, context.variant(analysis)))


def units(study: Study) -> dict[str, str]:
    """The unit of every system whose owner has others like it: the first of them, whose id and contracts stand for all."""
    alike = (ids for kinds in owners(study.systems, study.contracts).values() for ids in kinds if len(ids) > 1)
    return {system: ids[0] for ids in alike for system in ids}


def _by_owner(context: Context, variant: tuple[str, str]) -> Context:
    """Counts add up over the systems of an owner, year by year; what gaps exist at baseline is judged on all systems.

    Overlap moments add up too. A member who changed between two systems of one owner is then missing among those in both years,
    which overstates the variance of a change by the few who did.
    """
    of = units(context.study)
    named = [frame.assign(system_id=frame["system_id"].replace(of)) for frame in (context.cell, context.overlap)]
    series = baseline_series(context, variant)
    known: dict[str | tuple[Any, ...], Any] = {"measures": context.measures, "baseline_series": series}
    return replace(context, study=one_unit_an_owner(context.study), cell=named[0], overlap=named[1], memory=known)


def one_unit_an_owner(study: Study) -> Study:
    """The study with one system for each owner. A unit ends when its first system leaves: its mix would change with that."""
    of = units(study)
    kept = {s.id for s in study.systems if of.get(s.id, s.id) == s.id}
    return replace(
        study,
        systems=tuple(s for s in study.systems if s.id in kept),
        contracts=tuple(c for c in study.contracts if c.system_id in kept),
        exits=tuple(e.model_copy(update={"system_id": of.get(e.system_id, e.system_id)}) for e in study.exits),
    )
