"""Rows as images, and a grid of images."""

import numpy as np

from skvae._rules import whole
from skvae.plots._shared import given_or_new_axes

GAP = 0.08  # between images, as a share of their shorter side
LONGEST_SIDE = 7.0  # of a new figure, in inches


class ImagesDisplay:
    """Base of the displays of images."""

    def _draw_images(self, images, ax, kwargs):
        """Draw images (n_rows, n_columns, height, width[, 3]) on one scale of colours.

        Sets ``im_``, ``ax_`` and ``figure_``. Returns the centres of the rows and of the columns
        of images, in the coordinates of the axes.
        """
        n_rows, n_columns, height, width = images.shape[:4]
        gap = gap_between(images)
        picture = mosaic(images, gap)
        if picture.ndim == 3:
            picture = in_unit_range(picture)
        inches = LONGEST_SIDE / max(picture.shape[:2])
        figsize = (inches * picture.shape[1] + 1.0, inches * picture.shape[0] + 0.6)
        self.ax_ = given_or_new_axes(ax, figsize)
        self.figure_ = self.ax_.figure
        self.im_ = self.ax_.imshow(picture, **{"cmap": "gray"} | kwargs)
        self.ax_.set(xticks=[], yticks=[])
        self.ax_.tick_params(length=0)
        self.ax_.spines[:].set_visible(False)
        rows = (height + gap) * np.arange(n_rows) + (height - 1) / 2
        columns = (width + gap) * np.arange(n_columns) + (width - 1) / 2
        return rows, columns


def gap_between(images):
    """The number of pixels between images."""
    return max(1, round(GAP * min(images.shape[2:4])))


def as_picture(images):
    """Images (n_rows, n_columns, height, width[, 3]) as one, in [0, 1], with white gaps."""
    return in_unit_range(mosaic(images, gap_between(images)))


def mosaic(images, gap):
    """(n_rows, n_columns, height, width[, 3]) as one image, with NaN between them."""
    margins = [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)][: images.ndim]
    tiles = np.pad(images.astype(float), margins, constant_values=np.nan).swapaxes(1, 2)
    n_rows, height, n_columns, width, *colours = tiles.shape
    return tiles.reshape(n_rows * height, n_columns * width, *colours)[:-gap, :-gap]


def in_unit_range(picture):
    """Grey levels or colours scaled to [0, 1], NaN as white."""
    low, high = np.nanmin(picture), np.nanmax(picture)
    return np.nan_to_num((picture - low) / (high - low or 1.0), nan=1.0)


def as_images(rows, image_shape):
    """(..., n_features) -> (..., *image_shape). Raises ValueError where the two do not fit."""
    if rows.dtype.kind not in "fiub":
        raise ValueError(
            "Images show numbers, but a column of the table holds categories or times. Fit the "
            "estimator to the columns of pixels alone."
        )
    sizes = tuple(image_shape) if np.iterable(image_shape) else ()
    is_grey_or_rgb = len(sizes) == 2 or (len(sizes) == 3 and sizes[2] == 3)
    if not (is_grey_or_rgb and all(map(whole(1).holds, sizes))):
        raise ValueError(
            "'image_shape' must be (height, width) or (height, width, 3), in positive whole "
            f"numbers of pixels; got {image_shape!r}."
        )
    n_features = rows.shape[-1]
    if np.prod(sizes) != n_features:
        raise ValueError(
            f"'image_shape' must have the product {n_features}, the number of columns; got "
            f"{image_shape!r} with the product {np.prod(sizes)}. Give the shape of the images that "
            "were flattened to rows."
        )
    return rows.reshape(*rows.shape[:-1], *sizes)


def decoded_rows(estimator, codes):
    """The rows that codes decode to. (n, m, n_components) -> (n, m, n_features)."""
    rows = np.asarray(estimator.inverse_transform(codes.reshape(-1, codes.shape[-1])))
    return rows.reshape(*codes.shape[:2], -1)


def decoded_images(estimator, codes, image_shape):
    """The images that codes decode to. (n, m, n_components) -> (n, m, *image_shape)."""
    return as_images(decoded_rows(estimator, codes), image_shape)
