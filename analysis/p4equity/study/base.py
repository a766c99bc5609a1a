"""What every block of a study file shares: unknown keys refused, no silent conversion, immutable after reading."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
Year = Annotated[int, Field(ge=1900, le=2200)]
Share = Annotated[float, Field(ge=0, le=1)]
Many = Annotated[tuple[T, ...], Field(strict=False)]  # TOML arrays arrive as lists; their elements stay strict


class Block(BaseModel):
    """One block of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_min_length=1)
