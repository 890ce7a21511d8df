"""The examples that need libraries which skvae itself does not use."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize(
    ("script", "arguments", "libraries", "store", "expected"),
    [
        ("optuna_pruning.py", ["8"], ["optuna"], "study.db", "of 8 trials pruned"),
        ("mlflow_tracking.py", [], ["mlflow", "alembic"], "mlflow.db", "metrics.test_score"),
    ],
)
def test_a_script_runs(script, arguments, libraries, store, expected, tmp_path):
    if not all(map(find_spec, libraries)):
        pytest.skip(f"needs {libraries}")
    command = [sys.executable, EXAMPLES / script, tmp_path, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert expected in found.stdout
    assert (tmp_path / store).exists()
