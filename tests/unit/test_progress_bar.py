"""The bars of a run on a terminal: one line a stage, with what its steps have counted."""

from __future__ import annotations

from io import StringIO

import pytest
from p4equity.cli import progress
from rich.console import Console


@pytest.mark.parametrize("terminal", [True, False])
def test_a_stage_shows_what_it_has_counted(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = StringIO()
    monkeypatch.setattr(progress, "console", Console(file=drawn, force_terminal=terminal, width=100))
    with progress.show_progress() as show:
        show("estimate", 0, 1)
        show("estimate pooled", 105, 233)
        if terminal:
            show("calibrate", 0, 1)
    assert ("105/233" in drawn.getvalue()) == terminal
    assert ("estimate pooled" in drawn.getvalue()) == terminal
    assert ("estimate ..." in drawn.getvalue()) != terminal
    assert "0/1" not in drawn.getvalue()
