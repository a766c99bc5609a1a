"""Engines: the databases that aggregate an extract. Everything above them is Ibis expressions, the same for each of them."""

from __future__ import annotations

from p4equity.engines.base import Engine
from p4equity.engines.choose import ENGINES, check_engine, open_engine

__all__ = ["ENGINES", "Engine", "check_engine", "open_engine"]
