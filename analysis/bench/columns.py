"""The bare scan: which columns it reads, and the query that decodes every value of them and does nothing else."""

from __future__ import annotations

from p4equity.extract import Extract, quote_name

# What the cells of the first study need. A test holds each against the dictionary.
CELLS = {
    "member": ("member_id", "birth_year", "sex", "language_pref", "adi_national_pct"),
    "enrollment_span": ("member_id", "start", "end", "product", "market", "medical"),
    "attribution": ("member_id", "year", "practice_id", "rule"),
    "practice_system_span": ("practice_id", "start", "end", "system_id"),
    "race_ethnicity": ("member_id", "version", "source", "race_eth"),
    "race_probability": ("member_id", "version", "p_white", "p_black", "p_hispanic", "p_asian", "p_aian", "p_multi"),
    "measure_event": ("member_id", "measure_id", "year", "denominator", "exclusion", "numerator", "has_reading", "age_at_31dec"),
    "spending": ("member_id", "year", "months", "allowed_total"),
}
REFERENCE = "max"  # the scan that figures are ratios of
SCANS = {"count": "count({})", "max": "max({})", "hash": "bit_xor(hash({}))"}


def scan_queries(extract: Extract, columns: dict[str, tuple[str, ...]], scan: str) -> list[str]:
    """One query a table that the extract holds: an aggregate of each column."""
    made = []
    for table, names in columns.items():
        if extract.has(table):
            sums = ", ".join(SCANS[scan].format(quote_name(name)) for name in names)
            made.append(f"SELECT {sums} FROM {extract.source(table).reader}")
    return made


def all_columns(extract: Extract) -> dict[str, tuple[str, ...]]:
    """Every column that the extract holds of every table, for validation reads them all."""
    known = {name: {f.name for f in extract.dictionary.table(name).fields} for name in extract.tables}
    return {name: tuple(c for c in extract.source(name).columns if c in known[name]) for name in extract.tables}
