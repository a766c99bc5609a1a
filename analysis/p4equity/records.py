"""Records of finished stages: by content, what each was made from and what it wrote. An interrupted run goes on from them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from p4equity.manifest import file_hash
from p4equity.places import whole

FOLDER = Path("restricted", "stages")
UNKNOWN = "its input lies in an engine's catalog, whose content cannot be known"
CHANGES = {
    "study": "study changed",
    "code": "other code",
    "packages": "other versions of packages",
    "options": "other options",
    "extract": "input changed",
    "about": "what the input says of itself changed",
}


def text_hash(content: object) -> str:
    """SHA-256 of plain values as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """One finished stage: hashes of its inputs by name (None: cannot be known), hashes of its files by path."""

    inputs: Mapping[str, str | None]
    files: Mapping[str, str]

    @property
    def output(self) -> str:
        """One hash of all that the stage wrote, for the stages that read it."""
        return text_hash(self.files)


class Records:
    """The records in a working folder, one small file a stage, written after the files it vouches for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known = _read(folder)

    def output(self, stage: str) -> str:
        """The hash of all that a finished stage wrote."""
        return self.known[stage].output

    def why_not(self, stage: str, inputs: Mapping[str, str | None]) -> str | None:
        """Why a stage has to be done (again), in words; None when its inputs and its files are those of its record."""
        record = self.known.get(stage)
        if record is None:
            return "not finished before"
        if None in inputs.values():
            return UNKNOWN
        moved = [n for n in {**inputs, **record.inputs} if record.inputs.get(n) != inputs.get(n)]
        if moved:  # causes from outside explain changes of other stages
            return ", ".join([CHANGES[n] for n in moved if n in CHANGES] or [f"{n} changed" for n in moved])
        files = hashes(self.folder, record.files)
        lost = [name for name, known in record.files.items() if files.get(name) != known]
        return f"changed since: {lost[0]}" + (f" and {len(lost) - 1} more" if len(lost) > 1 else "") if lost else None

    def add(self, stage: str, inputs: Mapping[str, str | None], files: Mapping[str, str]) -> None:
        """Record a stage whose files are all written."""
        record = Record(dict(inputs), dict(files))
        (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        with whole(self._file(stage)) as part:
            part.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n", "utf-8")
        self.known[stage] = record

    def forget(self, stage: str) -> None:
        """Drop a record before its stage is done again."""
        self._file(stage).unlink(missing_ok=True)
        self.known.pop(stage, None)

    def take_up(self, stages: Iterable[str], finished: Path) -> None:
        """Keep what these stages finished and remove all else; with nothing here, go on from a finished run's own records."""
        if not self.known and finished.is_dir():
            earlier = _read(finished)
            for path in sorted({p for r in earlier.values() for p in r.files}):
                if (finished / path).is_file():
                    (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(finished / path, self.folder / path)
            for stage, record in earlier.items():
                self.add(stage, record.inputs, record.files)
        for stage in set(self.known) - set(stages):
            self.forget(stage)
        self.sweep()

    def sweep(self) -> None:
        """Remove every file of the folder that no finished stage vouches for."""
        known = {self.folder / path for record in self.known.values() for path in record.files}
        known |= {self._file(stage) for stage in self.known}
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what a folder holds before the folder
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in known:
                path.unlink()

    def _file(self, stage: str) -> Path:
        return self.folder / FOLDER / f"{stage}.json"


def hashes(folder: Path, paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the files there are among these paths, and below those that are folders, by path."""
    found: list[Path] = []
    for path in paths:
        place = folder / path
        found += sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place] if place.is_file() else []
    with ThreadPoolExecutor(2) as pool:
        digests = list(pool.map(file_hash, found))
    return {p.relative_to(folder).as_posix(): digest for p, digest in zip(found, digests, strict=True)}


def _read(folder: Path) -> dict[str, Record]:
    """Records by stage; a file that is no record vouches for nothing."""
    found = {}
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            raw = json.loads(path.read_text("utf-8"))
            found[path.stem] = Record(dict(raw["inputs"]), dict(raw["files"]))
        except (ValueError, TypeError, KeyError):
            continue
    return found
