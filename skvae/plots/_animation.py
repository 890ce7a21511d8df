"""Frames of images that are drawn one after the other, and written as a GIF."""

import numpy as np

from skvae._rules import POSITIVE
from skvae.plots._images import ImagesDisplay, gap_between, in_unit_range, mosaic
from skvae.plots._shared import colour_limits, pyplot


class AnimatedDisplay(ImagesDisplay):
    """Base of the displays with frames. A subclass overrides ``n_frames`` and ``show_frame``."""

    @property
    def n_frames(self):
        """The number of frames."""
        raise NotImplementedError

    def show_frame(self, number):
        """Show another frame in the drawn figure, counted from 0."""
        raise NotImplementedError

    def save(self, path, *, fps=10, dpi=None):
        """Write the frames of the drawn figure as a GIF, with Pillow.

        Parameters
        ----------
        path : str or path
            File to write.
        fps : float, default=10
            Frames per second.
        dpi : float, default=None
            Pixels per inch of the figure. None for those of the figure.

        Returns
        -------
        display : the display itself
        """
        pyplot()
        from matplotlib.animation import FuncAnimation, PillowWriter

        POSITIVE.check("'fps'", fps)
        self.animation_ = FuncAnimation(
            self.figure_,
            self.show_frame,
            self.n_frames,
            init_func=lambda: None,  # the figure is drawn
            interval=1000 / fps,
        )
        self.animation_.save(path, PillowWriter(fps=fps), dpi=dpi)
        return self

    def _draw_frames(self, frames, ax, kwargs):
        """Draw the last of frames (n_frames, n_rows, n_columns, height, width[, 3])."""
        mosaics = np.stack([mosaic(images, gap_between(images)) for images in frames])
        self._pictures = in_unit_range(mosaics) if mosaics.ndim == 4 else mosaics
        # the same for all frames
        scale = colour_limits(np.nanmin(mosaics), np.nanmax(mosaics), kwargs)
        self._draw_images(frames[-1], ax, scale | kwargs)
        self.im_.set_data(self._pictures[-1])
