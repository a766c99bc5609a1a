"""The engine type where the modules beside this one look for it."""

from __future__ import annotations

from p4equity.engines import Engine

__all__ = ["Engine"]
