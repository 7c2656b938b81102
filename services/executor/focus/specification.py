"""FOCUS 1.4 Cost and Usage as a value: columns, types, what may be null."""

from functools import cache
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from services.executor.focus.packaged import read_packaged
from services.executor.ingest.values import INSTANT, MONEY

HERE = Path(__file__).parent
TIME = INSTANT
Kind = Literal["text", "decimal", "time", "json"]
DTYPES: dict[Kind, pl.DataType] = {
    "text": pl.String(),
    "decimal": MONEY,
    "time": TIME,
    "json": pl.String(),
}


QUANTITIES = ("CommitmentDiscountQuantity", "ConsumedQuantity", "PricingQuantity")


class ColumnRule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Kind
    required: bool = False
    allowed: tuple[str, ...] = ()


class Specification(BaseModel):
    """The columns in the order of the specification."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    columns: dict[str, ColumnRule]
    subcategories: dict[str, tuple[str, ...]]

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        return {name: DTYPES[rule.type] for name, rule in self.columns.items()}


@cache
def focus() -> Specification:
    return Specification.model_validate(read_packaged(HERE / "focus_1_4.yml"))
