"""Sizes of the package's files and functions, and the calls between a public method and its maths.

    python benchmarks/structure.py

A line counts with its comments and docstrings. A hop is a function of skvae on the stack when the
method calls the maths, the public method itself included.
"""

import ast
import sys
import warnings
from pathlib import Path

import torch
from sklearn.datasets import load_wine

import skvae
from skvae import VAETransformer

PACKAGE = Path(skvae.__file__).parent
LARGEST_FILE, LONGEST_FUNCTION = 450, 50
# the function at which each public method has arrived at its maths
MATHS = {"transform": "encode", "score_samples": "log_prob", "fit": "find_gradient"}


def files():
    """The lines of each file, the largest first."""
    sizes = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    return sorted(sizes.items(), key=lambda item: -item[1])


def functions():
    """The lines of each function, without and with its docstring, the longest first."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                docstring = node.body[0].end_lineno - node.body[0].lineno + 1
                total = node.end_lineno - node.lineno + 1
                code = total - docstring if body is not node.body else total
                found.append((code, total, f"{path.relative_to(PACKAGE)} {node.name}"))
    return sorted(found, reverse=True)


def hops(method, X):
    """The functions of skvae on the stack when the method first calls its maths."""
    found = []

    def see(frame, event, argument):
        if found or event != "call" or frame.f_code.co_name != MATHS[method.__name__]:
            return
        if Path(frame.f_code.co_filename) != PACKAGE / "_model" / "vae.py":
            return
        while frame is not None:
            code = frame.f_code
            if Path(code.co_filename).is_relative_to(PACKAGE):
                found.append(f"{Path(code.co_filename).stem}.{code.co_name}")
            frame = frame.f_back

    sys.setprofile(see)
    try:
        method(X)
    finally:
        sys.setprofile(None)
    return found[::-1]


def main():
    sizes = files()
    print(f"{len(sizes)} files; above {LARGEST_FILE} lines:")
    for path, n_lines in sizes:
        if n_lines > LARGEST_FILE:
            print(f"  {n_lines:5} {path.relative_to(PACKAGE)}")
    print(f"functions above {LONGEST_FUNCTION} lines without their docstring:")
    for code, total, name in functions():
        if code > LONGEST_FUNCTION:
            print(f"  {code:5} ({total} with it) {name}")
    torch.set_num_threads(1)  # otherwise scores are computed on other threads, with other stacks
    X = load_wine().data
    vae = VAETransformer(2, max_iter=2, random_state=0)
    for method in (vae.fit, vae.transform, vae.score_samples):
        chain = hops(method, X)
        print(f"{method.__name__}: {len(chain)} hops: {' > '.join(chain)}")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
