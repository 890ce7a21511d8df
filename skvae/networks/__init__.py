"""Architectures of the encoder and the decoder.

A network describes an architecture and builds it as a ``torch.nn.Module``.

References
----------
.. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
       feedforward neural networks", AISTATS 2010.
.. [2] K. He et al., "Delving Deep into Rectifiers", ICCV 2015.
.. [3] K. He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016.
.. [4] K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
       Statistical Machine Translation", EMNLP 2014.
.. [5] S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation
       9 (8), 1997.
"""

from skvae.networks._base import Network, NetworkModule
from skvae.networks._conv import Conv
from skvae.networks._from_function import FromFunction
from skvae.networks._mlp import MLP
from skvae.networks._recurrent import Recurrent
from skvae.networks._residual import ResidualMLP

__all__ = ["MLP", "Conv", "FromFunction", "Network", "NetworkModule", "Recurrent", "ResidualMLP"]
