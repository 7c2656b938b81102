"""Declared datasets, tables and views: values that a warehouse is made to match."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Type = Literal[
    "STRING",
    "INT64",
    "FLOAT64",
    "BOOL",
    "TIMESTAMP",
    "DATE",
    "NUMERIC",
    "BIGNUMERIC",
    "JSON",
    "BYTES",
]
WIDENED: Mapping[str, Type] = {"INT64": "BIGNUMERIC"}
"""What a column that is there is made where that is declared."""
Mode = Literal["NULLABLE", "REQUIRED", "REPEATED"]


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: Type
    mode: Mode = "NULLABLE"
    description: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A column as a table has it: its type may be one that nothing declared here has."""

    name: str
    type: str
    mode: str


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    owned: bool = False
    """One that is there has to carry these labels; what is not ours is not taken, nor dropped."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table partitioned by day on a DATE or TIMESTAMP column, if it has one."""

    dataset: str
    name: str
    columns: tuple[Column, ...]
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    description: str = ""

    @property
    def path(self) -> str:
        return f"{self.dataset}.{self.name}"


@dataclass(frozen=True, slots=True)
class View:
    """A view; `{project}` in its query stands for the project."""

    dataset: str
    name: str
    query: str
    description: str = ""

    @property
    def path(self) -> str:
        return f"{self.dataset}.{self.name}"


Object = Dataset | Table | View


def required(name: str, type_: Type, description: str = "") -> Column:
    return Column(name, type_, "REQUIRED", description)
