"""How notebooks are kept in git: no outputs, plain ids, one cell of parameters.

`python -m p4equity.report.hygiene` cleans all of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from p4equity.errors import UsageError
from p4equity.report.parameters import declared
from p4equity.resources import notebooks_dir

REQUIRED = ("run_dir", "edition", "audience", "mask_systems")  # what every section can be told
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
_RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){0,3}(-?[0-9a-f]{12})?")
_ID = re.compile(r"[a-z][a-z0-9_-]*")


def problems(path: Path) -> list[str]:
    """Everything that keeps a notebook from being committed, in words; empty when it is clean."""
    import nbformat

    node = nbformat.read(path, as_version=4)
    found = [f"cell {i + 1}: {what}" for i, cell in enumerate(node.cells) for what in _cell_problems(cell)]
    ids = [cell.get("id") for cell in node.cells]
    if len(set(ids)) != len(ids):
        found.append("two cells have the same id")
    if set(node.metadata) - {"kernelspec", "language_info"} or node.metadata.get("kernelspec") != KERNEL:
        found.append(f"metadata other than the kernelspec {KERNEL}")
    try:
        parameters = declared(node, path.name)
    except UsageError as error:
        return [*found, str(error)]
    missing = [name for name in REQUIRED if name not in parameters]
    return [*found, f"parameters missing: {', '.join(missing)}"] if missing else found


def clean(path: Path) -> bool:
    """Take outputs, counts and stray metadata off and give cells plain ids; True when the file changed."""
    import nbformat

    before = path.read_text("utf-8")
    node = nbformat.read(path, as_version=4)
    taken = {cell.get("id") for cell in node.cells if _plain_id(cell)}
    for i, cell in enumerate(node.cells):
        tags = list(cell.metadata.get("tags", ()))
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if not _plain_id(cell):
            cell["id"] = next(name for k in range(len(node.cells) + 1) if (name := f"cell-{i + k:02d}") not in taken)
            taken.add(cell["id"])
    node.metadata = {"kernelspec": dict(KERNEL)}
    node.nbformat, node.nbformat_minor = 4, 5
    temporary = path.with_name(f".{path.name}.part")
    nbformat.write(node, temporary)
    temporary.replace(path)
    return path.read_text("utf-8") != before


def _cell_problems(cell: Any) -> list[str]:
    found = []
    if cell.get("outputs"):
        found.append("has outputs")
    if cell.get("execution_count") is not None:
        found.append("has an execution count")
    if not _plain_id(cell):
        found.append(f"id {cell.get('id')!r} is random or missing")
    if set(cell.metadata) - {"tags"}:
        found.append("has metadata other than tags")
    return found


def _plain_id(cell: Any) -> bool:
    name = str(cell.get("id") or "")
    return bool(_ID.fullmatch(name)) and not _RANDOM.fullmatch(name)


if __name__ == "__main__":
    for notebook in sorted(notebooks_dir().glob("*.ipynb")):
        print(f"{notebook.name}: {'cleaned' if clean(notebook) else 'was clean'}")
