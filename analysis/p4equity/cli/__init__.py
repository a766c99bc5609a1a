"""The command line: one verb a stage, clear errors, progress on long work."""

from p4equity.cli.app import main

__all__ = ["main"]
