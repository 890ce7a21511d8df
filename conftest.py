"""Figures without a screen; the Python blocks of README.md and docs/ are tests."""

import os

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

os.environ["MPLBACKEND"] = "agg"


def close_figures(namespace):
    """After each document, since matplotlib warns about more than 20 open figures."""
    import matplotlib.pyplot as plt

    plt.close("all")


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
    teardown=close_figures,
).pytest()
