"""What all networks share: the description of an architecture, and the module that it builds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from skvae._rules import NOTHING, TRUTH, Rule
from skvae._torch.random import derive
from skvae._torch.row_wise import affine, with_padded_rows
from skvae._torch.runtime import seeded, seeded_generators
from skvae._torch.vjp import Backward, by_autograd
from skvae._value import Value

NETWORK = Rule(
    "a network, such as MLP() or FromFunction(layers)", lambda value: isinstance(value, Network)
)
Linear = Callable[[Tensor, Tensor, Tensor], Tensor]
SKIP = TRUTH | NOTHING  # the rule of the parameter ``skip``


class NetworkModule(nn.Module):
    """Base class of the modules that networks build.

    ``forward(x, generator=None)`` maps (..., n_inputs) to (..., n_outputs). The module is always in
    evaluation mode. In training, ``forward`` gets a generator: it then applies dropout and the
    like, and takes every random number from the generator. If a class overrides ``vjp``, its
    ``forward`` gets no generator.

    Attributes
    ----------
    closed_form : bool
        Whether ``vjp`` computes in the type of the parameters, which may be bfloat16 in training,
        and overwrites their gradients. Otherwise, parameters are in float32 under autocast, and
        gradients are accumulated. A ``vjp`` that calls that of another module has the same value as
        that module.
    replayable : bool
        Whether a GPU may record the operations of ``vjp`` once and replay them. This requires that
        ``vjp`` reads no result, does not branch on one, and draws from the generator only. It must
        keep no state, since training on a CPU may undo a step.
    has_linear : bool
        Whether ``set_linear`` can initialise the module by a linear map.
    is_linear : bool
        Whether the module is only a linear map.
    row_wise : bool
        Whether the result of a row, in float32 on a CPU and without a generator, has the same bits
        whatever the other rows. Scores are then computed in float32. Of modules of torch this is
        not known.
    """

    has_linear: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False
    closed_form: ClassVar[bool] = False
    replayable: ClassVar[bool] = False
    row_wise: bool = False

    def vjp(self, x: Tensor, generator: Generator, *, to_x: bool) -> tuple[Tensor, Backward]:
        """Compute the result for ``x`` (rows, n_inputs) in training, and its backward function.

        The backward function takes the gradient by the result and returns the gradient by ``x``, in
        the type of ``x``. It may return None if ``to_x`` is False. Autocast may be on. The result
        may then be in bfloat16, and its gradient in bfloat16 or in the type of ``x``. This method
        is called in torch's inference mode, where autograd records nothing.
        """
        return by_autograd(lambda x: self(x, generator).to(x.dtype), x, to_x=to_x)

    def set_linear(self, weight: Tensor, bias: Tensor) -> None:
        """Initialise the module as x -> x W' + b, plus the output of any untrained hidden layers.

        ``weight`` is (n_outputs, n_inputs) and ``bias`` (n_outputs,). Only for modules with
        ``has_linear``, and only before training.
        """
        raise NotImplementedError


class RowWiseModule(NetworkModule):
    """Base class of modules that pad their rows, as a module that is ``row_wise`` needs.

    A subclass implements ``through`` instead of ``forward``.

    Attributes
    ----------
    hidden_sizes : sequence of int
        The number of elements of a row in each hidden layer.
    """

    row_wise = True
    hidden_sizes: Sequence[int] = ()

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if generator is None:
            found = with_padded_rows(partial(self.through, affine), rows, *self.hidden_sizes)
        else:
            found = self.through(F.linear, rows, generator)
        return found.view(*x.shape[:-1], found.shape[-1])

    def through(self, linear: Linear, rows: Tensor, generator: Generator | None = None) -> Tensor:
        """The result for rows (n, n_inputs). ``linear`` is x W' + b of x, W and b."""
        raise NotImplementedError


class TorchModule(NetworkModule):
    """Wrapper of any torch module, which is in training mode only during training.

    The module draws from torch's global generator, which is seeded for each step. Its state is
    restored afterwards. In a minibatch of a single row, which has no variance, batch normalisation
    uses its running statistics.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.eval()

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        through = self.module if generator is None else partial(self._in_training, generator)
        found: Tensor = through(rows)
        return found.view(*x.shape[:-1], found.shape[-1])

    def _in_training(self, generator: Generator, rows: Tensor) -> Tensor:
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        with seeded_generators(int(seed), rows.device):
            self.module.train()
            if len(rows) == 1:
                for part in self.module.modules():
                    if isinstance(part, nn.BatchNorm1d):
                        part.eval()
            try:
                found: Tensor = self.module(rows)
            finally:
                self.module.eval()
        return found


class Network(Value):
    """Base class of the architectures. A subclass implements ``build``."""

    sizes: ClassVar[tuple[str, ...]] = ()  # names of fields that hold a sequence of sizes, or one

    def build(
        self, n_inputs: int, n_outputs: int, *, output_gain: float, generator: Generator
    ) -> nn.Module:
        """Build a module from rows (..., n_inputs) to (..., n_outputs), with its initial weights.

        Parameters
        ----------
        n_inputs, n_outputs : int
        output_gain : float
            Factor of the initial weights of the last layer. It is small or 0, so that training
            starts close to the prior and to the mean of the data.
        generator : torch.Generator
            For the initial weights. Torch's global generator, which modules of :mod:`torch.nn` use,
            is seeded by the fit, and its state is restored afterwards. Autograd records only within
            ``torch.enable_grad()``, and torch uses one thread.

        Returns
        -------
        module : NetworkModule or torch.nn.Module
            In float32 on the CPU.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no method build(n_inputs, n_outputs, *, output_gain, "
            "generator). Every network needs it."
        )

    def build_encoder(
        self,
        columns: Sequence[NDArray[np.intp]],
        n_inputs: int,
        n_outputs: int,
        *,
        output_gain: float,
        generator: Generator,
    ) -> nn.Module:
        """Build an encoder, for a network that uses which inputs belong to which column.

        By default, this calls ``build``.

        Parameters
        ----------
        columns : sequence of ndarray of int
            For each column of the table, in its order, the positions of its features among the
            inputs.
        n_inputs, n_outputs, output_gain, generator
            As in ``build``.

        Returns
        -------
        module : NetworkModule or torch.nn.Module
        """
        return self.build(n_inputs, n_outputs, output_gain=output_gain, generator=generator)

    def build_decoder(
        self,
        columns: Sequence[NDArray[np.intp]],
        n_inputs: int,
        n_outputs: int,
        *,
        output_gain: float,
        generator: Generator,
    ) -> nn.Module:
        """Build a decoder, for a network that uses which outputs belong to which column.

        By default, this calls ``build``.

        Parameters
        ----------
        columns : sequence of ndarray of int
            For each column of the table, in its order, the positions of its parameters among the
            outputs. A column may have none.
        n_inputs, n_outputs, output_gain, generator
            As in ``build``.

        Returns
        -------
        module : NetworkModule or torch.nn.Module
        """
        return self.build(n_inputs, n_outputs, output_gain=output_gain, generator=generator)

    def mirror(self) -> Network | None:
        """The decoder for this network as an encoder, if none is given.

        None stands for the decoder of the default ``MLP``.
        """
        return None

    def resolved(self, skip: bool) -> Self:
        """The network with sizes as tuples, and with this ``skip`` if it has one that is None."""
        changed: dict[str, Any] = {name: layer_sizes(getattr(self, name)) for name in self.sizes}
        if self.rules.get("skip") is SKIP and self.get_params()["skip"] is None:
            changed["skip"] = skip
        return replace(self, **changed) if changed else self


def layer_sizes(sizes: Sequence[int] | int) -> tuple[int, ...]:
    """The sizes as a tuple, also a single one."""
    return tuple(sizes) if isinstance(sizes, Iterable) else (sizes,)


def build_network(
    network: Network,
    columns: Sequence[NDArray[np.intp]],
    n_inputs: int,
    n_outputs: int,
    *,
    output_gain: float,
    generator: Generator,
    role: str,
) -> NetworkModule:
    """Build the module of a network. Its initial weights depend only on ``generator`` and its seed.

    Torch's global generator is seeded differently for each role.
    """
    with seeded(derive(generator.initial_seed(), role)):
        build = network.build_encoder if role == "encoder" else network.build_decoder
        module = build(columns, n_inputs, n_outputs, output_gain=output_gain, generator=generator)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{type(network).__name__}.build must return a torch.nn.Module; got a "
                f"{type(module).__name__}."
            )
        module = module if isinstance(module, NetworkModule) else TorchModule(module)
        # this also initialises lazy modules
        found = module(torch.zeros(2, n_inputs, dtype=torch.float32, device="cpu"))
    if found.shape != (2, n_outputs):
        raise ValueError(
            f"The {role} that {type(network).__name__}.build returned maps 2 rows of {n_inputs} "
            f"numbers to the shape {tuple(found.shape)}; it must be (2, {n_outputs}), with "
            f"n_outputs={n_outputs}."
        )
    return module


def he_start(layers: nn.Module, generator: Generator) -> None:
    """Draw the initial weights of all layers as in [2]_, which keeps the size of the signal.

    The bound is sqrt(6 / n_in), where n_in is the number of inputs of an output. Biases are zero.
    """
    for layer in layers.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            if name != "weight":
                nn.init.zeros_(parameter)
                continue
            n_in = parameter[0].numel()
            if isinstance(layer, nn.ConvTranspose2d):  # (n_in, n_out, height, width)
                n_in = parameter[:, 0].numel() // math.prod(layer.stride)
            bound = math.sqrt(6 / n_in)
            nn.init.uniform_(parameter, -bound, bound, generator=generator)


def scale_start(layer: nn.Module, gain: float) -> None:
    """Multiply the initial weights and biases of a layer."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(gain)
