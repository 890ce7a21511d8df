"""One table in arrays and data frames of several libraries, and what is refused in them."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae import VAETransformer

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
pytestmark = [
    pytest.mark.filterwarnings("ignore:Posterior collapse"),  # of random cells
    pytest.mark.filterwarnings("ignore:Training made the model worse"),
    pytest.mark.filterwarnings("ignore:Training did not improve the model"),
    pytest.mark.filterwarnings("ignore:.*times as large as half of its values"),
]


def fitted(X, **settings):
    return VAETransformer(2, **QUICK, **settings).fit(X)


WORDS = ["mid dle", "", "low", "None", "hïgh", "1"]


# -- one table in many containers -------------------------------------------------

rng = np.random.default_rng(0)
N = 40
NUMBERS = rng.normal(size=(N, 3)).astype(np.float32).astype(float)
NUMBERS[rng.random((N, 3)) < 0.1] = np.nan
COLUMNS = {
    "real": NUMBERS[:, 0].tolist(),
    "count": rng.integers(0, 50, size=N).tolist(),
    "yes": (np.arange(N) % 2 == 0).tolist(),
    "word": [WORDS[i] if i < 4 else None for i in rng.integers(0, 5, size=N)],
}
MIXED = pd.DataFrame(COLUMNS)


def state(vae):
    return {name: tensor.numpy() for name, tensor in vae.module_.state_dict().items()}


def assert_same_state(one, other):
    assert list(one.likelihoods_.values()) == list(other.likelihoods_.values())
    one, other = state(one), state(other)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(
    "X",
    [
        NUMBERS.astype(np.float32),
        NUMBERS.tolist(),
        NUMBERS.astype(object),
        np.where(np.isnan(NUMBERS), None, NUMBERS),
        pd.DataFrame(NUMBERS, columns=list("abc"), index=np.arange(N) % 3),
        pd.DataFrame(NUMBERS).convert_dtypes(),
        pl.DataFrame(NUMBERS, schema=list("abc")),
        pl.DataFrame(NUMBERS, schema=list("abc")).fill_nan(None),
        pl.DataFrame(NUMBERS, schema=dict.fromkeys("abc", pl.Float32)),
    ],
)
def test_the_container_of_numbers_does_not_matter(X):
    assert_same_state(fitted(X), fitted(NUMBERS))


ORDER = rng.permutation(N)
TABLES = {
    "polars": pl.DataFrame(COLUMNS),
    "objects": MIXED.astype(object).to_numpy(),
    "list": MIXED.to_numpy(object).tolist(),
    "object column": MIXED.astype({"word": object}),
    "category": MIXED.astype({"word": "category"}),
    "nullable": MIXED.convert_dtypes(),
    "narrow": MIXED.astype({"count": "uint8"}),
    "Enum": pl.DataFrame(COLUMNS).cast({"word": pl.Enum(sorted(WORDS))}),
    "Categorical": pl.DataFrame(COLUMNS).cast({"word": pl.Categorical}),
    "repeated": pd.concat([MIXED, MIXED]),
    "other order": MIXED.iloc[ORDER],
    "Categorical in other order": pl.DataFrame(COLUMNS)[ORDER].cast({"word": pl.Categorical}),
}


@pytest.mark.parametrize("X", TABLES.values(), ids=TABLES)
def test_the_container_of_mixed_columns_does_not_matter(X):
    assert_same_state(fitted(X), fitted(MIXED))


@pytest.mark.parametrize("X", [pd.DataFrame(NUMBERS, columns=list("abc")), MIXED])
def test_arrays_and_frames_serve_for_each_other(X):
    array = X.to_numpy()
    of_frame, of_array = fitted(X), fitted(array)
    for vae, other, message in (
        (of_frame, array, "X does not have valid feature names"),
        (of_array, X, "X has feature names, but"),
    ):
        with pytest.warns(UserWarning, match=message):
            codes = vae.transform(other)
        np.testing.assert_array_equal(codes, of_frame.transform(X))
        with pytest.warns(UserWarning, match=message):
            completed = vae.impute(other)
        assert isinstance(completed, pd.DataFrame if vae is of_frame else np.ndarray)
        rows = completed if vae is of_array else completed.to_numpy(object)
        assert rows.tolist() == of_frame.impute(X).to_numpy(object).tolist()


def test_an_array_of_objects_comes_back_as_one():
    X = MIXED.astype(object).to_numpy()
    vae = fitted(X)
    for table in (vae.reconstruct(X), vae.impute(X), vae.sample(N, random_state=0)):
        assert table.dtype == object
        assert [type(cell) for cell in table[0]] == [float, int, bool, str]
        assert set(table[:, 3]) <= set(WORDS[:4])
    given_word = vae.sample(5, given={3: "low", 2: True}, random_state=0)
    assert given_word[:, 2:].tolist() == [[True, "low"]] * 5


# -- values that training has not seen --------------------------------------------


@pytest.mark.parametrize("table", [MIXED, TABLES["category"], TABLES["polars"], TABLES["Enum"]])
def test_an_unknown_category_counts_as_missing(table):
    vae, strange, gone = fitted(table), MIXED.copy(), MIXED.copy()
    strange.loc[3, "word"], gone.loc[3, "word"] = "strange", None
    if isinstance(table, pl.DataFrame):
        strange, gone = pl.from_pandas(strange), pl.from_pandas(gone)
    message = "Column 'word' holds values that .* count as missing: 'strange'"
    for method in (vae.transform, vae.score_samples, vae.impute):
        with pytest.warns(UserWarning, match=message):
            found = method(strange)
        expected = method(gone)
        if isinstance(found, np.ndarray):
            np.testing.assert_array_equal(found, expected)
        else:
            assert found.equals(expected)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"word": "strange"}, r"Column 'word' holds 'strange', .* not seen\. Its values are \['"),
        ({"word": 3}, "Column 'word' holds 3, which training has not seen"),
        ({"other": 3}, "'given' names 'other', but the columns are"),
        ({"count": "3"}, "Column 'count' holds the string '3'"),
        ({"count": 2.5}, "Column 'count' holds 2.5, but in training it held whole values"),
        ({"yes": 0.3}, "Column 'yes' holds 0.3, but in training it held bool values"),
        ({"real": np.inf}, "infinity"),
        ({"real": {}}, "Column 'real' holds {}, a dict"),
        (MIXED.assign(word="strange"), "Column 'word' holds 'strange'"),
        (pl.DataFrame({"word": ["strange"]}), "Column 'word' holds 'strange'"),
        ([[None, None, None, "strange"]], "Column 'word' holds 'strange'"),
    ],
)
def test_given_values_must_be_possible_in_their_column(known, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(MIXED).sample(2, given=known)


# -- what is refused --------------------------------------------------------------

OK = [0.5, 1.5, 2.5]
REFUSED = {
    "dates": (pd.Series([pd.Timestamp(0)] * 3, dtype=object), "'x' holds Timestamp"),
    "NaTs": (pd.to_datetime([None] * 3), "'x' holds no value in any row"),
    "ids": ([2**60, 1, 5], "'x' holds whole numbers from 1 to 1152921504606846976"),
    "NaT": (pd.Series([1.0, pd.NaT, 2.0], dtype=object), "'x' holds NaT"),
    "strings and numbers": (["a", 1, 2], "'x' mixes strings"),
    "dicts": ([{}, {}, {}], r"'x' holds \{\}, a dict"),
    "bytes": ([b"a", b"b", b"c"], "'x' holds b'a', a bytes"),
    "complex": ([1j, 2, 3], "'x' holds 1j"),
    "infinity": ([1.0, np.inf, 2.0], "infinity"),
    "nothing": ([np.nan] * 3, "'x' holds no value in any row"),
    "no strings": (pd.Series([None] * 3, dtype="str"), "'x' holds no value in any row"),
    "no categories": (pd.Categorical([None] * 3, ["a"]), "'x' holds no value in any row"),
    "no bools": (pd.Series([None] * 3, dtype="boolean"), "'x' holds no value in any row"),
    "no objects": (pd.Series([None] * 3, dtype=object), "'x' holds no value in any row"),
}


@pytest.mark.parametrize(("x", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("warm", [False, True])
def test_a_column_that_is_refused_is_named_and_the_estimator_unchanged(x, message, warm):
    vae = fitted(MIXED) if warm else VAETransformer(2, **QUICK)
    before = dict(vars(vae))
    with pytest.raises((ValueError, TypeError), match=message):
        vae.fit(pd.DataFrame({"ok": OK, "x": x}))
    assert vars(vae).keys() == before.keys()
    assert all(vars(vae)[name] is value for name, value in before.items())


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (pl.Time, "'x' has dtype Time"),
        (pl.Date, "'x' holds no value in any row"),
        (pl.Duration, "'x' holds no value in any row"),
        (pl.List(pl.Int8), "'x' has dtype List"),
        (pl.Null, "'x' holds no value in any row"),
        (pl.Int8, "'x' holds no value in any row"),
        (pl.String, "'x' holds no value in any row"),
    ],
)
def test_a_column_of_polars_that_is_refused_is_named(dtype, message):
    frame = pl.DataFrame({"ok": OK, "x": [None] * 3}, schema={"ok": pl.Float64, "x": dtype})
    with pytest.raises(ValueError, match=message):
        fitted(frame)


def test_later_tables_are_refused_likewise():
    vae = fitted(MIXED)
    before = copy.deepcopy(state(vae))
    for column, values, message in (
        ("real", pd.to_datetime(["2020-01-01"] * N), "'real' has dtype datetime64"),
        ("real", "a", "'real' holds the string 'a'"),
        ("count", [{}] * N, "'count' holds {}, a dict"),
        ("real", np.inf, "infinity"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            vae.partial_fit(MIXED.assign(**{column: values}))
    for name, value in state(vae).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (MIXED[:0], r"Found array with 0 sample\(s\) \(shape=\(0, 4\)\) while a minimum of"),
        (MIXED[[]], r"Found array with 0 feature\(s\) \(shape=\(40, 0\)\) while a minimum of"),
        (TABLES["polars"][:0], r"Found array with 0 sample\(s\) \(shape=\(0, 4\)\)"),
        (TABLES["objects"][:0], r"Found array with 0 sample\(s\) \(shape=\(0, 4\)\)"),
        (TABLES["objects"][:, :0], r"Found array with 0 feature\(s\) \(shape=\(40, 0\)\)"),
    ],
)
def test_empty_tables_raise_the_errors_of_scikit_learn(X, message):
    with pytest.raises(ValueError, match=message):
        fitted(X)


# -- gaps -------------------------------------------------------------------------


def test_rows_without_a_value_are_rows():
    gaps = MIXED.convert_dtypes()
    gaps.loc[[0, 7]] = pd.NA
    for vae in (fitted(MIXED), fitted(gaps)):
        codes, completed = vae.transform(gaps), vae.impute(gaps)
        assert np.isfinite(codes).all()
        np.testing.assert_array_equal(codes[0], codes[7])
        assert completed.notna().all(axis=None)
        assert completed.loc[0].equals(completed.loc[7])
        # they tell nothing of the code, and nothing was there to be likely
        np.testing.assert_allclose(vae.score_samples(gaps)[[0, 7]], 0, atol=0.05)
        one, other = vae.impute(gaps, n_imputations=2, random_state=0)
        assert not one.loc[[0, 7]].equals(other.loc[[0, 7]])


def test_whole_columns_of_floats_are_filled_with_whole_numbers():
    # an int column with gaps is one of floats in pandas
    whole = MIXED[["count"]].assign(x=NUMBERS[:, 1])
    vae, gaps = fitted(whole), whole.astype(float)
    gaps.loc[::3, "count"] = np.nan
    completed = vae.impute(gaps)
    assert completed["count"].dtype == "int64"
    there = gaps["count"].notna()
    assert (completed["count"][there] == gaps["count"][there]).all()
    with pytest.raises(ValueError, match=r"'count' holds 0\.5, but in training it held whole"):
        vae.impute(gaps.assign(count=0.5))
