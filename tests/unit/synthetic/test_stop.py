"""A simulation that is stopped waits for no block that has not begun, and leaves nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from p4equity.study import load_study
from p4equity.synthetic import simulate


def test_an_interrupt_while_blocks_are_made(tmp_path: Path) -> None:
    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        simulate(load_study("bcbsma_pay_for_equity"), tmp_path / "x", members=3_000_000, seed=1, workers=2, progress=interrupted)
    assert time.monotonic() - began < 40  # all blocks would take minutes
    assert list(tmp_path.iterdir()) == []
