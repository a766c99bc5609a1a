"""Rules about the tree: what may be committed, what the lock holds, what is imported and what is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Module

TEXT = {
    *("", ".py", ".md", ".toml", ".yaml", ".yml", ".csv", ".json", ".ipynb", ".html", ".css", ".lua", ".typ", ".txt", ".lock"),
    *(".sh", ".cff", ".in", ".sql", ".svg", ".mplstyle"),
}
MACHINE_PATH = re.compile(
    r"(?<![\w.:/<>-])(/(?:home|Users|root|work|tmp|var/folders|mnt|private)/[\w.-]+|[A-Z]:\\\\?(?:Users|Documents)\b)"
)
DATA_URI = re.compile(r"data:[\w/+.-]+(?:;[\w=-]+)*;base64,[A-Za-z0-9+/=\s]+")
LARGEST = 20_000_000
# Imported by its launcher or its data only, or asked for by the project's brief; each with where it is used.
NOT_IMPORTED = {
    "jupyter": "the notebooks open in JupyterLab",
    "ipykernel": "runs the notebooks: report/kernel.py starts it by name",
}


@pytest.fixture(scope="session")
def project(top: Path) -> dict[str, Any]:
    return tomllib.loads((top / "pyproject.toml").read_text("utf-8"))


def texts(tracked: list[Path]) -> list[tuple[Path, str]]:
    return [(p, p.read_text("utf-8", errors="replace")) for p in tracked if p.suffix in TEXT]


def test_no_path_of_a_machine_is_committed(tracked: list[Path], top: Path) -> None:
    found = []
    for path, text in texts(tracked):
        found += [f"{path.relative_to(top)}: {match[0]}" for match in MACHINE_PATH.finditer(DATA_URI.sub("", text))]
    assert found == []


def test_the_search_for_machine_paths_finds_them() -> None:
    for folder in ("home", "Users", "root", "work", "tmp"):
        for bad in ("see /{}/someone", "'/{}/x.csv'", "(/{}/x)"):
            assert MACHINE_PATH.search(bad.format(folder)), bad
        for good in ("RUN/{}/x", "https://example.org/{}/page", "a/{}/b", "./{}/x", "</{}/x"):
            assert not MACHINE_PATH.search(good.format(folder)), good


def test_no_stub_is_committed(tracked: list[Path], top: Path) -> None:
    words = (
        "TO" + "DO",
        "FIX" + "ME",
        "X" * 3,
        "NotImplemented" + "Error",
        "assert " + "True",
        "no " + "cover",
        "lorem " + "ipsum",
    )
    mark = re.compile(rf"\b({'|'.join(words)})\b", re.IGNORECASE)
    roots = {top / "analysis", top / "notebooks", top / "data_dictionary", top / "tests", top / "reports" / "theme"}
    found = []
    for path, text in texts(tracked):
        if roots & set(path.parents):
            found += [f"{path.relative_to(top)}: {match[0]}" for match in mark.finditer(text)]
    assert found == []


def test_nothing_restricted_and_nothing_large_is_committed(tracked: list[Path], top: Path) -> None:
    names = [p.relative_to(top).as_posix() for p in tracked]
    assert [n for n in names if n.startswith("reports/runs/") or "/restricted/" in n or n.endswith((".parquet", ".duckdb"))] == []
    assert [p.name for p in tracked if p.stat().st_size > LARGEST] == []
    assert [n for n, p in zip(names, tracked, strict=True) if p.stat().st_size == 0 and not n.endswith("py.typed")] == []


@pytest.mark.parametrize(("lock", "packages"), [("requirements.lock", 100), ("requirements-spark.lock", 3)])
def test_the_locks_name_no_index_and_every_package_has_hashes(top: Path, lock: str, packages: int) -> None:
    text = (top / lock).read_text("utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|@ (file|git)", text)
    entries = re.split(r"\n(?=[a-zA-Z0-9])", text.strip())
    assert len(entries) >= packages
    assert [e.splitlines()[0] for e in entries if "--hash=sha256:" not in e or not re.match(r"[\w.-]+(\[.*\])?==", e)] == []


def test_the_lock_holds_every_declared_dependency(top: Path, project: dict[str, Any]) -> None:
    text = (top / "requirements.lock").read_text("utf-8")
    locked = {normal(name) for name in re.findall(r"^([\w.-]+)(?:\[.*\])?==", text, flags=re.M)}
    declared = [*runtime(project), *for_tests(project), *project["build-system"]["requires"]]
    assert [d for d in declared if name_of(d) not in locked] == []
    beside = (top / "requirements-spark.lock").read_text("utf-8")
    assert [d for d in for_spark(project) if not re.search(rf"^{name_of(d)}==", beside, flags=re.M)] == []


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    return normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def runtime(project: dict[str, Any]) -> list[str]:
    return list(project["project"]["dependencies"])


def for_tests(project: dict[str, Any]) -> list[str]:
    return list(project["project"]["optional-dependencies"]["test"])


def for_spark(project: dict[str, Any]) -> list[str]:
    return list(project["project"]["optional-dependencies"]["spark"])


def third_party(trees: list[ast.AST]) -> set[str]:
    """Top-level names of imported modules that are neither the standard library's nor the project's own."""
    names: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"p4equity", "bench"}


def test_the_package_imports_what_it_declares(modules: list[Module], project: dict[str, Any]) -> None:
    owners = packages_distributions()
    declared, extra = {name_of(d) for d in runtime(project)}, {name_of(d) for d in for_spark(project)}
    imported = third_party([m.tree for m in modules])
    used = {
        normal(owner) for name in imported for owner in owners.get(name, [name if name in extra else f"{name} (not installed)"])
    }
    assert sorted(used - declared - extra) == [], "imported, not declared"
    assert sorted(extra - used) == [], "declared in the extra, not imported"
    assert sorted(declared - used - set(NOT_IMPORTED)) == [], "declared, not imported"


def test_the_tests_import_what_is_declared(top: Path, project: dict[str, Any]) -> None:
    owners = packages_distributions()
    known = {name_of(d) for d in [*runtime(project), *for_tests(project)]}
    files = sorted((top / "tests").rglob("*.py"))
    own = {p.stem for p in files} | {p.name for p in (top / "tests").rglob("*") if p.is_dir()} | {"tests"}
    names = third_party([ast.parse(p.read_text("utf-8")) for p in files]) - own
    assert sorted(n for n in names if not {normal(o) for o in owners.get(n, [n])} & known) == []


def test_published_data_packages_are_declared(top: Path) -> None:
    """A study of published data runs after `make setup`: its package is in the lock in the version that the study names."""
    lock = (top / "requirements.lock").read_text("utf-8")
    for path in sorted((top / "analysis" / "studies").glob("*/study.toml")):
        value = tomllib.loads(path.read_text("utf-8")).get("data", {}).get("value")
        if value:
            assert f"{value['package']}=={value['version']}" in lock, path.parent.name


def test_the_theme_asks_for_no_outside_address(top: Path) -> None:
    asks = re.compile(r"""(?:src|href)\s*=\s*["']https?://|@import|url\(\s*["']?https?://|fetch\(""")
    theme = [p for p in (top / "reports" / "theme").rglob("*") if p.suffix in (".html", ".css", ".lua", ".typ")]
    assert len(theme) >= 5
    assert [p.name for p in theme if asks.search(p.read_text("utf-8"))] == []
