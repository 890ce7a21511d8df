"""What a fit costs in time and memory, by rows, columns, weights and batch size.

    python benchmarks/scaling.py [start rows columns weights batch memory]
                                 [--plot FILE] [--rows 1e7]

start    seconds that importing skvae adds to scikit-learn and torch, of a default fit to iris,
         and of scikit-learn's checks of an estimator
rows     seconds of a fit of one epoch to n rows of 20 columns, up to --rows
columns  the same, 10,000 rows of d columns
weights  seconds of a step of 1024 rows, by the width of two hidden layers
batch    seconds of an epoch of 65,536 rows of 20 columns, by the size of a minibatch
memory   transform of 2 million rows of 20 from a memmap: its rate beside that of the matrix
         products alone, which the encoder's layers have too where torch applies them to a block
         at hand, and how much memory grows; how much it grows in a fit to 60,000 x 784 cells, and
         to a memmap of 4 million x 100, of which a copy would be more than is held

Medians of three. Exponents are slopes between the two largest sizes. Run it alone on the machine.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

COLUMNS = 20
ONE_EPOCH = {
    "early_stopping": False,
    "max_iter": 1,
    "learning_rate_init": 1e-3,
    "random_state": 0,
    "likelihood": "gaussian",
}
RUNS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="part")
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument("--rows", type=float, default=1e7)
    arguments = parser.parse_args()
    curves = {}
    for part in arguments.parts or PARTS:
        print(f"\n{part}", flush=True)
        found = PARTS[part](arguments)
        if found:
            curves[part] = found
            sizes, seconds = list(found), list(found.values())
            print(f"exponent {slope(sizes[-2:], seconds[-2:]):.2f}")
    if arguments.plot:
        plot(curves, arguments.plot)


def seconds_of(call, *args, **settings):
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        call(*args, **settings)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def slope(sizes, seconds):
    return float(np.diff(np.log(seconds))[0] / np.diff(np.log(sizes))[0])


def table(n, d):
    """Rows around a plane of 5 dimensions, in float32."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(n, 5)).astype(np.float32)
    X = codes @ rng.normal(size=(5, d)).astype(np.float32)
    return X + 0.3 * rng.standard_normal(X.shape, dtype=np.float32)


def fit(X, **settings):
    from skvae import VAETransformer

    return VAETransformer(5, **ONE_EPOCH | settings).fit(X)


# -- time ---------------------------------------------------------------------------


def start(arguments):
    code = "import sklearn.base, torch, time; t = time.perf_counter(); import skvae; "
    code += "print(time.perf_counter() - t)"
    found = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(RUNS)
    ]
    print(f"import: {statistics.median(found):.2f} s")

    from sklearn.datasets import load_iris

    from skvae import VAETransformer

    X = load_iris().data
    fit(X)  # what torch does once in a process
    seconds = []
    for seed in range(7):
        begin = time.perf_counter()
        VAETransformer(random_state=seed).fit(X)
        seconds.append(time.perf_counter() - begin)
    print(f"iris: {statistics.median(seconds):.2f} s, seven seeds {np.round(sorted(seconds), 2)}")

    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of codes that tell nothing after an epoch
        for name, settings in {
            "defaults": {},
            "small": {"hidden_layer_sizes": 8, "max_iter": 1},
        }.items():
            begin = time.perf_counter()
            check_estimator(VAETransformer(**settings), on_skip=None)
            print(f"check_estimator, {name}: {time.perf_counter() - begin:.1f} s")


def rows(arguments):
    found = {}
    for n in (n for n in (10**3, 10**4, 10**5, 10**6, 10**7) if n <= arguments.rows):
        X = table(n, COLUMNS)
        found[n] = seconds_of(fit, X)
        print(f"{n:10,} rows{found[n]:10.3f} s", flush=True)
    return found


def columns(arguments):
    found = {}
    for d in (10, 100, 1000, 10_000):
        X = table(10_000, d)
        found[d] = seconds_of(fit, X)
        print(f"{d:10,} columns{found[d]:10.3f} s", flush=True)
    return found


def weights(arguments):
    found = {}
    X = table(16 * 1024, 100)
    for width in (64, 128, 256, 512, 1024, 2048):
        settings = {"hidden_layer_sizes": (width, width), "batch_size": 1024}
        vae = fit(X, **settings)
        n_weights = sum(parameter.numel() for parameter in vae.module_.parameters())
        one, two = (seconds_of(fit, X, **settings, max_iter=epochs) for epochs in (1, 3))
        found[n_weights] = (two - one) / 32
        print(f"{n_weights:10,} weights{1e3 * found[n_weights]:10.2f} ms a step", flush=True)
    return found


def batch(arguments):
    found = {}
    X = table(2**16, COLUMNS)
    for size in (16, 64, 256, 1024, 4096):
        one, two = (seconds_of(fit, X, batch_size=size, max_iter=epochs) for epochs in (1, 2))
        found[size] = two - one
        print(f"{size:10,} rows a batch{found[size]:10.3f} s an epoch", flush=True)
    return found


# -- memory -------------------------------------------------------------------------


def memory(arguments):
    for name in JOBS:
        command = [sys.executable, __file__, "--job", name]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


class Peak:
    """How many MB the memory of the process grows within the block, pages of files left out."""

    def __enter__(self):
        self.before = self.most = self.now()
        self.going = True
        self.watch = threading.Thread(target=self.look)
        self.watch.start()
        return self

    def __exit__(self, *error):
        self.going = False
        self.watch.join()
        self.growth = self.most - self.before

    def look(self):
        while self.going:
            self.most = max(self.most, self.now())
            time.sleep(0.002)

    def now(self):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def stored(folder, n, d):
    """A memmap of float64 cells, written block by block."""
    rng = np.random.default_rng(0)
    shape = (n, d)
    X = np.lib.format.open_memmap(Path(folder) / "X.npy", mode="w+", dtype=float, shape=shape)
    for start in range(0, n, 10**5):
        X[start : start + 10**5] = rng.standard_normal((min(10**5, n - start), d))
    X.flush()
    return np.load(Path(folder) / "X.npy", mmap_mode="r")


def transform_job():
    import torch
    from torch.nn.functional import linear, silu

    vae = fit(table(2000, COLUMNS))
    n = 2_000_000
    with tempfile.TemporaryDirectory() as folder:
        X = stored(folder, n, COLUMNS)
        vae.transform(X[:100_000])
        with Peak() as memory:
            Z = vae.transform(X)
        seconds = seconds_of(vae.transform, X)  # unwatched, since a watcher takes time of a core
    layers = [(w.detach().double(), b.detach().double()) for w, b in vae.module_.encoder.layers]
    block = torch.randn(2**14, COLUMNS, dtype=torch.float64)

    def products():
        for _ in range(n // len(block)):
            h = block
            for weight, _ in layers:
                h = h @ weight.t()

    def network():
        *hidden, last = layers
        for _ in range(n // len(block)):
            h = block
            for weight, bias in hidden:
                h = silu(linear(h, weight, bias), inplace=True)
            linear(h, *last)

    floor = seconds_of(products)
    print(
        f"transform, 2 million x 20 float64 from a memmap: {seconds:.1f} s, "
        f"{floor / seconds:.2f} of the rate of the products "
        f"(the layers at hand {floor / seconds_of(network):.2f}); "
        f"memory grows by {memory.growth:.0f} MB, its output has {Z.nbytes / 2**20:.0f}"
    )


def fit_job(dtype):
    X = np.empty((60_000, 784), dtype=dtype)
    rng = np.random.default_rng(0)
    for start in range(0, len(X), 1000):
        X[start : start + 1000] = rng.integers(0, 2, size=(1000, 784))
    settings = {"likelihood": "bernoulli", "hidden_layer_sizes": (100,), "batch_size": 512}
    fit(X[:2000], **settings)
    with Peak() as memory:
        fit(X, **settings)
    copy = X.size * 4 / 2**20
    print(
        f"fit, 60,000 x 784 {np.dtype(dtype).name}: memory grows by {memory.growth:.0f} MB, "
        f"{memory.growth / copy:.2f} of a float32 copy"
    )


def stored_job():
    n, d = 4_000_000, 100
    with tempfile.TemporaryDirectory() as folder:
        X = stored(folder, n, d)
        fit(X[:2000])
        begin = time.perf_counter()
        with Peak() as memory:
            fit(X, batch_size=4096, hidden_layer_sizes=(64,))
        print(
            f"fit, 4 million x 100 float64 from a memmap of {X.nbytes / 2**20:.0f} MB: "
            f"one epoch in {time.perf_counter() - begin:.0f} s, "
            f"memory grows by {memory.growth:.0f} MB"
        )


JOBS = {
    "transform": transform_job,
    "uint8": lambda: fit_job(np.uint8),
    "float32": lambda: fit_job(np.float32),
    "stored": stored_job,
}
PARTS = {
    "start": start,
    "rows": rows,
    "columns": columns,
    "weights": weights,
    "batch": batch,
    "memory": memory,
}


def plot(curves, path):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    figure, axes = plt.subplots(
        1, len(curves), figsize=(3 * len(curves), 2.8), layout="constrained"
    )
    labels = {"rows": "rows", "columns": "columns", "weights": "weights", "batch": "rows a batch"}
    what = {"weights": "seconds of a step", "batch": "seconds of an epoch"}
    for ax, (part, found) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        ax.loglog(list(found), list(found.values()), "o-")
        ax.set(xlabel=labels[part], ylabel=what.get(part, "seconds of a fit, one epoch"))
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        JOBS[sys.argv[2]]()
    else:
        main()
