"""Callbacks that follow the training of a :class:`~skvae.VAETransformer`.

They are set by ``set_callbacks``. In a Pipeline or a search, set
them on the VAETransformer inside it.
"""

from skvae.callbacks._snapshots import Snapshots
from skvae.callbacks._tensorboard import TensorBoardLogger

__all__ = ["Snapshots", "TensorBoardLogger"]
