"""A small table and a small model, which the tests of callbacks share."""

from sklearn.datasets import load_digits

from skvae import VAETransformer

DIGITS, LABELS = (part[:200] for part in load_digits(return_X_y=True))


def vae(**parameters):
    settings = {"hidden_layer_sizes": (16,), "max_iter": 6, "random_state": 0}
    return VAETransformer(**settings | parameters)
