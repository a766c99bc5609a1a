"""The same numbers on another processor: sums are rounded in another order there, and no answer may hang on that.

Linear algebra and numpy choose their code by what the processor can do, and can be told to take that of the oldest one they know;
where they cannot (another architecture), the two runs are alike and these tests say nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p4equity.verify import compare

FIRST = "bcbsma_pay_for_equity"
TOLERANCE = 1e-9  # a tenth of what `compare` and `verify` allow


@pytest.fixture(scope="module")
def oldest() -> dict[str, str]:
    """Environment of a process that leaves out what newer processors can do."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": " ".join(found)}


def test_every_estimate_agrees(
    small_run: Path, light_study: Path, small_tier_b: Path, process: Any, oldest: dict[str, str], tmp_path: Path
) -> None:
    said = process("estimate", small_tier_b, "--study", light_study, "--out", tmp_path / "run", **oldest)
    assert said.code in (0, 12), said.text
    comparison = compare(small_run, tmp_path / "run", tolerance=TOLERANCE)
    assert comparison.differences == ()
    assert comparison.compared > 10_000


def test_a_synthetic_extract_has_the_same_bytes(process: Any, oldest: dict[str, str], tmp_path: Path) -> None:
    folders = []
    for name, environment in (("here", {}), ("there", oldest)):
        said = process("simulate", "--members", 20_000, "--seed", 11, "--out", tmp_path / name, **environment)
        assert said.code == 0, said.text
        folders.append(tmp_path / name)
    files = sorted(p.relative_to(folders[0]) for p in folders[0].rglob("*.parquet"))
    assert len(files) > 5
    assert [p for p in files if (folders[0] / p).read_bytes() != (folders[1] / p).read_bytes()] == []
