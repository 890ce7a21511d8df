"""Figures without a screen; the Python blocks of README.md and docs/ are tests."""

import os

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

os.environ["MPLBACKEND"] = "agg"

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md"]
).pytest()
