"""Command lines of benchmarks that have several parts."""

import argparse
import os
import platform

import torch

from skvae._torch.fused import fused, kernels


def parser_of(description, parts):
    """A parser of the names of parts, the number of runs and the device."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*parts, []], metavar="part")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    return parser


def run(parts, arguments):
    """Describe the machine, and run the chosen parts, or all of them."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    able = torch.cpu.get_capabilities()
    fast = [name for name in ("amx_bf16", "avx512_bf16") if able.get(name)]
    print(f"{able.get('cpu_name')}, bfloat16 by {', '.join(fast) or 'no instructions'}")
    with fused(True):
        print(f"{'no ' if kernels() is None else ''}kernels by numba")
    if arguments.device != "cpu":
        print(torch.cuda.get_device_name(arguments.device))
    for part in arguments.parts or list(parts):
        print(f"\n{part}")
        parts[part](arguments)
