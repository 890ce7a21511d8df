"""Any sequence of calls: what is refused changes nothing, and copies behave as their original."""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import skvae
from skvae import VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore")  # of fits of few rows and few epochs

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 2)) @ RNG.normal(size=(2, 3)) + 0.1 * RNG.normal(size=(24, 3))
TABLES = {"numbers": X, "gaps": np.where(RNG.random(X.shape) < 0.2, np.nan, X), "far": 10 * X + 5}
INFINITE, NARROW = np.where(X > 1, np.inf, X), X[:, :2]
SMALL = {"hidden_layer_sizes": 4, "early_stopping": False, "random_state": 0}
VALID = {
    "max_iter": [1, 2, 3],
    "n_components": [1, 2],
    "warm_start": [False, True],
    "beta": [1.0, 2.0],
    "batch_size": ["auto", 8],
}
INVALID = {"max_iter": 0, "n_components": -1, "beta": "two", "batch_size": 0.5}
one_of_valid = st.sampled_from([(name, value) for name in VALID for value in VALID[name]])


def save_and_load(vae):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        vae.save(path)
        return skvae.load(path)


COPIES = {"pickle": lambda vae: pickle.loads(pickle.dumps(vae)), "file": save_and_load}
USES = {
    "transform": lambda vae, X: vae.transform(X),
    "score_samples": lambda vae, X: vae.score_samples(X, n_importance=8),
    "sample": lambda vae, X: vae.sample(len(X), random_state=0),
}


class Calls(RuleBasedStateMachine):
    """A model, and its twin, which is copied now and then."""

    def __init__(self):
        super().__init__()
        self.vae = VAETransformer(**SMALL, max_iter=1)
        self.twin = clone(self.vae)
        self.n_iter = 0
        self.n_components = None  # of the fit
        self.results = None

    @property
    def both(self):
        return self.vae, self.twin

    @property
    def is_fitted(self):
        return self.n_iter > 0

    @property
    def is_valid(self):
        parameters = self.vae.get_params()
        return all(parameters[name] in values for name, values in VALID.items())

    def train(self, call, n_iter, *, continues):
        """Call a method of both, which is refused if the parameters do not allow it."""
        kept = not continues or self.vae.n_components == self.n_components
        if not (self.is_valid and kept):
            for one in self.both:
                with pytest.raises(ValueError, match=r"must be|cannot continue"):
                    call(one)
            return
        for one in self.both:
            call(one)
        self.n_iter, self.n_components = n_iter, self.vae.n_components
        self.results = self.results_of(self.vae)

    def results_of(self, vae):
        arrays = [tensor.numpy().copy() for tensor in vae.module_.state_dict().values()]
        return arrays + [use(vae, X) for use in USES.values()]

    # -- calls ------------------------------------------------------------------------

    @rule(table=st.sampled_from(sorted(TABLES)))
    def fit(self, table):
        continues = self.is_fitted and self.vae.warm_start
        n_iter = max(self.n_iter, self.vae.max_iter) if continues else self.vae.max_iter
        self.train(lambda vae: vae.fit(TABLES[table]), n_iter, continues=continues)

    @rule(table=st.sampled_from(sorted(TABLES)))
    def partial_fit(self, table):
        n_iter = self.n_iter + 1
        self.train(lambda vae: vae.partial_fit(TABLES[table]), n_iter, continues=self.is_fitted)

    @rule(parameter=one_of_valid)
    def set_valid_parameter(self, parameter):
        for one in self.both:
            one.set_params(**dict([parameter]))

    @rule(name=st.sampled_from(sorted(INVALID)))
    def set_invalid_parameter(self, name):
        for one in self.both:
            one.set_params(**{name: INVALID[name]})

    @rule()
    def set_unknown_parameter(self):
        with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
            self.vae.set_params(depth=2)

    @rule()
    def clone(self):
        copied = clone(self.vae)
        assert copied.get_params() == self.vae.get_params()
        with pytest.raises(NotFittedError):
            copied.transform(X)

    @precondition(lambda self: self.is_fitted)
    @rule(how=st.sampled_from(sorted(COPIES)))
    def copy(self, how):
        self.twin = COPIES[how](self.twin)

    # -- refused calls ------------------------------------------------------------------

    @rule(method=st.sampled_from(["fit", "partial_fit"]))
    def train_on_infinite_numbers(self, method):
        with pytest.raises(ValueError, match=r"infinity|must be"):
            getattr(self.vae, method)(INFINITE)

    @precondition(lambda self: self.is_fitted)
    @rule(method=st.sampled_from(["partial_fit", "transform", "score_samples"]))
    def use_other_columns(self, method):
        with pytest.raises(ValueError, match=r"has 2 features, but|must be|cannot continue"):
            getattr(self.vae, method)(NARROW)

    @precondition(lambda self: self.is_fitted)
    @rule(method=st.sampled_from(["transform", "score_samples"]))
    def use_infinite_numbers(self, method):
        with pytest.raises(ValueError, match="infinity"):
            getattr(self.vae, method)(INFINITE)

    @precondition(lambda self: not self.is_fitted)
    @rule(use=st.sampled_from(sorted(USES)))
    def use_before_fit(self, use):
        with pytest.raises(NotFittedError):
            USES[use](self.vae, X)
        with pytest.raises(NotFittedError):
            self.vae.save("model")

    # -- what holds after each call -----------------------------------------------------

    @invariant()
    def an_unfitted_model_has_its_parameters_only(self):
        if not self.is_fitted:
            assert vars(self.vae) == self.vae.get_params()

    @invariant()
    def both_have_the_results_of_the_last_fit(self):
        for one in self.both if self.is_fitted else ():
            assert one.n_iter_ == self.n_iter == len(one.loss_curve_)
            assert one.n_components_ == self.n_components
            for found, expected in zip(self.results_of(one), self.results, strict=True):
                np.testing.assert_array_equal(found, expected)

    @invariant()
    def both_have_the_same_parameters(self):
        assert self.vae.get_params() == self.twin.get_params()


Calls.TestCase.settings = settings(
    derandomize=True, deadline=None, max_examples=40, stateful_step_count=20
)
TestCalls = Calls.TestCase
