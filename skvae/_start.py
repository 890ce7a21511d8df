"""Where training starts: at the model that probabilistic PCA finds in what the encoder sees.

References
----------
.. [1] M. E. Tipping and C. M. Bishop, "Probabilistic Principal Component Analysis", Journal of the
       Royal Statistical Society B 61 (3), 1999.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from skvae._model import NOISE_SPEED, SMALLEST_NOISE, VAE, Cells, ObservationModel, split
from skvae._runtime import one_thread

Array = NDArray[np.float64]

MOST_ROWS = 2**13  # that PCA is made of
EXACT_SIZE = 1000  # features, beyond which a randomised PCA is faster
SMALLEST_SHARE = 0.01  # of the noise in the mean variance of the features


def start_from_pca(model: VAE, cells: Cells, share: Tensor, seed: int) -> None:
    """Set the linear maps of fresh networks, and the noise of located columns. N rows, (N,).

    The encoder becomes the posterior of probabilistic PCA [1]_ given the features, and the decoder
    takes one scoring step from its marginals towards these codes. Networks that have no linear map
    stay as they are.
    """
    with one_thread(), torch.no_grad():
        features, weight = model.features(cells).double().cpu().numpy(), share.cpu().numpy()
        scale = _feature_scale(model)
        mean = weight @ features
        components, variance, noise = probabilistic_pca(
            (features - mean) * scale, weight, model.n_components, seed
        )
        # E[z|y] = (variance - noise)^(1/2) / variance u'y, Var[z|y] = noise / variance
        signal = (variance - noise).clip(0)
        to_code = (np.sqrt(signal) / variance)[:, None] * components * scale
        codes = (features - mean) @ to_code.T
        device = cells.values.device
        if not _set_encoder(model, to_code, -to_code @ mean, 0.5 * np.log(noise / variance)):
            return
        _set_decoder(model, cells, share, torch.as_tensor(codes, device=device))
        free = max(noise - SMALLEST_NOISE**2, SMALLEST_SHARE)
        model.location_noise.fill_(0.5 * np.log(free) / NOISE_SPEED)


def probabilistic_pca(
    y: Array, share: Array, n_components: int, seed: int
) -> tuple[Array, Array, float]:
    """Components (K, m), their variances (K,) and the noise of centred features (n, m).

    Where there are fewer directions than components, the others are 0 and of the noise's variance.
    """
    weighted = y * np.sqrt(share)[:, None]
    n, m = weighted.shape
    size = min(n_components, n, m)
    if m <= min(n, EXACT_SIZE):
        variance, components = np.linalg.eigh(weighted.T @ weighted)
        variance, components = variance[::-1][:size].clip(0), components.T[::-1][:size]
    else:
        _, singular, components = randomized_svd(weighted, size, random_state=seed % 2**32)
        variance = np.square(singular)
    of_feature = np.square(weighted).sum(axis=0)
    total, n_varying = of_feature.sum(), int((of_feature > 0).sum())
    mean = total / max(n_varying, 1)
    noise = (total - variance.sum()) / max(n_varying - size, 1)
    noise = max(noise, SMALLEST_SHARE * mean, np.finfo(np.float64).tiny)
    padding = n_components - size
    return (
        np.pad(components, ((0, padding), (0, 0))),
        np.pad(np.maximum(variance, noise), (0, padding), constant_values=noise),
        noise,
    )


def _feature_scale(model: VAE) -> Array:
    """What brings features to PCA: levels to 0 and 1, and which values are missing to nothing."""
    parts = []
    for group in model.groups:
        of_column = group.n_features // group.n_columns
        parts.append(np.full(group.n_features, of_column**-0.5))
    return np.concatenate([*parts, np.zeros(len(model.gaps))])


def _set_encoder(model: VAE, to_code: Array, bias: Array, log_std: Array) -> bool:
    weight = np.concatenate([to_code, np.zeros_like(to_code)])
    return model.encoder.set_linear(_as_tensor(weight), _as_tensor(np.r_[bias, log_std]))


def _set_decoder(model: VAE, cells: Cells, share: Tensor, codes: Tensor) -> None:
    weights, biases = [], []
    start = 0
    for group, x in zip(model.groups, split(cells.values, model.n_columns), strict=True):
        place = slice(start, start + group.n_columns)
        start = place.stop
        there = None if cells.observed is None else cells.observed[:, place]
        weight, bias = _scoring_step(group, x, there, share, codes)
        weights.append(weight)
        biases.append(bias)
    model.decoder.set_linear(torch.cat(weights).float(), torch.cat(biases).float())


def _scoring_step(
    group: ObservationModel, x: Tensor, observed: Tensor | None, share: Tensor, codes: Tensor
) -> tuple[Tensor, Tensor]:
    """A linear map from codes to the outputs of a group, (P, K) and (P,).

    Codes and their noise have the variance 1 together, so that the slope of a location is its
    covariance with the codes. Other outputs take a step of Fisher scoring from 0: the covariance of
    the score function with the codes over its variance.
    """
    share = share.unsqueeze(-1)
    if group.likelihood.has_location:
        if observed is not None:
            share = share * observed
            share = share / share.sum(0)
        target = group.likelihood.location(x, group.tensors).double()
        mean = (share * target).sum(0)
        slope = (share * (target - mean)).T @ codes
        variance = (share * (target - mean).square()).sum(0) - slope.square().sum(1)
        group.likelihood.fit_noise(variance.clamp(min=0).float(), group.tensors)
        return slope, mean
    n_first = group.n_outputs - group.n_shape_outputs
    outputs = x.new_zeros(1, len(x), group.n_outputs)
    _, backward = group.vjp(x, outputs)
    each = torch.ones_like(x) if observed is None else observed.to(x.dtype)
    score = backward(each.unsqueeze(0))[0, :, :n_first].double()
    for parameter in group.parameters():
        parameter.grad = None
    information = (share * score.square()).sum(0).clamp(min=1e-6)
    return (share * score).T @ codes / information.unsqueeze(-1), score.new_zeros(n_first)


def _as_tensor(array: Array) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32, device="cpu")
