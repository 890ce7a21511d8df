"""The parts of a model that cannot change when training continues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from skvae._model.vae import VAE
from skvae._table.columns import Columns
from skvae._torch.random import derive, generator_from
from skvae._torch.runtime import seeded, torch_runtime
from skvae.networks import Network
from skvae.priors import Prior, PriorModule

CPU = torch.device("cpu")


class Architecture(NamedTuple):
    """The parts that cannot change when training continues."""

    n_components: int
    encoder: Network
    decoder: Network
    likelihood: Any
    bounds: Any
    resolution: Any
    prior: Prior  # that of training
    self_masking: bool = False

    def build(self, columns: Columns, seed: int, learned_prior: PriorModule | None) -> VAE:
        """The module with its initial weights, on the CPU."""
        with _seeded_cpu(seed, "global weights"):
            return VAE(
                [(g.likelihood, g.constants, len(g.places), g.emphasis) for g in columns.groups],
                columns.gaps,
                self.encoder,
                self.decoder,
                self.n_components,
                generator_from(derive(seed, "weights"), CPU),
                learned_prior,
                columns.order,
                self_masking=self.self_masking,
            )

    def build_prior(self, n_rows: int, seed: int) -> PriorModule | None:
        """The prior that training learns from this number of distinct rows, if it learns one."""
        with _seeded_cpu(seed, "global prior weights"):
            generator = generator_from(derive(seed, "prior weights"), CPU)
            return self.prior.build(self.n_components, n_rows, generator)


@contextmanager
def _seeded_cpu(seed: int, role: str) -> Iterator[None]:
    """Torch's state to build modules on the CPU."""
    with torch_runtime(CPU), seeded(derive(seed, role)):
        yield
