"""Write the encoder or the decoder of a fitted model to a file in the ONNX format."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skvae._disk import replace_file
from skvae._fitted import Fitted
from skvae._onnx.arrays import FUNCTIONS
from skvae._onnx.description import describe
from skvae._onnx.modules import Decoder, Encoder, Part
from skvae._onnx.substitutes import Substitutes
from skvae._rules import one_of
from skvae._torch.runtime import seeded, torch_runtime

Array = NDArray[Any]

METHODS: dict[str, type[Part]] = {"transform": Encoder, "inverse_transform": Decoder}
DTYPES = {"float64": torch.float64, "float32": torch.float32}
CPU = torch.device("cpu")
OPSET = 17  # the latest that torch 2.4 exports in full
# The largest difference of a file's results from the model's, relative to the largest result of the
# column, or to its ``unit``. Rounding to float32 causes about 1e-6.
TOLERANCE = 1e-3


def write_onnx(fitted: Fitted, path: str | os.PathLike[str], method: str, dtype: str) -> None:
    """Write a file that computes a method in a dtype, check it, and let it replace ``path``."""
    one_of(*METHODS).check("'method'", method)
    one_of(*DTYPES).check("'dtype'", dtype)
    onnx, runtime = _libraries()
    with torch_runtime(CPU):
        part = METHODS[method](fitted, DTYPES[dtype])
    rows = part.examples().astype(dtype)
    with TemporaryDirectory() as folder:
        draft = os.path.join(folder, "model.onnx")
        _export(part, torch.from_numpy(rows[:2]), draft)
        model = onnx.load(draft)
        columns = describe(fitted.container, len(fitted.columns.names))
        onnx.helper.set_model_props(model, {"method": method, "columns": columns})
        onnx.save(model, draft)
        _check(runtime, draft, part, rows)
        replace_file(path, Path(draft).read_bytes())


def _libraries() -> tuple[ModuleType, ModuleType]:
    """onnx and onnxruntime. Raises ImportError where one is not installed."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        message = 'to_onnx needs onnx and onnxruntime: pip install "skvae[onnx]"'
        raise ImportError(message) from error
    return onnx, onnxruntime


def _export(part: Part, rows: Tensor, path: str) -> None:
    """Write a part to a file, for any number of rows.

    Its trace is frozen: what does not depend on the rows becomes a constant.
    """
    names = part.input_name, part.output_name
    try:
        with torch_runtime(CPU), seeded(part.fitted.seed), _no_warnings():
            with Substitutes():
                trace = torch.jit.trace(part.eval(), (rows,), check_trace=False)
            torch.onnx.export(
                torch.jit.freeze(trace),
                (rows,),
                path,
                dynamo=False,  # the other exporter needs torch 2.9, and cannot write a trace
                opset_version=OPSET,
                input_names=names[:1],
                output_names=names[1:],
                dynamic_axes={name: {0: "n_samples"} for name in names},
            )
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        functions = ", ".join(function.__name__ for function in FUNCTIONS)
        raise ValueError(
            f"The {part.name} cannot be written in the ONNX format: {reason}. Custom networks and "
            "the torch methods of custom likelihoods must consist of operations that "
            "torch.onnx.export(..., dynamo=False) supports, and the numpy methods of custom "
            f"likelihoods of ufuncs and the functions {functions}. Change them, or pickle the "
            "estimator instead."
        ) from error


def _check(runtime: ModuleType, path: str, part: Part, rows: Array) -> None:
    """Raise ValueError unless the file computes what is expected, of one row and of all."""
    expected = part.expected(rows.astype(np.float64))
    scale = np.maximum(np.abs(expected).max(axis=0), part.unit) + np.finfo(np.float32).tiny
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, len(rows)):
        cause: Exception | None = None
        try:
            [found] = session.run(None, {part.input_name: rows[:n]})
            error = float(np.max(np.abs(found - expected[:n]) / scale))
        except Exception as failure:  # with shapes that are those of the trace
            error, cause = np.inf, failure
        if not error <= TOLERANCE:
            raise ValueError(
                f"The {part.name} has other results in the ONNX format: the relative error is "
                f"{error:.1g}. A custom network or likelihood probably branches on values or on "
                "the number of rows, which a trace does not record. Change it, or pickle the "
                "estimator instead."
            ) from cause


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Ignore what torch warns about while it exports; the file is checked instead."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, torch.jit.TracerWarning):  # type: ignore[attr-defined]
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\b")
        yield
