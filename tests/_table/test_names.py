import numpy as np
import pytest

from skvae._table.names import find_columns


def test_columns_are_found_by_name():
    assert find_columns(["a", 0, ("b", 1)], [("b", 1), "a"], "bounds") == [2, 0]
    assert find_columns([0, 1, True], [True, 1], "likelihood") == [2, 1]
    assert find_columns(["a"], [], "given") == []


@pytest.mark.parametrize("name", ["c", True, 2, ["a"], np.zeros(2)], ids=str)
def test_an_unknown_name_is_named(name):
    with pytest.raises(ValueError, match=r"'bounds' names .*, but the columns are \['a', 0, 1\]"):
        find_columns(["a", 0, 1], ["a", name], "bounds")
