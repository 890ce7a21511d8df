"""The parts of a model that cannot change when training continues."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from skvae._model.vae import VAE
from skvae._table.columns import Columns
from skvae._torch.random import derive, generator_from
from skvae._torch.runtime import seeded, torch_runtime
from skvae.networks import Network
from skvae.priors import Prior


class Architecture(NamedTuple):
    """The parts that cannot change when training continues."""

    n_components: int
    encoder: Network
    decoder: Network
    likelihood: Any
    bounds: Any
    prior: Prior  # that of training

    def build(self, columns: Columns, seed: int) -> VAE:
        """The module with its initial weights, on the CPU."""
        cpu = torch.device("cpu")
        with torch_runtime(cpu), seeded(derive(seed, "global weights")):
            n, of_prior = self.n_components, generator_from(derive(seed, "prior weights"), cpu)
            return VAE(
                [(g.likelihood, g.constants, len(g.places), g.emphasis) for g in columns.groups],
                columns.gaps,
                self.encoder,
                self.decoder,
                self.n_components,
                generator_from(derive(seed, "weights"), cpu),
                self.prior.build(n, of_prior),
                columns.order,
            )
