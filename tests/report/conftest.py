"""A small run made up here: two figures, three tables, estimates with every status, and three section notebooks."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from p4equity.exhibits.base import Exhibit, TableSpec, exhibit_style, new_figure, write_exhibit, write_skipped
from p4equity.report import RenderedReport, render_report
from p4equity.resources import studies_dir

HASH = {"plan_hash": "a" * 64, "data_hash": "b" * 64, "code_version": "c" * 64}
PARAMETERS = 'run_dir: str = ""\nedition: str = "draft"\naudience: str = "public"\nmask_systems: bool = True\n'
OPEN = (
    "from p4equity.section import open_section\n"
    "s = open_section(run_dir, edition=edition, audience=audience, mask_systems=mask_systems)"
)


def write_notebook(path: Path, *cells: str | tuple[str, str], parameters: str = PARAMETERS) -> Path:
    """A notebook with a parameters cell, then code cells; ("markdown", text) is a Markdown cell."""
    nodes: list[Any] = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}, id="parameters")]
    for i, cell in enumerate(cells):
        kind, source = cell if isinstance(cell, tuple) else ("code", cell)
        make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        nodes.append(make(source, id=f"cell-{i}"))
    notebook = nbformat.v4.new_notebook(cells=nodes)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def study() -> Any:
    """The front matter a report needs."""
    info = SimpleNamespace(
        title="External evaluation of the pay-for-equity contracts of a commercial payer",
        short_title="Pay-for-equity evaluation",
        payer="A payer",
        evaluator="An independent academic evaluation group",
        funder="None",
        report_date=date(2026, 11, 1),
        registration="",
        registered_at="not registered",
        registered_on=date(2026, 11, 1),
        ethics="Not applicable: synthetic data only",
        synthetic_default=True,
        disclaimer=None,
    )
    return SimpleNamespace(info=info, folder=studies_dir() / "bcbsma_pay_for_equity")


def estimates() -> pd.DataFrame:
    """Four rows: two fine, one without bounds, one not estimable."""
    base = {
        "analysis_id": "pooled",
        "estimator": "meta_regression",
        "outcome": "gap",
        "outcome_unit": "percentage_points",
        "conf_level": 0.95,
    } | HASH
    rows = [
        {
            "row_id": "r1",
            "measure_id": "M1",
            "inference": "knapp_hartung",
            "estimate": -2.44,
            "conf_low": -4.1,
            "conf_high": -0.6,
            "p_value": 0.0123,
            "n_clusters": 12,
            "status": "ok",
        },
        {
            "row_id": "r2",
            "measure_id": "M1",
            "inference": "permutation",
            "estimate": -2.44,
            "conf_low": -4.6,
            "conf_high": 0.04,
            "p_value": 0.2,
            "n_clusters": 12,
            "status": "ok",
        },
        {
            "row_id": "r3",
            "measure_id": "M2",
            "inference": "permutation",
            "estimate": 0.31,
            "p_value": 0.5,
            "n_clusters": 3,
            "status": "ok",
        },
        {
            "row_id": "r4",
            "measure_id": "M3",
            "inference": "knapp_hartung",
            "status": "not_estimable",
            "reason": "one treated system",
        },
    ]
    return pd.DataFrame([base | row for row in rows])


def event_study() -> Exhibit:
    """A figure as the report draws them."""
    time = np.arange(-4, 3)
    effect = np.where(time < 0, 0.3 * np.sin(time), -1.2 * (time + 1))
    data = pd.DataFrame({"event_time": time, "estimate": effect, "low": effect - 1.5, "high": effect + 1.5})
    with exhibit_style():
        figure = new_figure(3.4)
        axes = figure.subplots()
        axes.axhline(0, color="#52606d", lw=0.7)
        axes.axvline(-0.5, color="#52606d", lw=0.8, ls="--")
        axes.errorbar(time, effect, yerr=1.5, ls="none", label="participating minus comparison")
        axes.set(xlabel="Years from the start of the contract", ylabel="Change in the gap, percentage points")
        axes.legend(loc="lower left")
    return Exhibit(
        id="F3", kind="figure", title="Event study of the equity gap: participating against comparison systems",
        alt="The gap is flat before the contract and falls by about one percentage point a year after it.",
        footnote="Estimates with 95% pointwise intervals; base 12 systems, 5 treated; method of @sun_abraham_2021.",
        row_ids=("r1", "r2"), data=data, figure=figure,
    )  # fmt: skip


def main_table() -> Exhibit:
    """A table with spanners, row groups and traced cells."""
    data = pd.DataFrame({"measure": ["M1", "M2"], "estimate": [-2.44, 0.31]})
    columns = ("Measure", "Estimate", "95% interval", "Estimate", "95% interval", "Systems")
    rows = (
        ("Colorectal screening", "−2.4", "−4.1 to −0.6", "−2.4", "−4.6 to 0.0", "12 (5)"),
        ("Blood pressure", "0.3", "unbounded", "0.3", "unbounded", "3 (1)"),
    )
    spec = TableSpec(
        columns, rows, align=("l", "r", "r", "r", "r", "r"),
        spanners=(("", 1), ("Knapp-Hartung", 2), ("Permutation", 2), ("", 1)),
        row_groups=((0, "Adults"), (1, "Few treated")),
        cell_row_ids=(("", "r1", "r1", "r2", "r2", ""), ("", "", "", "r3", "r3", "")),
    )  # fmt: skip
    return Exhibit(
        "T2",
        "table",
        "Main estimates: change in the gap",
        "",
        "G and treated G in the last column; see [@fig:F3].",
        ("r1", "r2", "r3"),
        data,
        table=spec,
    )


def wide_table() -> Exhibit:
    """Forty long rows with thirteen columns: needs small type, a page on its side and several pages."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"Check": [f"Sensitivity {i}: a rather long description of what was changed and why it could matter" for i in range(40)]}
    )
    for j in range(12):
        frame[f"Column {j}"] = rng.normal(size=40)
    spec = TableSpec.from_frame(frame)
    return Exhibit("T9", "table", "A wide and long table", "", "Synthetic.", (), frame, table=spec)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Released results and exhibits of a run."""
    run = tmp_path_factory.mktemp("reports") / "run"
    (run / "results").mkdir(parents=True)
    estimates().to_csv(run / "results" / "estimates.csv", index=False)
    for exhibit in (event_study(), main_table(), wide_table()):
        write_exhibit(exhibit, run / "exhibits")
    write_skipped("F4", "figure", "the study compares no groups", run / "exhibits")
    return run


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three sections that use everything."""
    folder = tmp_path_factory.mktemp("notebooks")
    glance = write_notebook(
        folder / "00_at_a_glance.ipynb",
        OPEN,
        (
            "markdown",
            "# At a glance {#sec:glance}\n\nDid contracts narrow gaps beyond what data, coaching and grants did?",
        ),
        's.text(f"""The gap changed by '
        '{s.number(measure_id="M1", inference="knapp_hartung", what="estimate_interval")}; '
        'permutation gives p = {s.number("r2", what="p_value")} with {s.number("r2", what="n_clusters")} systems. '
        'For the third measure the change is {s.number("r4")}, '
        'and the interval of the second is {s.number("r3", what="interval")}. '
        'See [@fig:F3; @tbl:T2], [@sec:methods] and [@eq:did]; [@fig:F4] does not apply. It cost $15 to $20.""")',
        's.exhibit("F3")\ns.exhibit("F4")',
        's.text("## Three findings\\n\\n1. First\\n2. Second\\n\\n::: callout\\nA box with [@tbl:small].\\n:::")',
        "import pandas as pd\n"
        'frame = pd.DataFrame({"Item": ["a", "b"], "n": [1, 22], "Share": [0.5, s.number("r1")]})\n'
        's.table(frame, caption="A small table", id="small", footnote="Made here.")',
    )
    methods = write_notebook(
        folder / "01_methods.ipynb",
        OPEN,
        's.text(r"""# Estimands and methods {#sec:methods}\n\n'
        r"[$$\tau = \frac{1}{G_1}\sum_{g \in T} \Delta_g - \frac{1}{G_0}\sum_{g \in C} \Delta_g$$]{#eq:did "
        'alt="tau is the mean change of treated systems minus that of comparison systems"}'
        "\n\nwhere $\\Delta_g$ is a change [@callaway_santanna_2021; @knapp_hartung_2003]. "
        "As @roth_2022 warns, pre-tests have low power.\n\n"
        '| Term | Meaning |\n|:-----|--------:|\n| gap | reference minus group |\n""")',
        's.exhibit("T2")',
    )
    appendix = write_notebook(
        folder / "02_appendix.ipynb",
        OPEN,
        ("markdown", "# Data and replication {#sec:appendix}"),
        's.exhibit("T9")',
        "s.in_text_numbers()",
    )
    return [glance, methods, appendix]


@pytest.fixture(scope="session")
def rendered(run_dir: Path, notebooks: list[Path]) -> RenderedReport:
    """The report of the run, made once."""
    return render_report(run_dir, study(), notebooks, edition="test")


def context_of(run: Path) -> dict[str, Any]:
    """What the report stage wrote about the run."""
    loaded: dict[str, Any] = json.loads((run / "report.json").read_text("utf-8"))
    return loaded
