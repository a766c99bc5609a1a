"""A kernel specification for the running interpreter, so that notebooks never run in some other environment."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "p4equity"
# One thread, because the last digits of linear algebra depend on the number of threads; byte code, because without it
# each kernel recompiles everything it imports.
_ENV = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


@contextmanager
def own_kernel() -> Iterator[str]:
    """Install the specification in a temporary folder for as long as notebooks run; yields its name."""
    with tempfile.TemporaryDirectory(prefix="p4equity-kernel-") as folder:
        spec = Path(folder) / "kernels" / NAME
        spec.mkdir(parents=True)
        (spec / "kernel.json").write_text(json.dumps(_specification()), "utf-8")
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = folder if before is None else os.pathsep.join((folder, before))
        try:
            yield NAME
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def _specification() -> dict[str, object]:
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"],
        "display_name": "p4equity",
        "language": "python",
        "env": {**_ENV, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p and Path(p, "p4equity").is_dir())},
        "metadata": {"supported_encryption": ["curve"]},
    }
