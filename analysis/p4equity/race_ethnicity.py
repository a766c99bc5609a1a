"""Which group a member belongs to in a year, by version of the payer's race and ethnicity file, and how it was obtained.

`frozen`: one back-cast version for all years. `contemporaneous`: the version in use when each year was reported. A member
without a row in a version counts as "unknown" in it. All functions build Ibis expressions; nothing is computed here.

A member's codes of all versions are one integer, a field of `width` bits each: 2 x (position of the group + 1), or 0 where the
member has no row or a category outside the scheme, plus 1 if self-reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from p4equity.dictionary import GroupScheme

if TYPE_CHECKING:
    import ibis.expr.types as ir

UNKNOWN = "unknown"  # category of race_eth
SELF_REPORT = "self_report"  # how the sources that are self-reports begin
MOST_BITS = 62


def code_of_category(scheme: GroupScheme) -> dict[str, int]:
    """Category of race_eth -> position of its group in the scheme."""
    return {category: code for code, group in enumerate(scheme.groups) for category in group.categories}


def whole_population(scheme: GroupScheme) -> int | None:
    """Position of the group that takes in every member, for schemes that do not divide them; else null."""
    return next((code for code, group in enumerate(scheme.groups) if not group.categories), None)


def width(scheme: GroupScheme) -> int:
    """Bits of one version's field."""
    return (2 * len(scheme.groups) + 1).bit_length()


def member_codes(race: ir.Table, scheme: GroupScheme, versions: Sequence[str], category: Any) -> ir.Table:
    """One row a member: member_id; `race`, the fields of the versions in their order, the first in the lowest bits; and
    `race_category`, the code `category` of the first version's row, null without one."""
    import ibis

    codes = code_of_category(scheme)
    by_category = race.race_eth.cases(
        *[(category, ibis.literal(2 * (code + 1), "int64")) for category, code in codes.items()], else_=ibis.literal(0, "int64")
    )
    self_report = race.source.startswith(SELF_REPORT).cast("int64")
    shift = race.version.cases(
        *[(version, ibis.literal(i * width(scheme), "int64")) for i, version in enumerate(versions)], else_=ibis.null("int64")
    )
    first = (race.version == versions[0]).ifelse(category, ibis.null("int8"))
    rows = race.select("member_id", field=(by_category + self_report) << shift, category=first)
    return rows.group_by("member_id").agg(race=rows.field.bit_or().fill_null(0), race_category=rows.category.max())


def without_source(race: Any, scheme: GroupScheme, versions: Sequence[str]) -> Any:
    """The fields without the bit that says how the group was obtained."""
    return race & sum((2 ** width(scheme) - 2) << (i * width(scheme)) for i in range(len(versions)))


def group_of(field: Any, scheme: GroupScheme) -> Any:
    """The group of one version's field; -1 where there is none, not even one for members of whom nothing is known."""
    import ibis

    unknown = code_of_category(scheme).get(UNKNOWN, -1)
    return (field < 2).ifelse(ibis.literal(unknown, "int64"), (field // 2) - 1)


def reported_group(race: Any, scheme: GroupScheme, none: int) -> Any:
    """The group of the first version's field where it is a self-report, else `none`. Who declined to answer is in the group that
    holds "declined", with those who reported another race: no group that is compared.
    """
    import ibis

    field = race & (2 ** width(scheme) - 1)
    return (((field & 1) == 1) & (field > 1)).ifelse((field // 2) - 1, ibis.literal(none, "int64"))
