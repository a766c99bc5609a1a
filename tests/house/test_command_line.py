"""The command line answers at once: help of every verb without any heavy import, no traceback for a wrong word."""

from __future__ import annotations

import subprocess
import sys

import pytest
from p4equity.cli.app import app

HEAVY = (
    *("pandas", "numpy", "scipy", "ibis", "duckdb", "linearmodels", "matplotlib", "papermill", "pyarrow", "statsmodels"),
    "p4equity.pipeline",
)
VERBS = sorted(c.name or (c.callback.__name__ if c.callback else "") for c in app.registered_commands)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_line_is_imported_without_anything_heavy() -> None:
    done = python(f"import sys, p4equity.cli.app; print(*sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_help_of_every_verb_says_what_it_does_and_loads_nothing_heavy() -> None:
    """All in one process: each verb's help in turn, then what was imported meanwhile."""
    code = f"""
import sys
from typer.testing import CliRunner
from p4equity.cli.app import app
for verb in sys.argv[1:]:
    result = CliRunner().invoke(app, [*verb.split(), "--help"])
    print(result.exit_code, len(result.output), verb)
print("heavy:", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = python(code, *VERBS)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == len(VERBS) + 1
    assert all(line.startswith("0 ") and int(line.split()[1]) > 200 for line in lines[:-1]), lines
    assert lines[-1] == "heavy:"


def test_every_verb_and_option_has_a_line_of_help() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__, command


@pytest.mark.parametrize("words", [["no-such-verb"], ["run", "--no-such-option"], ["run", "--members", "many"], ["verify"]])
def test_a_wrong_word_is_a_usage_error_without_traceback(words: list[str]) -> None:
    done = python("from p4equity.cli.app import main; main()", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_known_error_has_its_exit_code_and_no_traceback() -> None:
    done = python("from p4equity.cli.app import main; main()", "run", "--study", "castle_doctrin")
    assert done.returncode == 11
    assert "castle_doctrine" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_of_simulate_says_what_becomes_of_an_earlier_extract() -> None:
    done = python("from p4equity.cli.app import main; main()", "simulate", "--help")
    words = " ".join(done.stdout.replace("\u2502", " ").split())
    assert "an earlier synthetic extract, which is replaced" in words
    assert "must not exist" not in words
