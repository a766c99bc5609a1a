"""The auditor's view of a release: small counts, what sums and differences say about suppressed ones, identifiers."""

from p4equity.audit.columns import audit_frame
from p4equity.audit.folder import audit_folder
from p4equity.audit.totals import audit_errors, audit_nested, audit_shared, audit_totals, suppressed_lines

__all__ = ["audit_errors", "audit_folder", "audit_frame", "audit_nested", "audit_shared", "audit_totals", "suppressed_lines"]
