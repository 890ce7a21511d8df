"""Log-normal density."""

import numpy as np
from cases import start

from skvae.likelihoods import (
    LogNormal,
)


def test_log_normal_holds_every_positive_number():
    table = np.array([[5e-324], [1e-300], [1.0], [1e300], [1.7e308]])
    case = start(LogNormal(), table)
    back = LogNormal().from_working(LogNormal().to_working(table, case.constants), case.constants)
    np.testing.assert_allclose(back, table, rtol=1e-12)
    far = np.array([[-1e9], [1e9]])
    assert LogNormal().in_support(LogNormal().from_working(far, case.constants), {}).all()
