"""Figures without a screen; the Python blocks of README.md and docs/ are tests."""

import os
import tempfile

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

os.environ["MPLBACKEND"] = "agg"


def enter_folder(namespace):
    """Before each document, which may write files."""
    namespace["_home"], namespace["_folder"] = os.getcwd(), tempfile.TemporaryDirectory()
    os.chdir(namespace["_folder"].name)


def leave_folder(namespace):
    """After each document. Matplotlib warns about more than 20 open figures."""
    import matplotlib.pyplot as plt

    plt.close("all")
    os.chdir(namespace["_home"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
    setup=enter_folder,
    teardown=leave_folder,
).pytest()
