"""Disclosure control: counts of 1 to threshold - 1, and whatever would reveal them, never leave.

Every function marks rows with a `status` and a `reason` and empties their numbers; a suppressed count is never a zero.
"""

from p4equity.disclosure.answers import protect_estimates, protect_levels, protect_pooled, protect_systems
from p4equity.disclosure.cells import protect_cells
from p4equity.disclosure.implementation import protect_implementation
from p4equity.disclosure.marks import COMPLEMENT, PEOPLE, SMALL, apply, complementary_flags, primary_flags, protect, small
from p4equity.disclosure.movers import protect_group_movers
from p4equity.disclosure.nested import nested_pairs
from p4equity.disclosure.population import protect_flow, protect_population
from p4equity.disclosure.precision import protect_precision

__all__ = [
    "COMPLEMENT",
    "PEOPLE",
    "SMALL",
    "apply",
    "complementary_flags",
    "nested_pairs",
    "primary_flags",
    "protect",
    "protect_cells",
    "protect_estimates",
    "protect_flow",
    "protect_group_movers",
    "protect_implementation",
    "protect_levels",
    "protect_pooled",
    "protect_population",
    "protect_precision",
    "protect_systems",
    "small",
]
