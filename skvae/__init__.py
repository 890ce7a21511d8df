"""The variational autoencoder for scikit-learn."""

from skvae import likelihoods, networks, priors
from skvae._imputer import VAEImputer
from skvae._outlier import VAEOutlierDetector
from skvae._parts import Parts
from skvae._transformer import VAETransformer

__version__ = "0.1.0"
__all__ = [
    "Parts",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAETransformer",
    "likelihoods",
    "networks",
    "priors",
]
