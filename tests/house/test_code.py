"""Rules about the package's code: size, names of measures and groups, docstrings, what statistics may not do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from p4equity.dictionary import load_dictionary
from p4equity.resources import studies_dir
from p4equity.study import load_study

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Module

LINES, FUNCTION_LINES = 300, 60
STATISTICS = {"estimators", "inference", "disparity", "power", "incentive"}
FILE_CALLS = {
    "open", "read_csv", "read_parquet", "read_json", "to_csv", "to_parquet", "to_json", "read_text", "write_text", "read_bytes",
    "write_bytes", "mkdir", "unlink", "savefig", "loadtxt", "savetxt", "print",
}  # fmt: skip
FILE_MODULES = {"pathlib", "os", "shutil", "tempfile", "io", "duckdb", "ibis", "pyarrow", "sys", "subprocess"}
COLOR = re.compile(r"color|face|edge|^m?[fe]?c$|background")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_file_is_longer_than_it_may_be(modules: list[Module]) -> None:
    assert [f"{m.name}: {n} lines" for m in modules if (n := len(m.text.splitlines())) > LINES] == []


def test_no_function_is_longer_than_it_may_be(modules: list[Module]) -> None:
    long = [
        f"{m.name}: {f.name}, {size} lines"
        for m in modules
        for f in functions(m.tree)
        if f.end_lineno and (size := f.end_lineno - f.lineno + 1) > FUNCTION_LINES
    ]
    assert long == []


def docstrings(tree: ast.Module) -> set[int]:
    """Identity of every node that is a docstring or another bare string statement."""
    return {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}


def colors(tree: ast.Module) -> set[int]:
    """Identity of every string that is the value of a keyword, a key or a variable named after a color."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg and COLOR.search(node.arg):
            found |= {id(n) for n in ast.walk(node.value)}
        elif isinstance(node, ast.Dict):
            pairs = [(k.value, v) for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant)]
            found |= {id(n) for key, value in pairs if COLOR.search(str(key)) for n in ast.walk(value)}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and COLOR.search(node.targets[0].id):
            found |= {id(n) for n in ast.walk(node.value)}
    return found


def literals(m: Module) -> Iterator[tuple[int, str]]:
    """Line and text of every string in a module that is neither a docstring nor a color."""
    left_out = docstrings(m.tree) | colors(m.tree)
    for node in ast.walk(m.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.lineno, node.value


@pytest.fixture(scope="session")
def named() -> re.Pattern[str]:
    """Ids of measures and systems of the dictionary and of every study, as words."""
    studies = [load_study(p.name) for p in studies_dir().iterdir() if (p / "study.toml").is_file()]
    ids = {*load_dictionary().measures} | {s.id for study in studies for s in study.systems}
    ids |= {m for study in studies for m in study.measure_ids("contracted")}
    assert len(ids) > 60
    return re.compile(rf"\b({'|'.join(sorted(map(re.escape, ids), key=len, reverse=True))})\b")


def test_code_names_no_measure_and_no_system(modules: list[Module], named: re.Pattern[str]) -> None:
    assert [f"{m.name}:{line}: {text!r}" for m in modules for line, text in literals(m) if named.search(text)] == []


def test_code_names_no_group(modules: list[Module]) -> None:
    """Groups that divide members: `all` is the word for no division, and a category's name is not a group's id."""
    schemes = load_dictionary().schemes.values()
    ids = {g.id for s in schemes for g in s.groups if g.categories and g.id not in g.categories}
    assert len(ids) >= 4
    assert [f"{m.name}:{line}: {text!r}" for m in modules for line, text in literals(m) if text in ids] == []


def test_public_functions_and_classes_say_what_they_do(modules: list[Module]) -> None:
    silent = []
    for m in modules:
        assert ast.get_docstring(m.tree), m.name
        for node in m.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{m.name}: {node.name}")
    assert silent == []


def called(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and last name of everything that is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            f = node.func
            yield node.lineno, f.attr if isinstance(f, ast.Attribute) else f.id if isinstance(f, ast.Name) else ""


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.split(".")[0]


def test_statistics_touch_no_file_and_print_nothing(modules: list[Module]) -> None:
    wing = [m for m in modules if m.room in STATISTICS]
    assert len(wing) > 15
    found = [f"{m.name}:{line}: {name}()" for m in wing for line, name in called(m.tree) if name in FILE_CALLS]
    found += [f"{m.name}:{line}: import {name}" for m in wing for line, name in imported(m.tree) if name in FILE_MODULES]
    assert found == []


def randomness(m: Module) -> Iterator[str]:
    """Uses of random numbers that no seed of their own governs."""
    yield from (f"{m.name}:{line}: import random" for line, name in imported(m.tree) if name == "random")
    for node in ast.walk(m.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random", "random"):
            if node.attr[0].islower() and node.attr != "default_rng":
                yield f"{m.name}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng") and not node.args:
            yield f"{m.name}:{node.lineno}: a generator without a seed"


def test_no_global_random_state_anywhere(modules: list[Module]) -> None:
    """`numpy.random` only by generators with a seed of their own; the standard library's `random` not at all."""
    assert [use for m in modules for use in randomness(m)] == []


def test_the_search_for_random_state_finds_it(modules: list[Module], tmp_path: Path) -> None:
    for bad in ("np.random.seed(1)", "np.random.normal()", "import random", "np.random.default_rng()"):
        path = tmp_path / "m.py"
        path.write_text(bad, "utf-8")
        assert list(randomness(type(modules[0])(path, "m.py"))), bad


def test_no_bare_exception_is_raised(modules: list[Module]) -> None:
    """What reaches a user is a P4Error, which is named and explained."""
    found = [
        f"{m.name}:{node.lineno}: {node.exc.func.id}"
        for m in modules
        for node in ast.walk(m.tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id in ("Exception", "RuntimeError", "SystemExit", "BaseException")
    ]  # fmt: skip
    assert found == []
