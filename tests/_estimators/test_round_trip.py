"""A table of any schema comes back: names, dtypes, categories, whole numbers, observed cells."""

from decimal import Decimal
from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skvae import VAETransformer

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
pytestmark = [
    pytest.mark.filterwarnings("ignore:Posterior collapse"),  # of random cells
    pytest.mark.filterwarnings("ignore:Training made the model worse"),
    pytest.mark.filterwarnings("ignore:Training did not improve the model"),
    pytest.mark.filterwarnings("ignore:.*times as large as half of its values"),
]
on_some = settings(derandomize=True, deadline=None, max_examples=20)


def fitted(X, **settings):
    return VAETransformer(2, **QUICK, **settings).fit(X)


# -- schemas ----------------------------------------------------------------------

WORDS = ["mid dle", "", "low", "None", "hïgh", "1"]


def floats(rng, n):
    return [-0.0, *(rng.normal(size=n - 1) * 10.0 ** rng.integers(-4, 5)).tolist()]


def whole(dtype):
    info = np.iinfo(dtype)
    low = max(info.min, info.max - 2**53)  # float64 represents no larger distances

    def draw(rng, n):
        some = rng.integers(max(info.min, -50), min(info.max, 50), size=n).tolist()
        ends = [info.max, low, *rng.integers(low, info.max, size=n, dtype=dtype).tolist()]
        return ends[:n] if rng.random() < 0.3 else some

    return draw


def times(unit, step):
    def draw(rng, n):
        start = np.datetime64(int(rng.integers(-(10**9), 10**9)), "s")
        start = start.astype(f"M8[{step}]").astype(f"M8[{unit}]")
        found = start + rng.integers(-(10**4), 10**4, size=n).astype(f"m8[{step}]")
        return pd.Series(found).astype(f"M8[{unit}]").to_list()

    return draw


def spans(rng, n):
    return [pd.Timedelta(int(number), "s") for number in rng.integers(-(10**6), 10**6, size=n)]


def prices(rng, n):
    return [Decimal(int(number)).scaleb(-2) for number in rng.integers(-(10**6), 10**6, size=n)]


def out_of(levels):
    return lambda rng, n: [levels[at] for at in rng.integers(0, len(levels) - 1, size=n)]


def category(levels, ordered):
    return pd.CategoricalDtype(levels, ordered=ordered)


WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"]
LEVELS = {  # the last is never drawn
    "words": WORDS,
    "numbers": [30, 10, 20],
    "halves": [0.5, 1.5, -1.0],
    "bools": [True, False],
    "spans": list(pd.interval_range(0, 3)),
    "dates": list(pd.date_range("2020-01-01", periods=3)),
}

# how to draw values, their dtype, and whether cells may be missing
PANDAS = {
    **{name: (floats, name, True) for name in ("float32", "float64", "Float32", "Float64")},
    **{name: (whole(name), name, False) for name in WHOLE},
    **{name: (whole(name.lower()), name, True) for name in ("Int8", "UInt16", "Int64")},
    "bool": (out_of([True, False, None]), "bool", False),
    "boolean": (out_of([True, False, None]), "boolean", True),
    "object of bools": (out_of([True, False, None]), object, True),
    "object of ints": (whole("int16"), object, True),
    "object of strings": (out_of(WORDS), object, True),
    "object of decimals": (prices, object, True),
    "dates": (times("ns", "D"), "datetime64[ns]", True),
    "seconds": (times("s", "s"), "datetime64[s]", True),
    "milliseconds in a zone": (times("us", "ms"), "datetime64[us, UTC]", True),
    "timedelta": (spans, "timedelta64[us]", True),
    "periods": (
        lambda rng, n: [pd.Period(when, "D") for when in times("us", "D")(rng, n)],
        "period[D]",
        True,
    ),
    "str": (out_of(WORDS), "str", True),
    "string": (out_of(WORDS), "string", True),
    **{
        f"category of {name}, ordered={ordered}": (out_of(levels), category(levels, ordered), True)
        for (name, levels), ordered in product(LEVELS.items(), [False, True])
    },
}
POLARS = {
    **{str(dtype): (floats, dtype, True) for dtype in (pl.Float32, pl.Float64)},
    **{
        f"{name}, gaps={gaps}": (whole(name.lower()), getattr(pl, name), gaps)
        for name, gaps in product(["Int8", "Int32", "Int64", "UInt8", "UInt64"], [False, True])
    },
    "Boolean": (out_of([True, False, None]), pl.Boolean, True),
    "String": (out_of(WORDS), pl.String, True),
    "Categorical": (out_of(WORDS), pl.Categorical, True),
    "Enum": (out_of(WORDS), pl.Enum(WORDS), True),
    "Date": (times("us", "D"), pl.Date, True),
    "Datetime": (times("us", "s"), pl.Datetime("ms"), True),
    "Datetime in a zone": (times("us", "h"), pl.Datetime("us", "Asia/Tokyo"), True),
    "Duration": (spans, pl.Duration("ns"), True),
    "Decimal": (prices, pl.Decimal(12, 2), True),
}
NAMES = ["a", "", " b", "*", "^x.*$", "dtype", "columns", "index", "toarray", "☃", "a.b", "0"]
INDEXES = {
    "range": pd.RangeIndex,
    "numbers": lambda n: pd.Index(np.arange(n)[::-1] * 3, name="who"),
    "repeated": lambda n: pd.Index(np.arange(n) // 2),
    "strings": lambda n: pd.Index([f"row {i}" for i in range(n)]),
    "dates": lambda n: pd.date_range("2020-01-01", periods=n),
    "two levels": lambda n: pd.MultiIndex.from_product([range((n + 1) // 2), list("ab")])[:n],
}


def cells(kind, n, seed):
    """Values and the dtype of a column, some of them missing, at least one not."""
    draw, dtype, may_miss = kind
    rng = np.random.default_rng(seed)
    values = draw(rng, n)
    if may_miss:
        missing = rng.random(n) < rng.choice([0, 0.3, 0.8])
        missing[rng.integers(n)] = False
        values = [None if gone else value for value, gone in zip(values, missing, strict=True)]
    return values, dtype


def schemas(kinds):
    """Numbers of rows, and columns: names, kinds and seeds."""
    column = st.tuples(st.sampled_from(NAMES), st.sampled_from(list(kinds)), st.integers(0, 999))
    columns = st.lists(column, min_size=1, max_size=7, unique_by=lambda one: one[0])
    return st.tuples(st.integers(4, 12), columns)


def check_schema(result, frame, n):
    """The dtypes, and values that the frame could hold."""
    assert list(result.columns) == list(frame.columns)
    assert list(result.dtypes) == list(frame.dtypes)
    assert len(result) == n
    for name in frame.columns:
        dtype, found, seen = frame[name].dtype, list(present(result[name])), set(frame[name])
        assert len(found) == n
        if isinstance(dtype, pd.CategoricalDtype):  # which compare without their order
            assert result[name].dtype.categories.equals(dtype.categories)
        types = {type(value) for value in present(frame[name])}
        if isinstance(dtype, pd.CategoricalDtype) or str in types:
            assert seen.issuperset(found)
        if types & {str, bool, int}:  # where objects have no dtype that tells it
            assert {type(value) for value in found} <= types


def present(series):
    return (v for v in series.to_list() if not pd.isna(v))


def check_observed(result, frame):
    """Observed cells to the last bit, the sign of zero included."""
    for name in frame.columns:
        for after, before in zip(result[name].to_list(), frame[name].to_list(), strict=True):
            if not pd.isna(before):
                assert after == before
                assert repr(after)[0] == repr(before)[0]


def check_round_trip(frame, index):
    n = len(frame)
    vae = fitted(frame)
    codes = vae.transform(frame)
    known = known_cells(frame)
    whole_table = [
        vae.reconstruct(frame),
        vae.inverse_transform(codes),
        vae.impute(frame),
        *vae.impute(frame, n_imputations=2, random_state=0),
        vae.sample(given=frame, random_state=0),
    ]
    for result in whole_table:
        check_schema(result, frame, n)
    for result in (whole_table[0], *whole_table[2:5]):
        index(result)
    for result in whole_table[2:5]:
        check_observed(result, frame)
    check_schema(vae.sample(9, random_state=0), frame, 9)
    drawn = vae.sample(3, given=known, random_state=0)
    check_schema(drawn, frame, 3)
    for name, value in known.items():
        assert drawn[name].to_list() == 3 * [value]
    assert np.isfinite(codes).all()
    assert np.isfinite(vae.score_samples(frame)).all()


def known_cells(frame):
    """A value of every other column, as ``given`` takes them."""
    return {name: next(present(frame[name])) for name in list(frame.columns)[::2]}


@on_some
@given(schemas(PANDAS), st.sampled_from(list(INDEXES)), st.booleans())
def test_pandas(schema, kind_of_index, named):
    n, columns = schema
    index = INDEXES[kind_of_index](n)
    series = [
        pd.Series(values, index=index, dtype=dtype)
        for values, dtype in (cells(PANDAS[kind], n, seed) for _, kind, seed in columns)
    ]
    frame = pd.concat(series, axis=1)
    frame.columns = [name for name, _, _ in columns] if named else range(len(columns))
    before = frame.copy(deep=True)

    def same_index(result):
        assert result.index.equals(index)
        assert result.index.names == index.names

    check_round_trip(frame, same_index)
    pd.testing.assert_frame_equal(frame, before, check_exact=True)


@on_some
@given(schemas(POLARS))
def test_polars(schema):
    n, columns = schema
    frame = pl.DataFrame(
        [
            # polars casts no series of dates whose name is a regular expression
            pl.Series("x", *cells(POLARS[kind], n, seed), strict=False).alias(name)
            for name, kind, seed in columns
        ]
    )
    check_round_trip(frame, lambda result: None)


# -- whole numbers that float64 rounds --------------------------------------------

BIG = 2**53 + 1


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"id": np.arange(BIG, BIG + 9), "x": [None, *range(8)]}, index=[4] * 9),
        pl.DataFrame({"id": np.arange(BIG, BIG + 9), "x": [None, *range(8)]}),
        pd.DataFrame({"id": [BIG, None] * 4, "x": range(8)}, dtype="Int64"),
        pl.DataFrame({"id": [2**64 - 1, None] * 4}, schema={"id": pl.UInt64}),
    ],
)
def test_impute_keeps_whole_numbers_that_float64_rounds(frame):
    vae = fitted(frame)
    for completed in (vae.impute(frame), *vae.impute(frame, n_imputations=2, random_state=0)):
        check_schema(completed, frame, len(frame))
        check_observed(completed, frame)


def test_whole_numbers_beyond_float64_lie_on_their_grid():
    seconds = np.arange(1_700_000_000, 1_700_000_040)
    nanoseconds = pd.DataFrame({"t": seconds * 10**9, "x": seconds % 7})
    vae = fitted(nanoseconds)
    drawn = vae.sample(5, random_state=0)["t"]
    assert drawn.dtype == "int64"
    assert drawn.between(1.69e18, 1.71e18).all()
    assert not (drawn % 10**9).any()
    known = vae.sample(given={"t": 1_700_000_000_000_000_001}, random_state=0)
    assert known["t"][0] == 1_700_000_000_000_000_001
