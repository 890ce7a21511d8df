"""Track fits with MLflow: parameters, curves and the model of each run.

    python examples/mlflow_tracking.py [folder, default .]

The runs are kept in the file mlflow.db in the folder, and the models below it. It needs mlflow's
client: pip install mlflow-skinny alembic. To see the runs in a browser, install mlflow, which may
be in another environment, and run mlflow ui --backend-store-uri sqlite:///mlflow.db in the folder.
"""

import sys
from pathlib import Path

import joblib
import mlflow
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from skvae import VAETransformer


class Tracking:
    """Log the parameters and the scores of each epoch to the current run."""

    def setup(self, estimator, context):
        mlflow.log_params(estimator.get_params())

    def on_fit_task_begin(self, estimator, context): ...
    def teardown(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name != "epoch":
            return
        scores = {
            "loss": fitted_estimator.loss_curve_[-1],
            "reconstruction": fitted_estimator.reconstruction_curve_[-1],
            "kl": fitted_estimator.kl_curve_[-1],
            "validation_score": fitted_estimator.validation_scores_[-1],
        }
        mlflow.log_metrics(scores, step=fitted_estimator.n_iter_)


def main(folder="."):
    folder = Path(folder).resolve()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = mlflow.create_experiment("wine", artifact_location=(folder / "models").as_uri())
    X_train, X_test = train_test_split(load_wine(as_frame=True).data, random_state=0)
    for n_components in (1, 2, 4):
        with mlflow.start_run(experiment_id=experiment, run_name=f"{n_components} components"):
            vae = VAETransformer(n_components, max_iter=60, random_state=0)
            vae.set_callbacks(Tracking()).fit(X_train)
            mlflow.log_metric("test_score", vae.score(X_test))
            path = folder / "vae.joblib"
            joblib.dump(vae.set_callbacks(), path)  # without the callback
            mlflow.log_artifact(path)

    runs = mlflow.search_runs([experiment], order_by=["metrics.test_score DESC"])
    names = ["tags.mlflow.runName", "metrics.kl", "metrics.validation_score", "metrics.test_score"]
    print(runs[names].round(2).to_string(index=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
