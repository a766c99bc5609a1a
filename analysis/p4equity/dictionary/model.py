"""What the data dictionary is made of: tables and fields, measures, groups, rules. Frozen values, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from p4equity.errors import UsageError, did_you_mean

FieldType = Literal["string", "integer", "number", "boolean", "date"]
TYPES: tuple[FieldType, ...] = ("string", "integer", "number", "boolean", "date")
DISCLOSURE = ("none", "identifier", "count", "rate", "quote")
ROLES = ("study", "extract", "result")
Scalar = str | int | float


@dataclass(frozen=True)
class Category:
    """One allowed value and what it means."""

    value: str | int
    label: str


@dataclass(frozen=True)
class Field:
    """One column. `enum` holds all allowed values: those of `categories`, or of a vocabulary (measures, groups)."""

    name: str
    type: FieldType
    title: str
    description: str
    unit: str | None
    source: str
    disclosure: str
    required: bool = False
    unique: bool = False
    minimum: Scalar | None = None
    maximum: Scalar | None = None
    enum: tuple[str | int, ...] | None = None
    pattern: str | None = None
    categories: tuple[Category, ...] = ()
    optional: bool = False
    vocabulary: str | None = None

    def label(self, value: str | int) -> str:
        """The label of an allowed value; the value itself when it has none."""
        return next((c.label for c in self.categories if c.value == value), str(value))


@dataclass(frozen=True)
class ForeignKey:
    """Columns whose values must occur in the key of another table."""

    fields: tuple[str, ...]
    table: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class RowRule:
    """A condition every row must meet, in SQL over the row's own columns."""

    id: str
    description: str
    check: str


@dataclass(frozen=True)
class Table:
    """The schema of one table."""

    name: str
    title: str
    description: str
    role: str
    tiers: tuple[str, ...]
    grain: str
    required_in: tuple[str, ...]
    fields: tuple[Field, ...]
    primary_key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]
    rules: tuple[RowRule, ...]
    person_level: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the order of the dictionary."""
        return tuple(f.name for f in self.fields)

    def field(self, name: str) -> Field:
        """The column of that name; UsageError when there is none."""
        for f in self.fields:
            if f.name == name:
                return f
        raise UsageError(
            "no such column",
            where=f"table {self.name}",
            expected=did_you_mean(name, self.names),
            found=name,
            fix=f"see data_dictionary/tables/{self.name}.yaml",
        )


@dataclass(frozen=True)
class Stratum:
    """An age stratum of a measure; both ages are inside."""

    id: str
    label: str
    age_min: int
    age_max: int


@dataclass(frozen=True)
class Break:
    """A change of specification: `year` is the first year under the new one; `age_min_before` the lowest age until then."""

    year: int
    note: str
    age_min_before: int | None = None


@dataclass(frozen=True)
class Measure:
    """One measure. Direction (`higher_is_better`) is applied to proportions only: of what should be less, rates are the rest."""

    id: str
    title: str
    short_title: str
    description: str
    domain: str
    kind: Literal["proportion", "spending", "value"]
    events: str
    higher_is_better: bool
    age_min: int | None
    age_max: int | None
    strata: tuple[Stratum, ...]
    has_reading: bool
    claims_only: bool
    unit: str
    breaks: tuple[Break, ...]
    constant_definition: bool
    source: str
    synthetic: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def turned(self) -> bool:
        """Whether rates are the share of members without what the measure counts, because less of it is better."""
        return self.kind == "proportion" and not self.higher_is_better

    @property
    def shown_title(self) -> str:
        """The short title of what rates are shares of."""
        return f"{self.short_title}, share without" if self.turned else self.short_title

    def ages(self, year: int) -> tuple[int, int] | None:
        """Lowest and highest age at 31 December the measure admits in a year; None when it has no ages."""
        if self.age_min is None or self.age_max is None:
            return None
        earlier = [b.age_min_before for b in self.breaks if b.age_min_before is not None and year < b.year]
        return (earlier[0] if earlier else self.age_min), self.age_max


@dataclass(frozen=True)
class Group:
    """One group: the recorded categories it takes in, and how figures show it. No categories: every member.

    `probabilities`: columns of race_probability that add up to the probability of the group.
    """

    id: str
    label: str
    categories: tuple[str, ...]
    color: str
    marker: str
    probabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupScheme:
    """A set of groups that together hold every member."""

    id: str
    label: str
    groups: tuple[Group, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Group ids in the order of the scheme."""
        return tuple(g.id for g in self.groups)

    def group(self, group_id: str) -> Group:
        """The group of that id; UsageError when there is none."""
        for g in self.groups:
            if g.id == group_id:
                return g
        raise UsageError(
            "no such group", where=f"groups.toml [{self.id}]", expected=did_you_mean(group_id, self.ids), found=group_id
        )


@dataclass(frozen=True)
class CrossRule:
    """A rule over several rows or tables: `sql` selects what breaks it."""

    id: str
    tables: tuple[str, ...]
    description: str
    sql: str
    fix: str


@dataclass(frozen=True)
class Summary:
    """A table that is made once from the table `of`, for rules to read in its place: rows counted (`n`) by the columns `by`, and
    what else is kept of them, as aggregates in SQL."""

    name: str
    of: str
    by: tuple[str, ...]
    keep: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Dictionary:
    """All of `data_dictionary/`."""

    tables: Mapping[str, Table]
    measures: Mapping[str, Measure]
    schemes: Mapping[str, GroupScheme]
    rules: tuple[CrossRule, ...]
    summaries: tuple[Summary, ...] = ()

    def table(self, name: str) -> Table:
        """The table of that name; UsageError when there is none."""
        if name not in self.tables:
            raise UsageError("no such table", where="data_dictionary", expected=did_you_mean(name, self.tables), found=name)
        return self.tables[name]

    def measure(self, measure_id: str) -> Measure:
        """The measure of that id; UsageError when there is none."""
        if measure_id not in self.measures:
            raise UsageError(
                "no such measure",
                where="data_dictionary/measures.toml",
                expected=did_you_mean(measure_id, self.measures),
                found=measure_id,
            )
        return self.measures[measure_id]

    def scheme(self, scheme_id: str) -> GroupScheme:
        """The group scheme of that id; UsageError when there is none."""
        if scheme_id not in self.schemes:
            raise UsageError(
                "no such group scheme",
                where="data_dictionary/groups.toml",
                expected=did_you_mean(scheme_id, self.schemes),
                found=scheme_id,
            )
        return self.schemes[scheme_id]

    def in_tier(self, tier: str) -> tuple[Table, ...]:
        """Tables an extract of the tier may hold."""
        return tuple(t for t in self.tables.values() if tier in t.tiers)
