"""Which group a member belongs to in a year, by version of the payer's race and ethnicity file, and how it was obtained.

`frozen`: one back-cast version for all years. `contemporaneous`: the version in use when each year was reported. A member
without a row in a version counts as "unknown" in it. All functions build Ibis expressions; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p4equity.dictionary import GroupScheme

if TYPE_CHECKING:
    import ibis.expr.types as ir

UNKNOWN = "unknown"  # category of race_eth
SELF_REPORT = "self_report"  # how the sources that are self-reports begin


def code_of_category(scheme: GroupScheme) -> dict[str, int]:
    """Category of race_eth -> position of its group in the scheme."""
    return {category: code for code, group in enumerate(scheme.groups) for category in group.categories}


def whole_population(scheme: GroupScheme) -> int | None:
    """Position of the group that takes in every member, for schemes that do not divide them; else null."""
    return next((code for code, group in enumerate(scheme.groups) if not group.categories), None)


def member_versions(race: ir.Table, scheme: GroupScheme, versions: Sequence[str]) -> ir.Table:
    """One row a member: member_id and, for the version at position i, `v{i}` = 2 x group code + (1 if self-reported).

    Null where the member has no row in the version, or a category outside the scheme.
    """
    import ibis

    codes = code_of_category(scheme)
    self_report = race.source.startswith(SELF_REPORT)
    by_category = race.race_eth.cases(
        *[(category, ibis.literal(2 * code, "int8")) for category, code in codes.items()], else_=ibis.null("int8")
    )
    rows = race.select("member_id", "version", code=(by_category + self_report.cast("int8")).cast("int8")).filter(
        lambda t: t.version.isin(list(versions))
    )
    # One row a member and version: max only moves the versions from rows to columns.
    wide = {f"v{i}": rows.code.max(where=rows.version == version) for i, version in enumerate(versions)}
    return rows.group_by("member_id").agg(**wide)


def group_and_source(
    wide: Any, scheme: GroupScheme, versions: Sequence[str], frozen: str, contemporaneous: Mapping[int, str], year: Any
) -> dict[str, Any]:
    """Columns group_frozen, self_frozen, group_contemporaneous, self_contemporaneous of rows that hold `v{i}` and a year."""
    import ibis

    position = {version: i for i, version in enumerate(versions)}
    unknown = code_of_category(scheme).get(UNKNOWN)
    fallback = ibis.null("int8") if unknown is None else ibis.literal(2 * unknown, "int8")

    def column(version: str) -> Any:
        return wide[f"v{position[version]}"]

    now = year.cases(*[(y, column(version)) for y, version in sorted(contemporaneous.items())], else_=ibis.null("int8"))
    out: dict[str, Any] = {}
    for name, value in (("frozen", column(frozen)), ("contemporaneous", now)):
        known = value.fill_null(fallback)
        out[f"group_{name}"] = (known // 2).cast("int8")
        out[f"self_{name}"] = (known % 2) == 1
    return out
