"""The variational autoencoder for scikit-learn."""

from skvae import likelihoods, networks, priors
from skvae._estimators.imputer import VAEImputer
from skvae._estimators.loading import load
from skvae._estimators.outlier import VAEOutlierDetector
from skvae._estimators.transformer import VAETransformer
from skvae._files.archive import ModelFileError
from skvae._table.parts import Parts
from skvae._table.source import RowSource

__version__ = "0.1.0"
__all__ = [
    "ModelFileError",
    "Parts",
    "RowSource",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAETransformer",
    "likelihoods",
    "load",
    "networks",
    "priors",
]
