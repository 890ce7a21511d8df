"""Start training from probabilistic PCA of the encoder's features.

References
----------
.. [1] M. E. Tipping and C. M. Bishop, "Probabilistic Principal Component Analysis", Journal of the
       Royal Statistical Society B 61 (3), 1999.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from skvae._interrupts import interrupts_held
from skvae._model.cells import Cells, split
from skvae._model.locations import NOISE_SPEED
from skvae._model.observation import ObservationModel
from skvae._model.vae import VAE
from skvae._torch.runtime import one_thread

Array = NDArray[np.float64]

EXACT_SIZE = 1000  # number of features above which a randomised PCA is faster
MOST_STEPS = 10  # of Fisher scoring, which ends when the mean of the score function is close to 0
CLOSE = 0.01  # limit on that mean, relative to the standard deviation of the score function
SMALLEST_INFORMATION = 1e-6
SMALLEST_VARIANCE = 0.01  # of the learned part of the noise around locations
SMALLEST_SHARE = 0.01  # of the noise in the mean variance of the features
LEAST_NOISE = 0.01  # lower limit of the smallest noise around locations


def start_from_pca(model: VAE, cells: Cells, share: Tensor, seed: int) -> None:
    """Set the linear maps of new networks, and the noise of located columns. N rows, (N,).

    The encoder becomes the posterior of probabilistic PCA [1]_ given the features. The decoder
    starts from the marginals and takes one scoring step towards these codes. If codes are found
    first, both start closer to the prior the less variance PCA explains, so that hidden layers are
    not constrained by the linear solution. Networks without a linear map are not changed.
    """
    if not (model.encoder.has_linear and model.decoder.has_linear):
        return
    with interrupts_held() as hold, one_thread(), torch.no_grad(), hold.lifted():
        features, weight = model.features(cells).double().cpu().numpy(), share.cpu().numpy()
        scale = _feature_scale(model)
        mean = weight @ features
        centred = (features - mean) * scale
        components, variance, noise = probabilistic_pca(centred, weight, model.n_components, seed)
        total = weight @ np.square(centred)
        signal = (variance - noise).clip(0)
        is_linear = model.encoder.is_linear and model.decoder.is_linear
        trust = 1.0
        if model.finds_codes_first and not is_linear:
            trust = signal.sum() / max(total.sum(), np.finfo(np.float64).tiny)
        # in PCA, E[z|y] = (signal^(1/2) / variance) u'y and Var[z|y] = 1 - signal / variance
        to_code = (trust * np.sqrt(signal) / variance)[:, None] * components * scale
        codes = (features - mean) @ to_code.T
        log_std = 0.5 * np.log(1 - trust**2 * signal / variance)
        device = cells.values.device
        _set_encoder(model, to_code, -to_code @ mean, log_std)
        _set_decoder(model, cells, share, torch.as_tensor(codes, device=device))
        left = noise + (1 - trust**2) * signal.sum() / max((total > 0).sum(), 1)
        _set_noise(model, noise, left)


def probabilistic_pca(
    y: Array, share: Array, n_components: int, seed: int
) -> tuple[Array, Array, float]:
    """Components (K, m), their variances (K,) and the noise variance of centred features (n, m).

    If there are fewer directions than components, the remaining components are 0, with the
    variance of the noise.
    """
    weighted = y * np.sqrt(share)[:, None]
    n, m = weighted.shape
    size = min(n_components, n, m)
    if m <= min(n, EXACT_SIZE):
        variance, components = np.linalg.eigh(weighted.T @ weighted)
        variance, components = variance[::-1][:size].clip(0), components.T[::-1][:size]
    else:
        with config_context(array_api_dispatch=False):  # dispatch would take other steps
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
    """The scale of the features in PCA: levels as 0 and 1, and flags of missing values as 0."""
    parts = []
    for group in model.groups:
        of_column = group.n_features // group.n_columns
        parts.append(np.full(group.n_features, of_column**-0.5))
    return np.concatenate([*parts, np.zeros(len(model.gaps))])


def _set_encoder(model: VAE, to_code: Array, bias: Array, log_std: Array) -> None:
    weight = _as_tensor(np.concatenate([to_code, np.zeros_like(to_code)]))
    model.encoder.set_linear(_without_context(model, weight), _as_tensor(np.r_[bias, log_std]))


def _set_noise(model: VAE, noise: float, left: float) -> None:
    """Set the noise around locations from the variances that PCA and the start leave."""
    if all(group.is_located for group in model.groups):
        # with other columns present, smaller noise would let located columns dominate the codes
        model.location_noise.smallest.clamp_(max=max(np.sqrt(noise), LEAST_NOISE))
    excess = max(left - float(model.location_noise.smallest) ** 2, SMALLEST_VARIANCE)
    model.location_noise.log_excess.fill_(0.5 * np.log(excess) / NOISE_SPEED)


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
    weight = _without_context(model, torch.cat(weights).float())
    model.decoder.set_linear(weight, torch.cat(biases).float())


def _without_context(model: VAE, weight: Tensor) -> Tensor:
    """The linear map with weights of 0 for the context, which PCA does not use."""
    return nn.functional.pad(weight, (0, model.n_context))


def _scoring_step(
    group: ObservationModel, x: Tensor, observed: Tensor | None, share: Tensor, codes: Tensor
) -> tuple[Tensor, Tensor]:
    """A linear map from codes to the outputs of a group, (P, K) and (P,).

    Codes and their noise together have the variance 1, so the slope of a location is its covariance
    with the codes. Other outputs are fitted to the marginals by Fisher scoring, and then take a
    step towards the codes: the covariance of the score function with the codes, divided by the
    variance of the score function.
    """
    share = share.unsqueeze(-1)
    if group.likelihood.has_location:
        if observed is not None:
            share = share * observed
            share = share / share.sum(0).clamp(min=torch.finfo(torch.float64).tiny)
        target = group.likelihood.location(x, group.tensors).double()
        mean = (share * target).sum(0)
        slope = (share * (target - mean)).T @ codes
        # a column without observed values here has the variance 1
        unseen = 1 - share.expand_as(target).sum(0)
        variance = (share * (target - mean).square()).sum(0) - slope.square().sum(1) + unseen
        group.likelihood.fit_noise(variance.clamp(min=0).float(), group.tensors)
        return slope, mean
    each = torch.ones_like(x) if observed is None else observed.to(x.dtype)

    def score(bias: Tensor) -> Tensor:
        """The gradient of log p with respect to the outputs, (N, P)."""
        outputs = bias.to(x.dtype).expand(1, len(x), -1)
        _, backward = group.vjp(x, outputs)
        found: Tensor = backward(each.unsqueeze(0))[0].double()
        for parameter in group.parameters():
            parameter.grad = None
        return found

    # most likelihoods match the marginals when their outputs are 0, and then take no step here
    bias = torch.zeros(group.n_outputs, dtype=torch.float64, device=x.device)
    for _ in range(MOST_STEPS):
        by_output = score(bias)
        information = (share * by_output.square()).sum(0).clamp(min=SMALLEST_INFORMATION)
        step = (share * by_output).sum(0) / information
        if float((step * information.sqrt()).abs().max()) < CLOSE:
            break
        bias = bias + step.clamp(-1, 1)
    return (share * by_output).T @ codes / information.unsqueeze(-1), bias


def _as_tensor(array: Array) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32, device="cpu")
