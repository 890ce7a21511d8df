"""The variational autoencoder that one writes in an hour, for comparison."""

from itertools import pairwise

import torch
from mnist import ARTICLE
from torch import nn
from torch.nn import functional as F

LAYERS, CODE = ARTICLE["hidden_layer_sizes"], ARTICLE["n_components"]
BATCH = 128


class PlainVAE(nn.Module):
    """A VAE of binary (or, with ``binary=False``, real) columns as one would write it."""

    def __init__(self, d, layers, n_components, activation, *, binary=True):
        super().__init__()
        self.encoder = stack(d, *layers, 2 * n_components, activation=activation)
        self.decoder = stack(n_components, *layers[::-1], d, activation=activation)
        self.binary = binary

    def loss(self, x):
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        out = self.decoder(z)
        if self.binary:
            loss = F.binary_cross_entropy_with_logits(out, x, reduction="none").sum(-1)
        else:
            loss = 0.5 * (x - out).square().sum(-1)
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)
        return (loss + kl).mean()


def stack(*sizes, activation):
    layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
    between = [module for layer in layers for module in (layer, activation())]
    return nn.Sequential(*between[:-1])


def synchronize(device):
    if device != "cpu":
        torch.cuda.synchronize(device)
