"""What a section notebook imports: prose, exhibits, tables and numbers by look-up, shown in JupyterLab and in the report alike."""

from __future__ import annotations

from p4equity.section.section import Section, open_section

__all__ = ["Section", "open_section"]
