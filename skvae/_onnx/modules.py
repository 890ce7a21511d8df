"""The encoder and the decoder as modules that convert the caller's units too, to be traced."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skvae._fitted import Fitted
from skvae._model.cells import Cells
from skvae._onnx.arrays import CannotRecord, as_tensor, recorded
from skvae._table.columns import LARGEST_POWER
from skvae._table.group import ColumnGroup
from skvae._torch.random import derive

Array = NDArray[Any]

# Working values are clipped here, as ``Columns.to_working`` does in float32.
LARGEST = float(np.finfo(np.float32).max) ** LARGEST_POWER
N_EXAMPLES, MISSING_SHARE = 16, 0.2  # rows, and the share of their values that is missing


class Part(nn.Module):
    """A network of a fitted model, from the caller's input to the caller's output.

    Units are converted in float64. The network computes in float32, since onnxruntime has no
    convolutions and recurrent cells in float64.
    """

    name: ClassVar[str]
    input_name: ClassVar[str]
    output_name: ClassVar[str]
    scale: Tensor

    def __init__(self, fitted: Fitted, dtype: torch.dtype) -> None:
        super().__init__()
        self.fitted, self.dtype = fitted, dtype
        self.groups = fitted.columns.groups
        self.vae = copy.deepcopy(fitted.module).to("cpu", torch.float32)
        self.register_buffer(
            "scale", torch.as_tensor(fitted.scale, dtype=torch.float64, device="cpu")
        )

    @property
    def unit(self) -> Array:
        """A typical difference between results, of each column."""
        raise NotImplementedError

    def examples(self) -> Array:
        """Rows of input, drawn from the model."""
        raise NotImplementedError

    def expected(self, rows: Array) -> Array:
        """The output of ``fitted`` for rows of input in float64."""
        raise NotImplementedError


class Encoder(Part):
    """Codes of a table in the caller's units. (n, d) -> (n, K)."""

    name, input_name, output_name = "encoder", "X", "Z"
    fillers: Tensor

    def __init__(self, fitted: Fitted, dtype: torch.dtype) -> None:
        super().__init__(fitted, dtype)
        fillers = [group.likelihood.filler for group in self.groups for _ in group.places]
        self.register_buffer("fillers", torch.tensor(fillers, dtype=torch.float32, device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        x, parts = x.double(), []
        for group in self.groups:
            with naming(group, "to_working"):
                parts.append(as_tensor(working_units(group, recorded(x[:, group.places]))))
        working = torch.cat(parts, dim=1)
        observed = ~working.isnan()
        values = working.clamp(-LARGEST, LARGEST).float()
        mean, _ = self.vae.encode(Cells(torch.where(observed, values, self.fillers), observed))
        return (mean.double() * self.scale).to(self.dtype)

    @property
    def unit(self) -> Array:
        return self.fitted.scale

    def examples(self) -> Array:
        seed = derive(self.fitted.seed, "onnx")
        rows = self.fitted.sample(N_EXAMPLES, seed)
        if not any(group.likelihood.needs_complete_rows for group in self.groups):
            rng = np.random.default_rng(seed)
            rows[rng.random(rows.shape) < MISSING_SHARE] = np.nan
        return rows

    def expected(self, rows: Array) -> Array:
        return self.fitted.codes(rows, np.float64)


class Decoder(Part):
    """Means of the columns, given codes. (n, K) -> (n, d)."""

    name, input_name, output_name = "decoder", "Z", "X"

    def forward(self, codes: Tensor) -> Tensor:
        z, parts = (codes.double() / self.scale).float(), []
        models = zip(self.groups, self.vae.groups, self.vae.decode(z[None]), strict=True)
        for group, model, outputs in models:
            mean = model.likelihood.summary(model.statistics(outputs)[0])
            with naming(group, "from_mean"):
                parts.append(as_tensor(group.from_mean(recorded(mean.double()))))
        place = np.argsort(self.fitted.columns.order)  # of each column in working order
        return torch.cat(parts, dim=1)[:, place].to(self.dtype)

    @property
    def unit(self) -> Array:
        return self.fitted.columns.spread

    def examples(self) -> Array:
        codes = self.fitted.prior_codes(N_EXAMPLES, derive(self.fitted.seed, "onnx"))
        return codes * self.fitted.scale

    def expected(self, rows: Array) -> Array:
        return self.fitted.decode(rows)


def working_units(group: ColumnGroup, x: Array) -> Array:
    """As ``ColumnGroup.to_working``, with NaN for values that ``transform`` refuses. (n, d)."""
    steps, inside = group.seen(x)
    lenient = group.lenient & np.isfinite(x)
    nearest = np.where(lenient & ~inside, group.likelihood.nearest(steps, group.constants), steps)
    working = group.likelihood.to_working(nearest, group.constants)
    return np.where(inside | lenient, working, np.nan)


@contextmanager
def naming(group: ColumnGroup, method: str) -> Iterator[None]:
    """Name the likelihood and its method for the table in an error."""
    try:
        yield
    except (TypeError, AttributeError) as error:
        raise CannotRecord(f"{method} of {group.likelihood} cannot be recorded: {error}") from error
