"""Strict parameters: papermill would run a misspelt or ill-typed one with a warning, or even run its name as code."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p4equity.errors import UsageError, did_you_mean

TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


@dataclass(frozen=True)
class Parameter:
    """One declared parameter: `name: type = default`."""

    name: str
    type: str
    default: Any


def declared(notebook: Any, name: str) -> dict[str, Parameter]:
    """The parameters of a notebook node, read from its one `parameters`-tagged cell without running it.

    Raises UsageError when there is not exactly one such cell or a line is no annotated assignment of a plain value.
    """
    cells = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", ())]
    if len(cells) != 1:
        raise UsageError("a notebook needs exactly one cell tagged 'parameters'", where=name, expected=1, found=len(cells))
    found: dict[str, Parameter] = {}
    for statement in ast.parse(cells[0].source).body:
        parameter = _parameter(statement)
        if parameter is None:
            raise UsageError(
                "the parameters cell holds annotated assignments of plain values only",
                where=f"{name}: parameters cell, line {statement.lineno}",
                expected=f"name: type = default, with type one of {', '.join(TYPES)}",
                found=ast.unparse(statement),
            )
        found[parameter.name] = parameter
    return found


def check(notebook: Any, name: str, given: Mapping[str, object]) -> dict[str, object]:
    """The given parameters, if the notebook declares each with that type.

    Raises UsageError that names the notebook, the parameter, the type expected and the nearest known name.
    """
    known = declared(notebook, name)
    for key, value in given.items():
        if key not in known:
            raise UsageError(
                "unknown parameter",
                where=f"{name}: {key}",
                expected="a parameter the notebook declares",
                fix=did_you_mean(key, known),
            )
        wanted = known[key].type
        if not _fits(value, wanted):
            raise UsageError(
                "ill-typed parameter",
                where=f"{name}: {key}",
                expected=wanted,
                found=f"{type(value).__name__} {value!r}",
            )
    return dict(given)


def _parameter(statement: ast.stmt) -> Parameter | None:
    if not isinstance(statement, ast.AnnAssign) or statement.value is None:
        return None
    if not isinstance(statement.target, ast.Name) or not isinstance(statement.annotation, ast.Name):
        return None
    try:
        default = ast.literal_eval(statement.value)
    except ValueError:
        return None
    kind = statement.annotation.id
    return Parameter(statement.target.id, kind, default) if kind in TYPES and _fits(default, kind) else None


def _fits(value: object, kind: str) -> bool:
    """Exact types, but a whole number may stand for a float; True is no number."""
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is TYPES[kind]
