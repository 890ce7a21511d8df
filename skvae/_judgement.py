"""Judge a fit by the bounds of rows before and after training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from skvae._fitted import Fitted
from skvae._floats import float_errors_ignored
from skvae._torch.random import derive, generator_from
from skvae._torch.runtime import torch_runtime
from skvae._training.bounds import MeanBound
from skvae._training.history import History
from skvae._training.plan import Plan
from skvae._training.rows import Rows

# Mean KL divergence, in nats, below which a component carries no information.
UNUSED = 0.01
# Training has failed if the mean bound fell by more than this, in nats. The noise of a mean of few
# rows is smaller.
LOST = 1.0
# The rows whose bounds change most are not used to judge training: this share of the rows, and at
# least a few if that is at most a tenth. A warning names at most MOST_NAMED of them.
EXTREME_SHARE, FEW_EXTREME, MOST_NAMED = 0.01, 3, 3


def retreats(epochs: list[int], parameters: Any) -> tuple[str, type[Warning]] | None:
    """The message and category of a warning about epochs that diverged; None if there are none."""
    if not epochs:
        return None
    times = "once" if len(epochs) == 1 else f"{len(epochs)} times"
    return (
        f"Training diverged {times}, in epochs {sorted(set(epochs))}: the loss, a weight or the "
        "validation score was not finite. It went back to the weights before and continued at a "
        "fifth of the learning rate each time. Lower learning_rate_init="
        f"{parameters.learning_rate_init}, or look for outliers in the rows.",
        ConvergenceWarning,
    )


def no_gain(history: History, parameters: Any) -> tuple[str, type[Warning]] | None:
    """The message and category of a warning that all epochs lost; None if one did not.

    The weights from before them are kept with early stopping only. If training had two phases, it
    is silent where the second lost and the first had higher scores, which may not be comparable.
    """
    best, scores = history.best_validation_score, history.validation_scores
    if not parameters.early_stopping or best is None or not scores or max(scores) >= best - LOST:
        return None
    return (
        "Training did not improve the model, which has the weights from before it: the validation "
        f"score was {best - max(scores):.3g} nats per row lower after the best epoch. Lower "
        f"learning_rate_init={parameters.learning_rate_init}, or raise "
        f"max_iter={parameters.max_iter} if the loss was still falling.",
        ConvergenceWarning,
    )


class Judgement:
    """Some rows, and their bounds before training.

    Parameters
    ----------
    fitted : Fitted
        The model before training.
    rows : Rows
    plan : Plan
        Its objective is the bound.
    is_held_out : bool
        Whether the rows are those for validation.
    """

    def __init__(self, fitted: Fitted, rows: Rows, plan: Plan, is_held_out: bool) -> None:
        self.fitted, self.rows, self.plan, self.is_held_out = fitted, rows, plan, is_held_out
        self.before = self._bounds()

    def _bounds(self) -> NDArray[np.float64]:
        """The bound of each row that training maximises, with the same noise at every call."""
        fitted = self.fitted
        with torch_runtime(fitted.device):
            generator = generator_from(derive(fitted.seed, "sample bound"), fitted.device)
            bound = MeanBound(fitted.module, self.rows, self.plan, generator).of_rows()
            found: NDArray[np.float64] = bound.cpu().numpy()
            return found

    def problem(
        self, parameters: Any, *, n_rows: int, validation: str
    ) -> tuple[str, type[Warning]] | None:
        """The message and category of a warning about the trained model; None if it is sound.

        Parameters
        ----------
        parameters
            The parameters of the estimator.
        n_rows : int
            Number of rows.
        validation : str
            The name of the argument that holds the rows for validation.
        """
        return problem(
            self.before,
            self._bounds(),
            self.rows,
            self.fitted.kl_divergence,
            parameters,
            n_rows=n_rows,
            table=validation if self.is_held_out else "X",
        )


def problem(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    rows: Rows,
    kl_divergence: NDArray[np.float64],
    parameters: Any,
    *,
    n_rows: int,
    table: str,
) -> tuple[str, type[Warning]] | None:
    """The message and category for bounds (n,) before and after training, of rows of a table."""
    share = rows.share.cpu().numpy()
    with float_errors_ignored("invalid"):  # a bound may be infinite
        gains = after - before
        is_extreme = extreme(gains)
        gain, usual_gain = share @ gains, np.average(gains[~is_extreme], weights=share[~is_extreme])
    if not usual_gain >= -LOST:  # also if the bound is not a number
        return (
            "Training made the model worse than it was: the bound that it maximises fell by "
            f"{-usual_gain:.3g} nats per row. Lower learning_rate_init="
            f"{parameters.learning_rate_init}, or raise max_iter={parameters.max_iter} if the loss "
            "was still falling.",
            ConvergenceWarning,
        )
    if n_rows > 1 and kl_divergence.max() < UNUSED:
        return (
            "Posterior collapse: the codes carry no information about the rows, since the KL "
            "divergence of no component exceeds "
            f"{UNUSED} nats. If the columns depend on each other, lower beta={parameters.beta} or "
            f"learning_rate_init={parameters.learning_rate_init}, or raise "
            f"n_draws={parameters.n_draws} or max_iter={parameters.max_iter}.",
            ConvergenceWarning,
        )
    if not gain >= -LOST:
        harmed = np.flatnonzero(is_extreme & ~(gains >= -LOST))
        lowest = harmed[np.argsort(gains[harmed])[:MOST_NAMED]]
        named = sorted(rows.index[lowest].tolist())
        return (
            f"A few rows are far less likely than the others, among them rows {named} of {table}: "
            f"training changed the mean bound by {gain:+.3g} nats with these rows, and by "
            f"{usual_gain:+.3g} nats without them. Look for errors in these rows, and correct "
            "them, or mark the cells as missing by NaN. Or choose a likelihood with heavy tails, "
            "'student_t' or 'histogram', for the columns in which these rows are extreme.",
            UserWarning,
        )
    return None


def extreme(gains: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the few rows whose bounds changed most, which may dominate a mean. (n,) -> (n,)."""
    n = len(gains)
    few = min(max(int(EXTREME_SHARE * n), FEW_EXTREME), n // 10)
    marked = np.zeros(n, dtype=np.bool_)
    marked[np.argsort(np.abs(gains))[n - few :]] = True
    return marked
