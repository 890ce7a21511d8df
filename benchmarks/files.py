"""Files of models under faults: a process that is killed, altered files, and a full disk.

    python benchmarks/files.py [fits kills altered full] [--fits 20] [--kills 50] [--files 2000]

fits     a process that fits with a checkpoint, killed at random instants and started again until it
         ends: whether the weights are those of a fit that was not killed, bit for bit
kills    a process that saves two models in turn to one file, killed at random instants: how often
         the file was the one or the other model, whole
altered  a file cut off, with flipped bytes, with parts of another file, with a larger header, and
         with another description or other arrays whose hash is right: how many of them loaded, with
         the same or with other scores, and the longest time and the most memory of one, in
         processes of their own
full     a limit on the size of files, as of a full disk: the error, and whether the old file stays
"""

import argparse
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from sklearn.datasets import load_wine

import skvae
from skvae import ModelFileError, VAETransformer

sys.path.append(str(Path(__file__).parents[1] / "tests" / "_files"))
from crafted import craft

SEEDS = 0, 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="part")
    parser.add_argument("--fits", type=int, default=20)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, what, *rest = arguments.child
        CHILDREN[what](Path(folder), *rest)
        return
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            model(seed).save(Path(folder, f"{seed}.skvae"))
        for part in arguments.parts or PARTS:
            PARTS[part](Path(folder), arguments)


def model(seed):
    return VAETransformer(2, max_iter=2, random_state=seed).fit(load_wine().data)


def scores(path):
    return skvae.load(path).score_samples(load_wine().data).tobytes()


def child(folder, *what):
    command = [sys.executable, __file__, "--child", *map(str, (folder, *what))]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE)


# -- fits ---------------------------------------------------------------------------


def fits(folder, arguments):
    expected = longer().fit(load_wine().data)
    n_same, n_kills = 0, 0
    for number in range(arguments.fits):
        own = folder / f"fit {number}"
        while True:
            process = child(own, "fit")
            process.stdout.readline()  # it has begun
            try:
                process.wait(random.uniform(0.05, 5))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                n_kills += 1
        found = skvae.load(own / "model.skvae")
        n_same += all(
            bool((tensor == found.module_.state_dict()[name]).all())
            for name, tensor in expected.module_.state_dict().items()
        )
    print(f"fits: {n_same} of {arguments.fits} with the same weights, after {n_kills} kills in all")


def longer(**settings):
    return VAETransformer(2, max_iter=300, early_stopping=False, random_state=0, **settings)


def fit_and_save(folder):
    model = longer(checkpoint=folder)
    print("begun", flush=True)
    model.fit(load_wine().data).save(folder / "model.skvae")


# -- kills --------------------------------------------------------------------------


def kills(folder, arguments):
    path, whole = folder / "model.skvae", {scores(folder / f"{seed}.skvae") for seed in SEEDS}
    n_whole, n_left = 0, 0
    for _ in range(arguments.kills):
        process = child(folder, "save")
        process.stdout.readline()  # it has begun
        time.sleep(random.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        n_whole += scores(path) in whole
        n_left += len(list(folder.glob("*.tmp")))
        for left in folder.glob("*.tmp"):
            left.unlink()
    print(
        f"kills: a whole file after {n_whole} of {arguments.kills}, {n_left} in the middle of one"
    )


def save_in_turn(folder):
    models = [skvae.load(folder / f"{seed}.skvae") for seed in SEEDS]
    models[0].save(folder / "model.skvae")
    print("begun", flush=True)
    while True:
        for one in models:
            one.save(folder / "model.skvae")


# -- altered files ------------------------------------------------------------------


def altered(folder, arguments):
    outcomes, slowest, most = {}, 0.0, 0
    each = -(-arguments.files // len(ALTERATIONS))
    for how in ALTERATIONS:
        process = child(folder, "altered", how, each)
        refused, same, other, seconds, memory = map(float, process.communicate()[0].split())
        outcomes[how] = f"{refused:.0f} refused, {same:.0f} the same model, {other:.0f} another"
        slowest, most = max(slowest, seconds), max(most, memory)
    for how, outcome in outcomes.items():
        print(f"altered, {how}: {outcome}")
    print(f"altered: at most {slowest:.2f} s and {most:.0f} MB more")


def load_altered(folder, how, n):
    warnings.simplefilter("ignore")  # of weights that are not numbers
    rng = random.Random(0)
    content, donor = ((folder / f"{seed}.skvae").read_bytes() for seed in SEEDS)
    expected, path = scores(folder / "0.skvae"), folder / "altered.skvae"
    refused, same, other, slowest = 0, 0, 0, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(int(n)):
        path.write_bytes(ALTERATIONS[how](rng, content, donor))
        start = time.perf_counter()
        try:
            loaded = skvae.load(path)
        except ModelFileError:
            refused += 1
            loaded = None
        slowest = max(slowest, time.perf_counter() - start)
        if loaded is not None:
            found = loaded.score_samples(load_wine().data).tobytes()
            same, other = same + (found == expected), other + (found != expected)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(refused, same, other, slowest, memory / 1024)


def cut(rng, content, donor):
    return content[: rng.randrange(len(content))]


def flipped(rng, content, donor):
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 10])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def spliced(rng, content, donor):
    start, stop = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:start] + donor[start:stop] + content[stop:]


def grown(rng, content, donor):
    """A header of another length, or with numbers that are much larger."""
    (length,) = struct.unpack("<Q", content[:8])
    if rng.random() < 0.5:
        claimed = rng.choice([length + rng.randrange(1, 1000), 2 ** rng.randrange(20, 64) - 1])
        return struct.pack("<Q", claimed) + content[8:]
    header = content[8 : 8 + length]
    digits = [i for i, byte in enumerate(header) if chr(byte).isdigit()]
    at = rng.choice(digits)
    header = header[:at] + b"9" * rng.randrange(1, 12) + header[at:]
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def crafted(rng, content, donor):
    return craft(rng, content)


ALTERATIONS = {
    "cut": cut,
    "flipped": flipped,
    "spliced": spliced,
    "grown": grown,
    "crafted": crafted,
}


# -- a full disk --------------------------------------------------------------------


def full(folder, arguments):
    before = (folder / "0.skvae").read_bytes()
    print("full:", child(folder, "full").communicate()[0].strip(), end=", ")
    left = before == (folder / "0.skvae").read_bytes() and not list(folder.glob("*.tmp"))
    print("the old file is left" if left else "the old file is LOST")


def save_without_room(folder):
    one = skvae.load(folder / "1.skvae")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        one.save(folder / "0.skvae")
    except OSError as error:
        print(type(error).__name__, os.strerror(error.errno))


PARTS = {"fits": fits, "kills": kills, "altered": altered, "full": full}
CHILDREN = {
    "fit": fit_and_save,
    "save": save_in_turn,
    "altered": load_altered,
    "full": save_without_room,
}

if __name__ == "__main__":
    main()
