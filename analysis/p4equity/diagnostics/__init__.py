"""Effect-blind gates: each PASS, FAIL or NOT EVALUATED, with the rows it governs."""

from p4equity.diagnostics.gates import diagnose, failed_gates

__all__ = ["diagnose", "failed_gates"]
