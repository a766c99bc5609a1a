"""What an engine can do: the six verbs between Ibis expressions and a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from p4equity.extract import Extract


class Engine(ABC):
    """An open connection, for use in a `with` block; what `keep` wrote is gone when the block ends, however it ends.

    Results never depend on the engine or on its number of threads: every number is an integer or an exact decimal.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        said = self.in_words(error) if isinstance(error, Exception) else None  # before closing: it asks the engine how it is
        self.close()
        if said is not None:
            raise said from None

    @abstractmethod
    def table(self, extract: Extract, name: str) -> ir.Table:
        """A table of the extract with the dictionary's types; only the columns that are used are read.

        Optional columns that are absent are null. Raises DataError for a table or another column that is missing.
        """

    @abstractmethod
    def keep(self, name: str, expression: ir.Table) -> ir.Table:
        """Computes an expression once and keeps its rows under `name`."""

    @abstractmethod
    def kept(self, name: str) -> ir.Table:
        """A table that `keep` wrote."""

    @abstractmethod
    def drop(self, *names: str) -> None:
        """Forgets kept tables, so that their memory is free for the next step."""

    @abstractmethod
    def fetch(self, expression: ir.Table) -> pa.Table:
        """The rows of an expression, in no particular order, with the expression's own types."""

    @abstractmethod
    def close(self) -> None:
        """Ends the connection and removes whatever it left on disk. Called again, it does nothing."""

    @abstractmethod
    def in_words(self, error: Exception) -> Exception | None:
        """What an error of the database means to people; None for an error that passes as it is.

        The database's own text can quote a value of a person, so that it is never repeated.
        """
