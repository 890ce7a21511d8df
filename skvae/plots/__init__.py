"""Displays of a fitted model, in the form of scikit-learn's displays.

``from_estimator`` computes and draws. ``plot`` draws the same values again, on other axes or in
another style. The estimator is a fitted :class:`~skvae.VAETransformer`, a Pipeline that ends in
one, or a search such as GridSearchCV over either.

The displays need matplotlib: ``pip install "skvae[plots]"``.
"""

from skvae.plots._active_units import ActiveUnitsDisplay
from skvae.plots._associations import AssociationsDisplay
from skvae.plots._imputation import ImputationDisplay
from skvae.plots._interpolation import InterpolationDisplay
from skvae.plots._latent_space import LatentSpaceDisplay
from skvae.plots._loadings import LoadingsDisplay
from skvae.plots._loss_curve import LossCurveDisplay
from skvae.plots._manifold import ManifoldDisplay
from skvae.plots._marginals import MarginalsDisplay
from skvae.plots._morph import MorphAnimation
from skvae.plots._odd_cells import OddCellsDisplay
from skvae.plots._reconstruction import ReconstructionDisplay
from skvae.plots._sample import SampleDisplay
from skvae.plots._training import TrainingAnimation
from skvae.plots._traversal import TraversalDisplay

__all__ = [
    "ActiveUnitsDisplay",
    "AssociationsDisplay",
    "ImputationDisplay",
    "InterpolationDisplay",
    "LatentSpaceDisplay",
    "LoadingsDisplay",
    "LossCurveDisplay",
    "ManifoldDisplay",
    "MarginalsDisplay",
    "MorphAnimation",
    "OddCellsDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "TrainingAnimation",
    "TraversalDisplay",
]
