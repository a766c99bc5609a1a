"""Calibration: what each method of inference does on this study's own cells when the truth is known."""

from p4equity.calibration.table import calibration_table

__all__ = ["calibration_table"]
