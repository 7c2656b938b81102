"""A provider's mapping to FOCUS as its author wrote it: one YAML file each.

The engine knows no provider: whatever is special about one is an SQL expression
here. Expressions see the source's columns under the names declared in `source`,
`has_<column>` of those that only some bills have, the keys of `objects`, the columns
of look-ups, `part` of a split row, and every `let` above them.
"""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.executor.focus.errors import MappingError
from services.executor.focus.packaged import read_packaged
from services.executor.focus.specification import focus

MAPPINGS = Path(__file__).parent / "mappings"
SourceKind = Literal["text", "decimal", "time", "end", "last_day", "epoch", "json", "pairs", "list"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceColumn(_Part):
    """`end` is an inclusive last second, `last_day` an inclusive last day, `epoch` seconds."""

    type: SourceKind = "text"
    required: bool = False
    """Every export has the column; and of amounts and times, every row a value."""
    empty: Decimal | None = None
    """What an amount counts as in rows that have none."""
    names: tuple[str, ...] = ()
    """Other headers for the same thing; case and punctuation never matter."""
    header: str = ""
    """The only header that it is found under, where case and punctuation do matter."""
    decimals: int = Field(default=18, ge=0, le=18)
    """How many an amount may have; of what is in cents two fewer than are kept."""
    in_some_bills: bool = False
    """Amounts that other bills leave empty, or at 0; `has_<column>` is false in their lines."""
    large: bool = False
    """An amount may have more than twenty digits before the point. Expressions see twenty nines
    then, and for those FOCUS's quantities have what is written."""
    of: tuple[str, ...] = ()
    """Texts that are found in any case and punctuation, and then are as they are here."""


class ObjectPart(_Part):
    """Where the members of a JSON object come from; exactly one of the ways."""

    prefix: str = ""
    """Every column whose header begins so; the rest of the header is the key."""
    pairs: str = ""
    """A column of repeated {key, value}."""
    within: str = ""
    """The pairs' field that stands before a key, with a slash: a namespace."""
    prefixes: dict[str, str] = Field(default_factory=dict)
    """Beginnings of pairs' keys, and what stands there instead."""
    json_text: str = ""
    """A column that holds JSON, with or without its braces."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Key by key, a column each."""
    key: str = ""
    """Put before each key."""


class Lookup(_Part):
    table: str
    by: str
    """Expression of the key; rows whose key is null are not counted as unmapped."""
    prefix: str = ""
    """Put before the names of its columns, where two keys are looked up in one table."""
    block: str = ""
    """Of units: the number before one, in this column; see `Blocks`."""


class KnownValues(_Part):
    """What the mapping knows how to treat; other values are counted as unmapped."""

    value: str
    of: tuple[str, ...] = Field(min_length=1)


class Rule(_Part):
    name: str
    when: str


class Once(_Part):
    """What a row is known by that may stand in one file only, of each role."""

    by: tuple[str, ...] = Field(min_length=1)
    """Expressions, as `let` sees them."""
    otherwise: str
    """What whoever delivered it can do, having said nothing of the files."""
    of_a_role: str = ""
    """And having said what each is, where a file may be several things."""


class Split(_Part):
    """A row that becomes several; `part` tells them apart, and is null in other rows."""

    when: str
    into: tuple[str, ...] = Field(min_length=2)


class Pick(_Part):
    """The first element that is as `when` says gives its `field`."""

    field: str
    when: str


class Product(_Part):
    """To the eighteenth decimal: the `*` of SQL keeps thirty-six, and has no room before them."""

    times: tuple[str, str]
    """Two columns of amounts."""


class Elements(_Part):
    """More rows out of a row: one for each element of a list that is as `when` says."""

    list: str
    part: str
    when: str
    """Sees the element's fields as `element_<field>`."""
    fields: dict[str, Literal["text", "decimal"]]
    pick: dict[str, Pick] = Field(default_factory=dict)
    """Seen by `let` as `<list>_<name>`; as are the sums `<list>_moved` and `<list>_left`."""


class Cancelling(_Part):
    """Lines of a bill whose charges add up to nothing, for each `by` in a billing period."""

    when: str
    by: str


class Offset(_Part):
    """Of lines that are as `when` says, those of `lines` take away what the others leave out."""

    when: str
    lines: str
    amount: str


class Mapping(_Part):
    """Everything the engine needs to know of a provider."""

    name: str
    provider: str
    version: int = Field(ge=1)
    about: str
    source: dict[str, SourceColumn]
    maps: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Columns of repeated {key, value}, of which these keys are columns: `<column>.<key>`."""
    nulls: tuple[str, ...] = ()
    """What some senders write in columns of text where there is nothing."""
    objects: dict[str, tuple[ObjectPart, ...]] = Field(default_factory=dict)
    billing_period: dict[str, str]
    """`start` and `end`, or `month_of` a time where they are absent; or `month` in a `zone`."""
    let: dict[str, str] = Field(default_factory=dict)
    lookups: dict[str, Lookup] = Field(default_factory=dict)
    known: dict[str, KnownValues] = Field(default_factory=dict)
    then: dict[str, str | Product] = Field(default_factory=dict)
    """As `let`, after look-ups and splits."""
    roles: tuple[str, ...] = ()
    """What a file of a delivery may be (`x_role`), where there are several kinds."""
    once: Once | None = None
    """Asked of deliveries of several files."""
    drop: tuple[Rule, ...] = ()
    split: tuple[Split, ...] = ()
    elements: tuple[Elements, ...] = ()
    conserve: str
    """What each row of the export adds to the bill; its sum must be the sum of BilledCost."""
    cancel: dict[str, Cancelling] = Field(default_factory=dict)
    """By the name of the check that they do. Sees what `let` does."""
    offset: dict[str, Offset] = Field(default_factory=dict)
    """Likewise."""
    currency: str
    account: str
    columns: dict[str, str]
    keep: dict[str, str] = Field(default_factory=dict)
    """Native values kept beside FOCUS's own, as `x_<name>`."""
    kept: tuple[str, ...] = ()
    """Columns of the export that a tenant wants kept as well; `a*` are all that begin with `a`."""
    natives: bool = False
    """Also whatever columns an export has whose names begin with `x_`."""

    @model_validator(mode="after")
    def _objects_are_made_of_columns(self) -> "Mapping":
        for name, parts in self.objects.items():
            for part in parts:
                named = {part.pairs, part.json_text, *part.columns.values()} - {""}
                if unknown := sorted(named - set(self.source)):
                    msg = f"objects.{name} speaks of {unknown[0]}, which `source` does not have"
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _bills_are_told_by_columns(self) -> "Mapping":
        some = self.in_some_bills
        if some and not {self.account, self.bill_period} <= set(self.source):
            msg = f"{some[0]} is in some bills, whose account or period is no column of `source`"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _one_column_is_large(self) -> "Mapping":
        if (large := [name for name, rule in self.source.items() if rule.large])[1:]:
            msg = f"{large[0]} and {large[1]} are both large: twenty nines would be either's"
            raise ValueError(msg)
        return self

    @property
    def in_some_bills(self) -> list[str]:
        return [name for name, rule in self.source.items() if rule.in_some_bills]

    @property
    def bill_period(self) -> str:
        """The column that says when the billing period begins, if any does."""
        return self.billing_period.get("start", self.billing_period.get("month", ""))


@cache
def load_mapping(name: str) -> Mapping:
    """Raises `MappingError`."""
    path = MAPPINGS / f"{name}.yml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in MAPPINGS.glob("*.yml")))
        raise MappingError(name, f"there is none of that name; there are {known}")
    try:
        found = Mapping.model_validate(read_packaged(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MappingError(f"{path.name}, {where}", first["msg"]) from None
    columns = focus().columns
    unknown = sorted(set(found.columns) - set(columns))
    missing = sorted(set(columns) - set(found.columns))
    if unknown or missing:
        problem = f"no columns of FOCUS: {unknown}; not said what they hold: {missing}"
        raise MappingError(path.name, problem)
    return found
