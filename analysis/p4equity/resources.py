"""Where notebooks, dictionary, theme and studies are found: in a checkout, or inside an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from p4equity.errors import StudyError, did_you_mean

_PACKAGE = Path(__file__).resolve().parent
# Packages whose versions a run records, because they can move a number or a page.
PACKAGES = (
    "duckdb",
    "ibis-framework",
    "linearmodels",
    "matplotlib",
    "numpy",
    "pandas",
    "papermill",
    "pypandoc_binary",
    "scipy",
    "typst",
)


def root() -> Path:
    """The folder that holds `data_dictionary/`, `notebooks/`, `reports/theme/` and `analysis/studies/`."""
    checkout = _PACKAGE.parent.parent
    return checkout if (checkout / "data_dictionary").is_dir() else _PACKAGE / "_resources"


def dictionary_dir() -> Path:
    """The data dictionary."""
    return root() / "data_dictionary"


def notebooks_dir() -> Path:
    """The report's sections as notebooks."""
    return root() / "notebooks"


def theme_dir() -> Path:
    """Template, style sheets, filters and references of the report."""
    return root() / "reports" / "theme"


def studies_dir() -> Path:
    """The studies that ship with the toolkit."""
    return root() / "analysis" / "studies"


def lock_file() -> Path | None:
    """The hash-pinned lock, when running from a checkout."""
    path = root() / "requirements.lock"
    return path if path.is_file() else None


def study_dir(study: str | Path) -> Path:
    """The folder of a study, given its id, a path to it, or to its study.toml.

    Raises StudyError when neither a shipped study nor a folder with a `study.toml` is meant.
    """
    path = Path(study)
    path = path.parent if path.name == "study.toml" and path.is_file() else path
    if (path / "study.toml").is_file():
        return path.resolve()
    shipped = studies_dir() / str(study)
    if (shipped / "study.toml").is_file():
        return shipped
    known = [p.name for p in studies_dir().iterdir() if (p / "study.toml").is_file()]
    raise StudyError(
        "no such study",
        where=str(study),
        expected="the id of a shipped study or a folder that holds study.toml",
        found="neither",
        fix=f"{did_you_mean(str(study), known)} A new one starts with: p4equity new-study DIR",
    )


def study_reference(folder: Path, start: Path) -> str:
    """How a run in `start` names its study: the id of a shipped one, else the way to its folder. No machine path."""
    folder = folder.resolve()
    return folder.name if folder.parent == studies_dir().resolve() else Path(os.path.relpath(folder, start.resolve())).as_posix()


def referenced_study(reference: str, start: Path) -> Path:
    """The folder that `study_reference` named, seen from `start`. Raises StudyError as `study_dir` does."""
    beside = (start / reference).resolve()
    return beside if (beside / "study.toml").is_file() else study_dir(reference)
