"""p4equity: open toolkit for the independent evaluation of pay-for-equity contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from p4equity.estimators import fit

__all__ = ["__version__", "fit"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that the command line answers --help without pandas.
    if name == "fit":
        from p4equity.estimators import fit

        return fit
    raise AttributeError(f"module 'p4equity' has no attribute '{name}'")
