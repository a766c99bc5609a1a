"""A simulation that is stopped while its work is being handed out waits for no block that has not begun."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from p4equity.study import load_study
from p4equity.synthetic import run, simulate


def test_an_interrupt_while_blocks_are_submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def interrupted() -> Iterator[None]:
        yield
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "workers_ignore_interrupts", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        simulate(load_study("bcbsma_pay_for_equity"), tmp_path / "x", members=3_000_000, seed=1, workers=2)
    assert time.monotonic() - began < 40  # all blocks would take minutes
    assert list(tmp_path.iterdir()) == []
