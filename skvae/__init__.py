"""The variational autoencoder for scikit-learn."""

from skvae import likelihoods, networks
from skvae._transformer import VAETransformer

__version__ = "0.1.0"
__all__ = ["VAETransformer", "likelihoods", "networks"]
