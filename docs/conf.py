"""Configuration of the documentation, which builds offline: make docs."""

import re
import sys
from inspect import getdoc

from sphinx.errors import ExtensionError

import skvae

project = "skvae"
author = "the skvae developers"
project_copyright = "2026, the skvae developers"
version = release = skvae.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "code"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings name the types
numpydoc_show_class_members = False  # _templates/autosummary lists them

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": r"^(?!plot_)",  # the rest are scripts for the command line
    "matplotlib_animations": True,  # those that an example has named
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skvae"
html_favicon = "images/favicon.svg"
html_context = {"default_mode": "auto"}
html_theme_options = {"show_prev_next": False}
html_show_sourcelink = False


def add_references(app, what, name, obj, options, lines):
    """Append the references that a docstring cites and its module lists.

    A module lists its sources once, or its package does, but each object has a page of its own.
    """
    text = "\n".join(lines)
    cited = set(re.findall(r"\[(\d+)\]_", text)) - set(re.findall(r"\.\. \[(\d+)\]", text))
    if what == "module" or not cited:
        return
    package = obj.__module__.rpartition(".")[0]
    source = "\n".join(getdoc(sys.modules[name]) or "" for name in (obj.__module__, package))
    listed = dict(re.findall(r"(?ms)^\.\. \[(\d+)\] (.+?)(?=^\.\. \[|\Z)", source))
    lines += ["", "References", "----------"]
    for number in sorted(cited, key=int):
        # the backslash keeps an initial, "D. P. Kingma", from opening a list
        lines += [f".. [{number}] \\{' '.join(listed[number].split())}", ""]


def check_methods(app, exception):
    """Raise an error if the page of an estimator lacks one of its methods."""
    listed = app.env.get_domain("py").objects
    for estimator in (skvae.VAETransformer, skvae.VAEImputer, skvae.VAEOutlierDetector):
        own = [c for c in estimator.__mro__ if c.__module__.startswith("skvae")]
        methods = {name for c in own for name, value in vars(c).items() if callable(value)}
        lacking = {name for name in methods if f"skvae.{estimator.__name__}.{name}" not in listed}
        lacking = {name for name in lacking if name[0] != "_" and not name.endswith("_request")}
        if exception is None and lacking:
            raise ExtensionError(f"The page of {estimator.__name__} lacks {sorted(lacking)}.")


def setup(app):
    app.connect("build-finished", check_methods)
    app.connect("autodoc-process-docstring", add_references, priority=0)  # before numpydoc
