import importlib.util
import sys

import pytest
import sklearn

from skvae._estimators import callbacks


def test_without_the_callbacks_of_scikit_learn_a_fit_works_and_an_error_names_the_version(
    monkeypatch,
):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("stand_ins", callbacks.__file__)
    stand_ins = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_ins)

    class Estimator(stand_ins.CallbackSupportMixin):
        @stand_ins.with_callbacks
        def fit(self):
            context = self._init_callback_context(max_subtasks=1)
            context.call_on_fit_task_begin(estimator=self)
            epoch = context.subcontext(task_name="epoch").call_on_fit_task_begin(estimator=self)
            return epoch.call_on_fit_task_end(estimator=self)

    assert Estimator().fit() is False
    with pytest.raises(ImportError, match=rf"scikit-learn 1.9 .* version {sklearn.__version__}"):
        Estimator().set_callbacks()
