"""Models of tables with a column of more levels than have outputs of their own."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from skvae import VAETransformer
from skvae.likelihoods import Categorical

N_PRODUCTS, N_ROWS = 1200, 4000


def sales():
    """The price of a row is that of its product, up to noise."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, N_PRODUCTS + 1)
    drawn = rng.choice(N_PRODUCTS, N_ROWS - N_PRODUCTS, p=share / share.sum())
    product = np.r_[np.arange(N_PRODUCTS), drawn]
    price = rng.normal(size=N_PRODUCTS)[product] + 0.1 * rng.normal(size=N_ROWS)
    names = np.char.add("product ", product.astype(str)).astype(object)
    return pd.DataFrame({"product": names, "price": price})


@pytest.fixture(scope="module")
def table():
    return sales()


@pytest.fixture(scope="module")
def vae(table):
    settings = {"hidden_layer_sizes": (32,), "max_iter": 25, "early_stopping": False}
    return VAETransformer(1, **settings, learning_rate="cosine", random_state=0).fit(table)


def test_the_networks_are_small(vae):
    assert vae.likelihoods_["product"] == Categorical()
    assert max(max(p.shape) for p in vae.module_.parameters()) < 600


def test_products_and_prices_predict_each_other(vae, table):
    rows = table[N_PRODUCTS : N_PRODUCTS + 100]
    price = vae.predict_column(rows.assign(price=np.nan), "price")
    assert np.corrcoef(price, rows["price"])[0, 1] > 0.9
    scores = vae.score_samples(rows) - vae.score_samples(rows.assign(product=None))
    log_share = np.log(table["product"].value_counts(normalize=True)[rows["product"]])
    assert scores.mean() > log_share.mean() + 0.5


def test_masses_of_all_levels_are_those_of_the_scores(vae, table):
    row = table[:1]
    probability = vae.predict_column_proba(row, "product")
    assert probability.shape == (1, N_PRODUCTS)
    np.testing.assert_allclose(probability.sum(), 1)
    levels = vae.categories_["product"]
    assert vae.predict_column(row, "product") == levels[probability.argmax()]
    assert vae.impute(row.assign(product=None))["product"][0] == levels[probability.argmax()]
    some = np.argsort(-probability[0])[:3]
    each = pd.DataFrame({"product": levels[some], "price": row["price"].iloc[0]})
    known = vae.score_samples(each) - vae.score_samples(row.assign(product=None))
    np.testing.assert_allclose(known, np.log(probability[0, some]), atol=0.05)


def test_rows_come_back(vae, table):
    new = vae.sample(500, random_state=0)
    assert new["product"].isin(table["product"]).all()
    assert (new["product"] == "product 0").mean() > 0.05
    given = pd.DataFrame({"product": ["product 3", None], "price": [np.nan, 1.0]})
    drawn = vae.sample(4, given=given, random_state=0)
    assert (drawn["product"][:4] == "product 3").all()
    assert (drawn["price"][4:] == 1.0).all()
    decoded = vae.inverse_transform(vae.transform(table[:50]))
    assert decoded["product"].isin(table["product"]).all()
    again = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(again.transform(table), vae.transform(table))


def test_missing_and_unseen_products(vae, table):
    rows = table[:3].assign(product=["product 1", "unheard of", None])
    with pytest.warns(UserWarning, match="count as missing: 'unheard of'"):
        codes = vae.transform(rows)
    np.testing.assert_allclose(codes[1:], vae.transform(rows.assign(product=None))[1:])
    continued = copy.deepcopy(vae).partial_fit(table[:1000])
    assert np.isfinite(continued.transform(table)).all()


def test_keys_still_warn(table):
    with pytest.warns(UserWarning, match="Column 'product' holds 1200 different categories"):
        VAETransformer(1, hidden_layer_sizes=4, max_iter=1).fit(table[:N_PRODUCTS])
