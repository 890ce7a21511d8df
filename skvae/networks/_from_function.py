"""Networks that a function builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Generator, nn

from skvae._rules import Rule
from skvae.networks._base import Network, scale_start


@dataclass
class FromFunction(Network):
    """A network that a function of the numbers of inputs and outputs builds.

    Parameters
    ----------
    function : callable
        ``function(n_inputs, n_outputs)`` returns a ``torch.nn.Module`` that maps
        (N, n_inputs) to (N, n_outputs). The module is in training mode only in training, so dropout
        and batch normalisation work as usual. Its initial weights and its random numbers follow
        from ``random_state``. If it is a ``torch.nn.Linear``, or a ``torch.nn.Sequential`` that
        ends in one, the initial weights of that layer are scaled down, so that training starts
        close to the prior and to the mean of the data. A model with a lambda cannot be pickled.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from torch import nn
    >>> from skvae import VAETransformer
    >>> from skvae.networks import FromFunction
    >>> def layers(n_inputs, n_outputs):
    ...     return nn.Sequential(
    ...         nn.Linear(n_inputs, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, n_outputs)
    ...     )
    >>> network = FromFunction(layers)
    >>> vae = VAETransformer(encoder=network, decoder=network, max_iter=5, random_state=0)
    >>> vae.fit_transform(load_wine().data).shape
    (178, 2)
    """

    function: Callable[[int, int], nn.Module]

    rules: ClassVar[Mapping[str, Rule]] = {
        "function": Rule("a function of n_inputs and n_outputs", callable)
    }

    def build(
        self, n_inputs: int, n_outputs: int, *, output_gain: float, generator: Generator
    ) -> nn.Module:
        module = self.function(n_inputs, n_outputs)
        last = module[-1] if isinstance(module, nn.Sequential) and len(module) else module
        if type(last) is nn.Linear:  # and no lazy one, which has no weights yet
            scale_start(last, output_gain)
        return module

    def __deepcopy__(self, memo: Any) -> FromFunction:
        return replace(self)  # a copy of a function would not be equal to it
