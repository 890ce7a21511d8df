"""Fits to the same quality: VAETransformer beside a plain PyTorch loop, pythae and TVAE.

    SKVAE_DATA=folder python benchmarks/peers.py [elbo tvae] [--runs 3] [--epochs 300]
                                                 [--device cpu]

elbo  MNIST as in mnist.py, the article's 784-500-500-50 with ELU: the plain loop and pythae for 10
      epochs of batches of 128 at 1e-3, VAETransformer for 4 of batches of 288, and for 10 with its
      default optimiser; seconds and the held-out negative ELBO. Each contender in a process of its
      own, in turn.
tvae  100,000 rows of 50 mixed columns: ctgan's TVAE for --epochs, and VAETransformer, tuned as in
      adult.py, for 4 to 16; seconds, and detection as there

With --device cuda, elbo is of a GPU. The plain loop is what one writes in an hour: a DataLoader,
nn.Sequential, torch.optim.Adam at 1e-3. pythae and ctgan need the extra `peers`. Medians; run it
alone on the machine.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import torch
from adult import TUNED, detection
from mnist import ARTICLE, drawn, images
from parts import parser_of, run
from plain import BATCH, CODE, LAYERS, PlainVAE, stack, synchronize
from torch import nn

from skvae import VAETransformer

EPOCHS = 10  # of the plain loop and of pythae
OURS = ARTICLE | {"batch_size": 288, "learning_rate_init": 7e-3, "max_iter": 4}
OPTIMISER = ("batch_size", "learning_rate", "learning_rate_init", "kl_warmup", "early_stopping")
DEFAULTS = {name: value for name, value in ARTICLE.items() if name not in OPTIMISER}


def main():
    parser = parser_of(__doc__, PARTS)
    parser.add_argument("--epochs", type=int, default=300, help="of TVAE")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        seconds, elbo = CONTENDERS[arguments.contender](arguments.device)
        print(json.dumps({"seconds": seconds, "elbo": elbo}))
    else:
        run(PARTS, arguments)


# -- time to a held-out ELBO --------------------------------------------------------


def compare_elbo(arguments):
    names = [name for name in CONTENDERS if name != "pythae" or importlib.util.find_spec("pythae")]
    found = {name: [] for name in names}
    for _ in range(arguments.runs):
        for name in names:  # in turn, so that a slow minute of the machine hits all
            command = [sys.executable, __file__, "--contender", name, "--device", arguments.device]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[name].append(json.loads(out.splitlines()[-1]))
    plain = statistics.median(run["seconds"] for run in found["plain loop"])
    print(f"{'':24}{'seconds':>9}{'-ELBO':>9}{'times faster':>14}")
    for name in names:
        seconds = statistics.median(run["seconds"] for run in found[name])
        elbo = statistics.median(run["elbo"] for run in found[name])
        print(f"{name:24}{seconds:9.1f}{elbo:9.2f}{plain / seconds:14.1f}", flush=True)


def binarised():
    """Training images in [0, 1], test images drawn to 0 or 1."""
    return images()[0], drawn(images()[1])


def skvae(settings, device):
    train, test = binarised()
    start = time.perf_counter()
    vae = VAETransformer(**settings, device=device).fit(train)
    seconds = time.perf_counter() - start
    return seconds, -float(vae.elbo(test, n_draws=64).mean())


def plain_loop(device):
    train, test = binarised()
    torch.manual_seed(0)
    start = time.perf_counter()
    model = PlainVAE(784, LAYERS, CODE, nn.ELU).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(train))
    for _ in range(EPOCHS):
        for (x,) in torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            model.loss(torch.bernoulli(x.to(device))).backward()
            optimizer.step()
    synchronize(device)
    seconds = time.perf_counter() - start
    test = torch.from_numpy(test).to(device)
    with torch.no_grad():
        return seconds, np.mean([float(model.loss(test)) for _ in range(16)])


def pythae(device):
    import logging
    import tempfile

    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    logging.disable(logging.WARNING)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layers = stack(784, *LAYERS, 2 * CODE, activation=nn.ELU)

        def forward(self, x):
            mean, log_variance = self.layers(x.flatten(1)).chunk(2, dim=-1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = stack(CODE, *LAYERS[::-1], 784, activation=nn.ELU)

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    train, test = binarised()
    # it takes the images as they are drawn once
    train = (np.random.default_rng(1).random(train.shape) < train).astype(np.float32)
    torch.manual_seed(0)
    model = VAE(VAEConfig((784,), CODE, reconstruction_loss="bce"), Encoder(), Decoder())
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder, num_epochs=EPOCHS, learning_rate=1e-3, no_cuda=device == "cpu",
            per_device_train_batch_size=BATCH, per_device_eval_batch_size=1000,
        )  # fmt: skip
        start = time.perf_counter()
        TrainingPipeline(training_config=training, model=model)(train_data=train)
        seconds = time.perf_counter() - start
    model.to(device).eval()
    with torch.no_grad():
        return seconds, float(model({"data": torch.from_numpy(test).to(device)}).loss)


CONTENDERS = {
    "plain loop": plain_loop,
    "skvae, float32": lambda device: skvae(OURS | {"precision": "float32"}, device),
    "skvae, auto": lambda device: skvae(OURS, device),
    "skvae, defaults": lambda device: skvae(DEFAULTS, device),
    "pythae": pythae,
}


# -- a mixed table beside TVAE ----------------------------------------------------------


def compare_tvae(arguments):
    """Seconds of a fit and the detection of synthetic rows, TVAE's and ours."""
    train, test = mixed_table(100_000), mixed_table(20_000, seed=1)
    from ctgan import TVAE

    start = time.perf_counter()
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  TVAE draws from the global generator
    theirs = TVAE(epochs=arguments.epochs)
    theirs.fit(train, list(train.select_dtypes(exclude="number")))
    theirs_seconds = time.perf_counter() - start
    report_table("TVAE", theirs_seconds, theirs.sample(len(test)).astype(train.dtypes), test)
    for epochs in (4, 8, 16):
        start = time.perf_counter()
        vae = VAETransformer(**TUNED | {"max_iter": epochs}).fit(train)
        seconds = time.perf_counter() - start
        report_table(f"skvae, {epochs} epochs", seconds, vae.sample(len(test)), test)


def report_table(name, seconds, drawn, test):
    print(f"{name:20}{seconds:9.0f} s, detection {detection(drawn, test):.3f}", flush=True)


def mixed_table(n, seed=0):
    """30 columns of numbers and 20 of categories that follow from 8 codes."""
    world, rng = np.random.default_rng(0), np.random.default_rng([seed, 1])
    codes = rng.normal(size=(n, 8))
    table = {}
    for place in range(30):
        x = np.tanh(codes @ world.normal(size=8)) + 0.3 * rng.normal(size=n)
        table[f"x{place}"] = np.exp(x) if place % 3 == 0 else x
    for place in range(20):
        n_levels = int(world.integers(2, 12))
        scores = 1.5 * codes @ world.normal(size=(8, n_levels)) + rng.gumbel(size=(n, n_levels))
        table[f"c{place}"] = np.array(list("abcdefghijkl"))[scores.argmax(1)]
    return pd.DataFrame(table)


PARTS = {"elbo": compare_elbo, "tvae": compare_tvae}

if __name__ == "__main__":
    main()
