"""The front matter of a document: what its cover, its metadata and its notebooks need to know about study and run."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p4equity import words
from p4equity.resources import study_reference
from p4equity.section.lookup import CONTEXT

if TYPE_CHECKING:
    from p4equity.study import Study

BANNER = "Synthetic data: every number and every finding in this document is invented"
CONFIDENTIAL = "Confidential: not for distribution"
TIERS = {
    "A": "member-level extract of the payer",
    "B": "analytic cells: counts or published aggregates, no data of single persons",
    "C": "synthetic extract, made by the toolkit",
}
UNSTATED = "; whether they are real or synthetic is not stated (extract.json)"
AFFILIATION = "p4equity is not affiliated with any insurer or health system."


@dataclass(frozen=True)
class Facts:
    """What the cover and the transparency box say. `transparency` are (term, value) pairs in the order shown."""

    title: str
    short_title: str
    subtitle: str
    evaluator: str
    report_date: date
    synthetic: bool
    banner: str
    transparency: tuple[tuple[str, str], ...]


def facts_of(study: Study, run_dir: Path, *, edition: str, synthetic: bool, audience: str) -> Facts:
    """The facts of one report. Hashes come from the run's estimates, so that the cover names what was really used."""
    info = study.info
    hashes = _provenance(run_dir / "results" / "estimates.csv")
    rows = [
        ("Evaluator", info.evaluator),
        ("Payer under evaluation", info.payer),
        ("Funding", info.funder),
        ("Registration", f"{info.registered_at} (plan dated {words.date(info.registered_on)})"),
        ("Ethics", info.ethics),
        ("Data", TIERS[tier_of(run_dir, synthetic=synthetic)] + ("" if origin_stated(run_dir) else UNSTATED)),
        ("Edition", edition or "working copy"),
        ("Readers", "public" if audience == "public" else CONFIDENTIAL.lower()),
        ("Affiliation", " ".join(filter(None, (AFFILIATION, info.disclaimer)))),
        *((label, hashes[key][:16]) for label, key in HASHES if hashes.get(key)),
    ]
    return Facts(
        title=info.title,
        short_title=info.short_title,
        subtitle="External evaluation report" + (f", {edition} edition" if edition else ""),
        evaluator=info.evaluator,
        report_date=info.report_date,
        synthetic=synthetic,
        banner=". ".join(filter(None, (BANNER if synthetic else "", CONFIDENTIAL if audience != "public" else ""))),
        transparency=tuple((term, str(value)) for term, value in rows if value),
    )


HASHES = (("Hash of the plan", "plan_hash"), ("Hash of the cells", "data_hash"), ("Hash of the code", "code_version"))


def is_synthetic(run_dir: Path, study: Study) -> bool:
    """Whether the run's data are synthetic: as the run's manifest or description says, else as the study assumes."""
    for name in ("manifest.json", CONTEXT):
        path = run_dir / name
        if path.is_file():
            said = json.loads(path.read_text("utf-8")).get("synthetic")
            if isinstance(said, bool):
                return said
    return bool(study.info.synthetic_default)


def origin_stated(run_dir: Path) -> bool:
    """Whether the extract says if it is real or synthetic; only a validation that found it silent counts against it."""
    path = run_dir / "validation.json"
    if not path.is_file():
        return True
    problems = json.loads(path.read_text("utf-8")).get("problems", [])
    return not any(p.get("rule") == "origin_not_stated" for p in problems)


def tier_of(run_dir: Path, *, synthetic: bool) -> str:
    """Tier of the run's data: A members, B cells, C synthetic; as the manifest or the validation says, else B or C.

    A run without either was made from published aggregates, which nobody validates as an extract.
    """
    for name in ("manifest.json", "validation.json"):
        path = run_dir / name
        if path.is_file():
            said = json.loads(path.read_text("utf-8")).get("tier")
            if said in TIERS:
                return str(said)
    return "C" if synthetic else "B"


def write_context(run_dir: Path, study: Study, *, edition: str, synthetic: bool) -> Path:
    """Describe the run for its notebooks: which study, which edition, synthetic or not, which tier. No machine path."""
    document: dict[str, Any] = {
        "study": study_reference(Path(study.folder), run_dir),
        "edition": edition,
        "synthetic": synthetic,
        "tier": tier_of(run_dir, synthetic=synthetic),
    }
    path = run_dir / CONTEXT
    temporary = path.with_name(f".{CONTEXT}.part")
    temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return temporary.replace(path)


def _provenance(path: Path) -> dict[str, str]:
    """The provenance columns of the first estimates row (all rows share them)."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return next(csv.DictReader(lines), {})
