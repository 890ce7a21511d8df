"""Search settings with Optuna, and stop unpromising fits early.

    python examples/optuna_pruning.py [folder, default .] [trials, default 20]

A callback reports the validation score of each epoch to the trial of Optuna, which compares it with
the scores of earlier trials at the same epoch. TrialPruned, raised by the callback, ends the fit.
The study is kept in the file study.db in the folder. It needs optuna: pip install optuna
"""

import sys
from pathlib import Path

import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skvae import VAETransformer


class Pruning:
    """Report the validation score of each epoch to a trial, and prune the trial if it says so."""

    def __init__(self, trial):
        self.trial = trial

    def setup(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def teardown(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name != "epoch":
            return
        epoch = fitted_estimator.n_iter_
        self.trial.report(fitted_estimator.validation_scores_[-1], epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned(f"after epoch {epoch}")


def main(folder=".", n_trials=20):
    X_train, X_test = train_test_split(load_breast_cancer().data, random_state=0)
    X_train, X_val = train_test_split(X_train, random_state=0)

    def best_score(trial):
        vae = VAETransformer(
            trial.suggest_int("n_components", 1, 10),
            hidden_layer_sizes=[trial.suggest_int("width", 16, 256, log=True)] * 2,
            learning_rate_init=trial.suggest_float("learning_rate_init", 1e-4, 1e-2, log=True),
            max_iter=60,
            random_state=0,
        )
        vae.set_callbacks(Pruning(trial)).fit(X_train, X_val=X_val)
        trial.set_user_attr("test_score", vae.score(X_test))
        return vae.best_validation_score_

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=5),
        storage=f"sqlite:///{Path(folder, 'study.db')}",
    )
    study.optimize(best_score, n_trials=int(n_trials))
    n_pruned = len(study.get_trials(states=[optuna.trial.TrialState.PRUNED]))
    print(f"{n_pruned} of {len(study.trials)} trials pruned")
    print(f"best bound of the validation rows: {study.best_value:.1f} nats, {study.best_params}")
    print(f"log-likelihood of the test rows: {study.best_trial.user_attrs['test_score']:.1f} nats")


if __name__ == "__main__":
    main(*sys.argv[1:])
