"""What a section notebook imports: prose, exhibits, tables, numbers by look-up, for JupyterLab and the report alike."""

from __future__ import annotations

from p4equity.section.section import Section, open_section

__all__ = ["Section", "open_section"]
