"""A grid of panels, one for each column of a table."""

import numpy as np

from skvae.plots._shared import given_or_new_axes, shorten

N_PANELS = 16  # unless features are given
PANEL = (2.2, 2.5)  # inches of a new figure
# Left, bottom, width and height of the axes in a panel; the rest is for labels.
PLACE_IN_PANEL = np.array([0.26, 0.2, 0.68, 0.6])
# Size of the text in points, in panels of at least FULL_WIDTH inches; smaller in narrower ones.
FONT_SIZE, FULL_WIDTH, LEAST_FONT_SIZE = 9, 1.6, 5


class PanelsDisplay:
    """Base of the displays with a panel for each column."""

    def _draw_panels(self, names, ax, *, xlabel="", ylabel=""):
        """Draw empty panels with the names of their columns, and labels at the left and below.

        Sets ``axes_``, ``ax_`` and ``figure_``.
        """
        n = len(names)
        n_rows = int(np.sqrt(n))
        n_columns = -(-n // n_rows)
        self.ax_ = given_or_new_axes(ax, figsize=(PANEL[0] * n_columns, PANEL[1] * n_rows))
        self.figure_ = self.ax_.figure
        self.ax_.set_axis_off()
        inches = self.ax_.get_window_extent().width / self.figure_.dpi / n_columns
        font_size = np.clip(FONT_SIZE * inches / FULL_WIDTH, LEAST_FONT_SIZE, FONT_SIZE)
        self.axes_ = np.empty(n, dtype=object)
        panels_along = np.array([n_columns, n_rows, n_columns, n_rows])
        for place, name in enumerate(names):
            row, column = divmod(place, n_columns)
            corner = np.array([column, n_rows - 1 - row, 0, 0])
            # insets, as axes outside a grid of subplots cannot be divided into subplots
            panel = self.ax_.inset_axes((corner + PLACE_IN_PANEL) / panels_along)
            panel.set_title(shorten(name), fontsize=font_size)
            panel.tick_params(labelsize=font_size - 1)
            panel.spines[["top", "right"]].set_visible(False)
            if place >= n - n_columns:
                panel.set_xlabel(xlabel, fontsize=font_size)
            if column == 0:
                panel.set_ylabel(ylabel, fontsize=font_size)
            self.axes_[place] = panel


def draw_diagonal(panel, values):
    """Draw the diagonal of a square panel, whose axes both hold the values."""
    panel.update_datalim(np.column_stack([values, values]))  # the same limits on both axes
    panel.autoscale_view()
    panel.autoscale(False)  # so that the diagonal does not extend them to 0
    panel.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    panel.set_box_aspect(1)


def label_dates(axis):
    """Label an axis of days, as matplotlib counts them, with a few dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=4)
    axis.set(major_locator=locator, major_formatter=ConciseDateFormatter(locator))
