"""Files of models whose description and arrays were changed, and whose hash is right again."""

import copy
import json
import struct

import numpy as np
from safetensors.numpy import load, save

from skvae._files.archive import digest
from skvae._files.kinds import KINDS
from skvae._files.tree import BUILT_IN

KNOWN = [*KINDS, *BUILT_IN, "array", "custom", "VAETransformer", "VAEImputer", "VAEOutlierDetector"]
UNKNOWN = ["os.system", "builtins.eval", "Fitted.__init__", "", "this"]
DEEP = "a list within lists"
DEPTHS = 300, 900, 100_000  # the last is more than the JSON parser accepts
ODD = [
    *(DEEP, None, True, 0, -1, 1, 7, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e308),
    *("", "this", "os.system", "__class__", "nan", "cuda:99", "☃", "a" * 10_000),
    *([], [[]], [1, 2], ["a"], {}, {"kind": "dict", "state": []}, {"state": 1}, {"kind": []}),
    *({"kind": "float", "state": number} for number in ("nan", "inf", "1e999")),
    *({"kind": "array", "name": name} for name in ("array 0", "array 9999")),
    {"kind": "custom", "name": "eval"},
    {"kind": "custom", "name": "eval", "state": {"kind": "dict", "state": [["source", "1"]]}},
    {"kind": "objects", "state": ["<U400000000", [9], list("a" * 9)]},
    {"kind": "objects", "state": ["O", [10**12], [1]]},
    {"kind": "bytes", "state": "xyz"},
    {"kind": "dtype", "state": ["numpy", "V2000000000"]},
    {"kind": "dtype", "state": ["polars", "read_csv", {"source": "a"}]},
    {"kind": "decimal", "state": "1e999999"},
]


def craft(rng, content):
    """The content of a file after a few changes by a ``random.Random``."""
    text, arrays = unpacked(content)
    description = json.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        rng.choice(CHANGES)(rng, description, arrays)
    depth = rng.choice(DEPTHS)
    text = json.dumps(description).replace(json.dumps(DEEP), "[" * depth + "]" * depth)
    return packed(text, arrays)


def unpacked(content):
    """The description in a file, as text, and its arrays."""
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return metadata["description"], load(content)


def packed(text, arrays):
    """The file of a description and of arrays, with their hash."""
    metadata = {"format": "skvae 1", "versions": "{}", "description": text}
    return save(arrays, metadata | {"sha256": digest(metadata, arrays)})


# -- changes of a description and of arrays, in place ---------------------------------


def places(node):
    """The lists and objects within a node, each with its positions or keys."""
    keys = range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ()
    for key in keys:
        yield node, key
        yield from places(node[key])


def any_place(rng, description, wanted=lambda node, key: True):
    found = [(node, key) for node, key in places(description) if wanted(node, key)]
    return rng.choice(found or [([0], 0)])


def odd(rng):
    return copy.deepcopy(rng.choice(ODD))


def replaced(rng, description, arrays):
    node, key = any_place(rng, description)
    node[key] = odd(rng)


def copied(rng, description, arrays):
    (source, its_key), (node, key) = (any_place(rng, description) for _ in range(2))
    node[key] = copy.deepcopy(source[its_key])


def removed(rng, description, arrays):
    node, key = any_place(rng, description)
    del node[key]


def added(rng, description, arrays):
    node, _ = any_place(rng, description)
    if isinstance(node, list):
        node.insert(rng.randrange(len(node) + 1), odd(rng))
    else:
        node[rng.choice(["kind", "state", "name", "more"])] = odd(rng)


def renamed(rng, description, arrays):
    node, key = any_place(rng, description, lambda node, key: key == "kind")
    node[key] = rng.choice(KNOWN + UNKNOWN)


def renumbered(rng, description, arrays):
    node, key = any_place(rng, description, lambda node, key: type(node[key]) in (int, float))
    number = node[key]
    node[key] = rng.choice([-number, number + 1, number * 1000, 10**9, 0, 2**40])


def of_other_numbers(rng, description, arrays):
    if not arrays:
        return
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    ways = [
        lambda: array.astype(rng.choice(["<f2", "<f8", "<i8", "|u1", "|b1"])),
        lambda: array.reshape(-1),
        lambda: array[None],
        lambda: array[:-1] if array.ndim else array,
        lambda: np.concatenate([array, array]) if array.ndim else array,
        lambda: np.full_like(array, rng.choice([0, 1, 100])),
        lambda: array * rng.choice([np.nan, np.inf, 1e30, -1.0]),
        lambda: arrays[rng.choice(sorted(arrays))],
    ]
    arrays[name] = np.asarray(rng.choice(ways)(), order="C")
    if rng.random() < 0.1:
        del arrays[name]


CHANGES = [replaced, copied, removed, added, renamed, renumbered, *2 * [of_other_numbers]]
