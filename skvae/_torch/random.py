"""Random numbers from local generators. No global generator is read or advanced."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc
from torch import Tensor

from skvae._rules import NOTHING, instance_of, whole
from skvae._torch.fused import kernels

# The largest number of dimensions of a Sobol sequence.
MOST_COMPONENTS = qmc.Sobol.MAXDIM
# The values that scikit-learn accepts.
RANDOM_STATE = whole(0, 2**32 - 1) | instance_of(np.random.RandomState, "a RandomState") | NOTHING


def seed_from(random_state: int | np.random.RandomState | None) -> int:
    """A seed: an int itself, the next draw of a RandomState, or fresh entropy for None.

    Raises ValueError for anything else.
    """
    RANDOM_STATE.check("'random_state'", random_state)
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return int(random_state)


def derive(seed: int, purpose: str, stage: int = 0) -> int:
    """A seed for one purpose, independent of the seeds for other purposes."""
    sequence = np.random.SeedSequence([seed, *purpose.encode(), stage])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator_from(seed: int, device: torch.device) -> torch.Generator:
    """A generator on the device, with this seed."""
    return torch.Generator(device=device).manual_seed(seed)


def draw_bernoulli(p: Tensor | float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draws of 0 or 1 for training, with the shape and type of ``like``.

    The probability of a 1 is ``p`` rounded to a multiple of 2^-16; 0 and 1 are exact. torch draws
    64 random bits in the time of one number, and each 64 bits are used for four draws.
    """
    fused = kernels()
    if fused is not None and p is like and p.dtype == torch.float32:
        seed = torch.empty((), dtype=torch.int64, device=p.device)
        seed.random_(-(2**63), None, generator=generator)
        return fused.draw_bernoulli(p.contiguous(), int(seed))
    bits = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
    levels = bits.random_(-(2**63), None, generator=generator).view(torch.int16)[: like.numel()]
    # u < p for the midpoints u = (level + 2^15 + 1/2) / 2^16 of intervals of (0, 1)
    below = levels.view(like.shape).to(torch.float32).sub_(p, alpha=2**16)
    return below.lt_(-(2**15) - 0.5).to(like.dtype)


def quasi_normal(n_draws: int, n_components: int, seed: int) -> NDArray[np.float64]:
    """Standard normal draws that fill space evenly, (n_draws, n_components).

    The normal quantiles of a scrambled Sobol sequence. Each draw is exactly normal, so an average
    over draws is unbiased. It varies less than an average over independent draws.
    """
    sobol = qmc.Sobol(n_components, scramble=True, rng=np.random.default_rng(seed))
    # a power of two keeps the balance of the sequence
    uniform = sobol.random_base2(int(np.ceil(np.log2(max(n_draws, 1)))))[:n_draws]
    draws: NDArray[np.float64] = ndtri(np.clip(uniform, 1e-12, 1 - 1e-12))
    return draws


def shared_noise(n_components: int, like: Tensor) -> Tensor:
    """Quasi-random standard normal noise that is the same for all rows and calls. (512, 1, K)."""
    return like.new_tensor(_noise(n_components))


@lru_cache(maxsize=16)
def _noise(n_components: int) -> NDArray[np.float64]:
    return quasi_normal(512, n_components, seed=0)[:, None, :]
