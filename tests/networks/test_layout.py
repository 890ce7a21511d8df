"""Features and outputs by column."""

import numpy as np
import torch

from skvae.networks._layout import ByColumn, FromColumns

COLUMNS = [np.array([3, 4]), np.array([0, 6]), np.array([1]), np.array([], dtype=int)]


def test_features_by_column_with_zeros_and_the_rest():
    x = torch.arange(1.0, 15.0).view(2, 7)
    by_column, rest = ByColumn(COLUMNS, 7)(x)
    assert by_column.tolist() == [
        [[4, 5], [1, 7], [2, 0], [0, 0]],
        [[11, 12], [8, 14], [9, 0], [0, 0]],
    ]
    assert rest.tolist() == [[3, 6], [10, 13]]


def test_outputs_from_columns():
    columns = [np.array([0, 3]), np.array([2]), np.array([1, 4])]
    module = FromColumns(columns, 5)
    assert module.n_outputs == 2
    by_column = torch.tensor([[[10.0, 13.0], [12.0, -1.0], [11.0, 14.0]]])
    assert module(by_column).tolist() == [[10, 11, 12, 13, 14]]
