"""An exhibit, figure or table with its words and its data, and how it is written: the same bytes each time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from p4equity.errors import UsageError
from p4equity.exhibits.table_layout import plan_layout
from p4equity.resources import theme_dir

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Align = Literal["l", "c", "r"]
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's order
MARKERS = ("o", "s", "D", "^", "v", "P")
NULLS = ("<NA>", "nan", "NaT")
MISSING = "–"  # shown for a number that is absent; why it is absent stands in the row's status
SYNTHETIC = "Synthetic data: no number describes a real organization."  # for an exhibit that leaves its report
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NUMERIC = re.compile(r"[\s$<>=±+−–-]*[0-9][0-9,.\s%()\[\]to−–+-]*")


@dataclass(frozen=True)
class TableSpec:
    """A table as a reader sees it: preformatted strings, nothing to compute.

    `stub` leading columns head their rows. `spanners` are (label, number of columns) from left to right over the
    header, "" for none. `row_groups` are (index of the first row, label). `cell_row_ids` names the row of the
    estimates table behind each cell ("" for none), same shape as `rows`, so that every number can be traced. `dense` asks for
    the smallest type. Raises UsageError when the shapes disagree.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: tuple[Align, ...] = ()
    stub: int = 1
    spanners: tuple[tuple[str, int], ...] = ()
    row_groups: tuple[tuple[int, str], ...] = ()
    cell_row_ids: tuple[tuple[str, ...], ...] = ()
    dense: bool = False

    def __post_init__(self) -> None:
        width = len(self.columns)
        if width == 0:
            raise UsageError("a table needs at least one column", where="TableSpec")
        for name, matrix in (("rows", self.rows), ("cell_row_ids", self.cell_row_ids)):
            for i, row in enumerate(matrix):
                if len(row) != width:
                    raise UsageError(
                        "a table row has the wrong length",
                        where=f"TableSpec.{name}[{i}]",
                        expected=width,
                        found=len(row),
                    )
        if self.cell_row_ids and len(self.cell_row_ids) != len(self.rows):
            raise UsageError(
                "as many rows of row ids as rows",
                where="TableSpec",
                expected=len(self.rows),
                found=len(self.cell_row_ids),
            )
        if self.align and len(self.align) != width:
            raise UsageError("one alignment a column", where="TableSpec.align", expected=width, found=len(self.align))
        if self.spanners and sum(n for _, n in self.spanners) != width:
            raise UsageError(
                "spanners must cover all columns",
                where="TableSpec.spanners",
                expected=width,
                found=sum(n for _, n in self.spanners),
            )

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, decimals: int = 2, **options: Any) -> TableSpec:
        """A table of a data frame's columns, numbers formatted with `decimals`; the index is not shown."""
        rows = tuple(tuple(format_cell(value, decimals) for value in row) for row in frame.itertuples(index=False, name=None))
        return cls(tuple(str(c) for c in frame.columns), rows, **options)

    def alignment(self) -> tuple[Align, ...]:
        """The given alignment, or numbers to the right and text to the left."""
        return self.align or tuple(_guess(j, self.rows, self.stub) for j in range(len(self.columns)))

    def to_json(self) -> dict[str, Any]:
        """The document the renderer reads: the fields above and the layout on the printed page."""
        align = self.alignment()
        plain = [[_visible(cell) for cell in row] for row in self.rows]
        layout = plan_layout(self.columns, plain, align, dense=self.dense)
        return {**asdict(self), "align": align, "layout": asdict(layout)}


@dataclass(frozen=True)
class Exhibit:
    """One figure or table of the report.

    `title` is the caption, `alt` says the finding in words, `footnote` the base and the method; `row_ids` name the
    rows of the estimates table it shows; `data` are the plotted or tabulated numbers, unformatted.
    """

    id: str
    kind: Literal["figure", "table"]
    title: str
    alt: str
    footnote: str
    row_ids: tuple[str, ...]
    data: pd.DataFrame
    figure: Figure | None = None
    table: TableSpec | None = None


@contextmanager
def exhibit_style() -> Iterator[None]:
    """Draw inside this context: matplotlib with the report's style sheet, and nothing of the user's own settings."""
    import matplotlib

    matplotlib.use("agg")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(matplotlib.rc_params_from_file(theme_dir() / "p4equity.mplstyle", use_default_template=False))
        matplotlib.rcParams["svg.hashsalt"] = "p4equity"
        yield


def new_figure(height: float, width: float = 6.5) -> Figure:
    """An empty figure in inches that belongs to no global state; the full text width is 6.5."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def write_exhibit(exhibit: Exhibit, directory: Path) -> tuple[Path, ...]:
    """Write `<id>.json`, `<id>.csv` and, for a figure, `<id>.svg` and `<id>.png`; return the paths.

    That the data are synthetic goes from the footnote into `status` and into the metadata of the pictures: in the report
    the banner of every page says it already.

    Raises UsageError when the words a reader needs are missing or a figure's alt text only repeats its caption.
    """
    _check(exhibit)
    directory.mkdir(parents=True, exist_ok=True)
    spec = exhibit.table or TableSpec.from_frame(exhibit.data)
    footnote, status = _apart(exhibit.footnote)
    document = {
        "id": exhibit.id,
        "kind": exhibit.kind,
        "title": exhibit.title,
        "alt": exhibit.alt,
        "footnote": footnote,
        "status": status,
        "row_ids": list(exhibit.row_ids),
        **spec.to_json(),
    }
    files = {f"{exhibit.id}.csv": exhibit.data.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()}
    if exhibit.figure is not None:
        files |= {f"{exhibit.id}.{kind}": _drawn(exhibit.figure, kind, status) for kind in ("svg", "png")}
    files[f"{exhibit.id}.json"] = _json(document)  # last: whoever sees the description finds the rest
    return tuple(_write(directory / name, content) for name, content in files.items())


def write_skipped(exhibit_id: str, kind: Literal["figure", "table"], reason: str, directory: Path) -> Path:
    """Say on disk why an exhibit does not apply to this study; the report prints the reason in its place."""
    directory.mkdir(parents=True, exist_ok=True)
    return _write(directory / f"{exhibit_id}.json", _json({"id": exhibit_id, "kind": kind, "skipped": reason}))


def format_cell(value: object, decimals: int = 2) -> str:
    """One value as a reader sees it: true minus sign, fixed decimals, an en dash for what is missing, plain years."""
    if value is None or str(value) in NULLS:
        return MISSING
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        text = f"{value:.{decimals}f}"
        if float(text) == 0:
            text = text.lstrip("-")
        return text.replace("-", "−")
    return str(value).replace("-", "−") if isinstance(value, int) else str(value)


def _visible(cell: str) -> str:
    """The cell without the Markdown of a traced number or a cross reference: what takes room on the page."""
    return re.sub(r"\[@\w+:\w+\]", "Figure 10", re.sub(r"\[([^\]]*)\]\{[^}]*\}", r"\1", cell))


def _guess(j: int, rows: Sequence[Sequence[str]], stub: int) -> Align:
    cells = [_visible(row[j]) for row in rows if row[j] not in ("", MISSING)]
    numeric = sum(bool(_NUMERIC.fullmatch(cell)) for cell in cells)
    return "r" if j >= stub and cells and numeric >= 0.5 * len(cells) else "l"


def _check(exhibit: Exhibit) -> None:
    where = f"exhibit {exhibit.id}"
    if not _ID.fullmatch(exhibit.id):
        raise UsageError("an exhibit id is a letter and then letters, digits or _", where=where)
    if not exhibit.title.strip():
        raise UsageError("the caption (title) is empty", where=where)
    if exhibit.kind == "figure":
        if exhibit.figure is None:
            raise UsageError("a figure exhibit without a figure", where=where)
        if not exhibit.alt.strip() or exhibit.alt.strip() == exhibit.title.strip():
            raise UsageError("alt text must be there, say the finding, and not repeat the caption", where=where)
    elif exhibit.table is None:
        raise UsageError("a table exhibit without a table", where=where)


def _apart(footnote: str) -> tuple[str, str]:
    """The footnote without the warning on synthetic data, and the warning, "" for none."""
    return footnote.replace(SYNTHETIC, "").strip(), SYNTHETIC if SYNTHETIC in footnote else ""


def _drawn(figure: Figure, kind: str, status: str) -> bytes:
    """The figure's bytes without dates and versions in them; `status` as their description."""
    buffer = BytesIO()
    metadata: dict[str, str | None] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    if status:
        metadata["Description"] = status
    with exhibit_style():
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=200)
    return buffer.getvalue()


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def _write(path: Path, content: bytes) -> Path:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    return temporary.replace(path)
