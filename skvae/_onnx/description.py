"""What the columns of a file hold, for programs that read other tables into it."""

from __future__ import annotations

import json
from typing import Any

from skvae._table.container import Container
from skvae._table.counted import Counted
from skvae._table.fields import Field
from skvae._table.times import Times


def describe(container: Container, n_columns: int) -> str:
    """The columns as JSON, a list of objects with "name" and "holds".

    "holds" is "category", with the names of the levels as "levels", or a kind of numbers. The
    numbers of a column with an "origin" are those of the table, less the origin.
    """
    if container.fields is None:
        columns = [{"name": place, "holds": "number"} for place in range(n_columns)]
    else:
        columns = [_described(field) for field in container.fields]
    return json.dumps(columns, default=str)


def _described(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"name": field.name, "holds": field.holds}
    if field.levels is not None:
        found |= {"holds": "category", "levels": field.levels}
    if isinstance(field.scale, Times):
        found["holds"] = field.scale.kind
    if isinstance(field.scale, Counted):
        found["origin"] = field.scale.origin
    return found
