"""What all displays share: the axes, and the fitted model inside an estimator."""

from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skvae._estimators.transformer import VAETransformer

NAME_LENGTH = 24  # characters of a column's name in a picture


def pyplot():
    """``matplotlib.pyplot``. Raises ImportError where matplotlib is not installed."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Displays need matplotlib: pip install "skvae[plots]"') from error
    return plt


def given_or_new_axes(ax, figsize):
    """``ax``, or the axes of a new figure if it is None."""
    plt = pyplot()
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not isinstance(ax, plt.Axes):
        raise TypeError(
            f"'ax' must be one matplotlib Axes or None; got a {type(ax).__name__}. Pass a single "
            "element of the array that plt.subplots returns."
        )
    return ax


def colour_limits(low, high, kwargs):
    """``vmin`` and ``vmax`` for matplotlib, unless the caller's keywords hold a ``norm``."""
    return {} if "norm" in kwargs else {"vmin": low, "vmax": high}


def fitted_model(estimator):
    """The fitted VAETransformer inside a search or at the end of a pipeline."""
    if isinstance(estimator, Pipeline):
        return fitted_model(estimator[-1])
    if hasattr(estimator, "best_estimator_"):
        return fitted_model(estimator.best_estimator_)
    if isinstance(estimator, VAETransformer):
        check_is_fitted(
            estimator, msg="'estimator' must be fitted; got an unfitted %(name)s. Call fit first."
        )
        return estimator
    if hasattr(estimator, "refit"):
        raise NotFittedError(
            f"'estimator' must be a search that has a best_estimator_; got {estimator!r}. Fit it "
            "with refit=True."
        )
    raise TypeError(
        "'estimator' must be a fitted VAETransformer, a Pipeline that ends in one, or a search "
        f"over either; got {estimator!r}. Of a VAEImputer or a VAEOutlierDetector, pass "
        "estimator_."
    )


def apply_steps(estimator, X):
    """Rows of the estimator as rows of the model: the steps before the model."""
    if hasattr(estimator, "best_estimator_"):
        return apply_steps(estimator.best_estimator_, X)
    if isinstance(estimator, Pipeline):
        before = estimator[:-1].transform(X) if len(estimator) > 1 else X
        return apply_steps(estimator[-1], before)
    return X


def undo_steps(estimator, rows):
    """Rows of the model as rows of the estimator: the inverse of the steps before the model."""
    if hasattr(estimator, "best_estimator_"):
        return undo_steps(estimator.best_estimator_, rows)
    if isinstance(estimator, Pipeline):
        rows = undo_steps(estimator[-1], rows)
        return estimator[:-1].inverse_transform(rows) if len(estimator) > 1 else rows
    return rows


def shorten(name, length=NAME_LENGTH):
    """The name of a column, without its middle if it is long."""
    name, half = str(name), (length - 1) // 2
    return name if len(name) <= length else f"{name[:half]}…{name[-half:]}"
