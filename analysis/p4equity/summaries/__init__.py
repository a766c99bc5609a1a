"""Descriptive result tables beside the estimates: payments under the study's formula, and how the program was carried out."""
