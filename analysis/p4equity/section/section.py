"""The one object a section notebook works with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from p4equity import words
from p4equity.errors import DataError, UsageError, did_you_mean
from p4equity.exhibits.base import TableSpec
from p4equity.section import display
from p4equity.section.lookup import Run, find_run

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_OPPOSITE = {"estimate": "estimate", "conf_low": "conf_high", "conf_high": "conf_low"}
NOT_OK = {"not_estimable": "not estimable", "suppressed": "suppressed"}


def open_section(
    run_dir: str = "",
    *,
    edition: str = "",
    audience: str = "public",
    mask_systems: bool = True,
    system_id: str = "",
) -> Section:
    """Open a run for one section. An empty `run_dir` is the latest finished run: a notebook also works on its own."""
    if audience not in ("public", "confidential"):
        raise UsageError("unknown audience", where="audience", expected="public or confidential", found=audience)
    return Section(Run(find_run(run_dir)), edition=edition, audience=audience, mask_systems=mask_systems, system_id=system_id)


class Section:
    """Prose, exhibits, tables and numbers of one section, all from the released results of one run."""

    def __init__(self, run: Run, *, edition: str, audience: str, mask_systems: bool, system_id: str) -> None:
        self.run = run
        self.edition, self.audience, self.mask_systems, self.system_id = edition, audience, mask_systems, system_id
        self._looked_up: list[str] = []
        self._tables = 0

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.run.path

    @property
    def study(self) -> Any:
        """The study (loaded on first use)."""
        return self.run.study

    @property
    def synthetic(self) -> bool:
        """Whether the data were made by the toolkit."""
        return bool(self.run.context["synthetic"])

    def label(self, system_id: str) -> str:
        """What to call a system: its masked label while systems are masked, else its name."""
        label: str = self.study.label(system_id, masked=self.mask_systems)
        return label

    def results(self, name: str) -> pd.DataFrame:
        """A copy of `results/<name>.csv`."""
        return self.run.table(name).copy()

    def rows(self, **identity: object) -> pd.DataFrame:
        """A copy of all estimates with these values; None matches a missing value, a list any of its values."""
        return self.run.rows(identity).copy()

    def row(self, row_id: str | None = None, **identity: object) -> dict[str, Any]:
        """Exactly one row of the estimates, to decide what to say; recorded as looked up."""
        row = self.run.row({"row_id": row_id, **identity} if row_id else identity)
        self._looked_up.append(str(row["row_id"]))
        return row

    def number(
        self,
        row_id: str | None = None,
        *,
        what: str = "estimate",
        decimals: int = 1,
        signed: bool = False,
        flipped: bool = False,
        **identity: object,
    ) -> str:
        """One number of the estimates as traceable text, for use inside `text`.

        `what`: estimate, interval, estimate_interval ("−2.4 percentage points (95% interval −4.1 to −0.6)"), unit, or
        a column (p_value, n_clusters, ...). A row that is not ok gives "not estimable" or "suppressed" with its
        reason, never a number. `flipped` gives the size of a fall, for "fell by 3.5 (2.0 to 5.0)".
        """
        row = self.row(row_id, **identity)
        known = ["interval", "estimate_interval", "unit", *row]
        if what not in known:
            raise UsageError("no such part of an estimate", where=f"what={what!r}", fix=did_you_mean(what, known))
        status = str(row.get("status") or "ok")
        if what == "unit":
            said = words.unit(row)
        elif status != "ok" and what not in ("status", "reason", "outcome_unit", "measure_id", "group", "analysis_id"):
            said = NOT_OK.get(status, status) + (f" ({row['reason']})" if row.get("reason") else "")
        else:
            said = words.say(_flip(row) if flipped else row, what, decimals, signed=signed)
        return f'[{_literal(said)}]{{.num row-id="{row["row_id"]}"}}'

    def text(self, markdown: str) -> None:
        """Show prose: pandoc Markdown with references ([@fig:F2], [@tbl:T1], [@sec:gaps]), citations and numbers."""
        display.show(markdown, display.markdown_to_html(markdown), self._take())

    def exhibit(self, exhibit_id: str) -> None:
        """Show an exhibit of the run; where it does not apply to the study, the reason stands in its place."""
        directory = self.run_dir / "exhibits"
        path = directory / f"{exhibit_id}.json"
        if not path.is_file():
            known = [p.stem for p in directory.glob("*.json")]
            raise DataError(
                "no such exhibit in this run",
                where=f"exhibits/{exhibit_id}.json",
                fix=did_you_mean(exhibit_id, known) if known else "",
            )
        spec = json.loads(path.read_text("utf-8"))
        anchor = f"{'fig' if spec['kind'] == 'figure' else 'tbl'}:{exhibit_id}"
        if "skipped" in spec:
            display.show(display.block(spec, anchor), f"<p><i>{exhibit_id} is not shown: {spec['skipped']}</i></p>", self._take())
            return
        self._looked_up.extend(str(r) for r in spec.get("row_ids", ()))
        display.show(display.block({"ref": exhibit_id}, anchor), display.exhibit_html(spec, directory), self._take())

    def table(
        self,
        frame: pd.DataFrame | TableSpec,
        *,
        caption: str,
        id: str | None = None,
        footnote: str = "",
        decimals: int = 2,
        **options: Any,
    ) -> None:
        """Show a table that is no registered exhibit; cells may hold `number(...)` texts, `options` are TableSpec's."""
        spec = frame if isinstance(frame, TableSpec) else TableSpec.from_frame(frame, decimals=decimals, **options)
        self._tables += 1
        anchor = f"tbl:{id}" if id else ""
        document = {
            "id": id or f"table {self._tables}",
            "kind": "table",
            "title": caption,
            "alt": "",
            "footnote": footnote,
            **spec.to_json(),
        }
        display.show(
            display.block(document, anchor),
            display.table_html(document, caption) + display.markdown_to_html(footnote),
            self._take(),
        )

    def in_text_numbers(self) -> None:
        """Where the report lists every number of its prose with the row behind it (filled in when it is composed)."""
        display.show(
            "\n\n``` {.p4-in-text}\n```\n\n",
            "<p><i>The list of in-text numbers is filled in when the report is composed.</i></p>",
        )

    def _take(self) -> list[str]:
        taken, self._looked_up = list(dict.fromkeys(self._looked_up)), []
        return taken


def _flip(row: dict[str, Any]) -> dict[str, Any]:
    """The row with estimate and interval of the opposite sign."""
    turned = {k: None if row[v] is None else -row[v] for k, v in _OPPOSITE.items()}
    return {**row, **turned}


def _literal(text: str) -> str:
    """Text that Markdown must not read as markup."""
    return "".join("\\" + c if c in "\\*_[]{}<>`$@~^|" else c for c in text)
