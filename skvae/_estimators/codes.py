"""The codes of rows, and back: what dimension reduction and its inverse need."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import metadata_routing
from sklearn.utils.validation import check_is_fitted

from skvae._estimators.methods import FittedMethods
from skvae._rules import number, one_of, whole
from skvae._table.frames import as_frame
from skvae._table.validation import validate_codes
from skvae._walks import PATHS, SPACINGS, square

STEPS, EXTENT = whole(2, 10**4), number(0, 1000, closed="right")  # of walks among codes


class CodeMethods(FittedMethods, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The methods that return or take codes."""

    # Z is the data of inverse_transform, not metadata to route.
    __metadata_request__inverse_transform: ClassVar[dict] = {"Z": metadata_routing.UNUSED}

    def transform(self, X):
        """The code of each row: the mean of q(z|x), times ``scale_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            In float32 if ``X`` is in float32, otherwise in float64.
        """
        table, dtype = self._checked(X)
        return self._fitted.codes(table, dtype)

    def latent_distribution(self, X):
        """The mean and standard deviation of each component of q(z|x), times ``scale_``.

        Given x, the components are independent normals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        mean, std : ndarray of shape (n_samples, n_components)
        """
        table, dtype = self._checked(X)
        return self._fitted.posterior(table, dtype)

    def _divergence(self, X):
        """The KL divergence of each row and component, as in ``kl_divergence_``. -> (n, K)."""
        table, dtype = self._checked(X)
        return self._fitted.divergence(table, dtype)

    def inverse_transform(self, Z):
        """Decode each code to the mean of p(x|z), where z = Z / ``scale_``.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
            In the same kind of container as in ``fit``.
        """
        codes = self._checked_codes(Z, "Z")
        return self._fitted.container.wrap(self._fitted.decode(codes), like=Z)

    def _checked_codes(self, Z, name):
        """The codes as an array (n, n_components) of floats."""
        check_is_fitted(self)
        frame = as_frame(Z)
        codes = validate_codes(Z, name)
        if codes.shape[1] != self.n_components_:
            rows = f" If these are rows of a table, pass transform({name})."
            raise ValueError(
                f"{name} must hold codes, as transform returns them: it has {codes.shape[1]} "
                f"columns, but this {type(self).__name__} has n_components={self.n_components_}."
                + rows
                * (codes.shape[1] == self.n_features_in_)
            )
        names = [] if frame is None else frame.columns
        expected = list(self.get_feature_names_out())
        if names != expected and set(names) == set(expected):
            raise ValueError(
                f"The columns of {name} are those of transform in another order, {names}. Put them "
                "in the order of get_feature_names_out()."
            )
        return codes

    # -- walks among codes ----------------------------------------------------------

    def interpolate(self, A, B, n_steps=10, *, method="linear"):
        """Codes on paths between codes, for :meth:`inverse_transform` to decode.

        Parameters
        ----------
        A, B : array-like of shape (n_components,) or (n, n_components)
            Codes at the start and at the end of each path, as :meth:`transform` returns them.
        n_steps : int, default=10
            Number of codes on a path with both ends, at least 2.
        method : {"linear", "spherical"}, default="linear"
            A straight line in equal steps, or an arc around 0 in equal angles (slerp) [1]_. Most
            draws of a standard normal prior in many dimensions are about n_components^(1/2) from
            0, and a straight line between two of them passes nearer to 0, where the prior has few.
            The arc is on the scale of the prior, that of Z / ``scale_``. It is a line if a code is
            0, or if the two are opposite.

        Returns
        -------
        Z : ndarray of shape (n_steps, n_components) or (n, n_steps, n_components)
            Pass ``Z.reshape(-1, n_components)`` of several paths to :meth:`inverse_transform`.

        References
        ----------
        .. [1] T. White, "Sampling Generative Networks", arXiv:1609.04468, 2016.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> X = load_wine(as_frame=True).data
        >>> vae = VAETransformer(max_iter=2, random_state=0).fit(X)
        >>> first, last = vae.transform(X.iloc[[0, -1]])
        >>> vae.inverse_transform(vae.interpolate(first, last, 5)).shape
        (5, 13)
        """
        check_is_fitted(self)
        is_one = np.ndim(A) == np.ndim(B) == 1
        start, stop = (
            self._checked_codes(np.asarray(codes)[None] if is_one else codes, name)
            for codes, name in ((A, "A"), (B, "B"))
        )
        if start.shape != stop.shape:
            raise ValueError(
                "'B' must have a code for each code of 'A'; got shapes "
                f"{stop.shape} and {start.shape}."
            )
        STEPS.check("'n_steps'", n_steps)
        one_of(*PATHS).check("'method'", method)
        dtype = np.result_type(start, stop)
        scale = self.scale_.astype(dtype)
        codes = PATHS[method](start / scale, stop / scale, n_steps).astype(dtype) * scale
        return codes[0] if is_one else codes

    def traverse(self, X, component, n_steps=11, *, extent=2.5):
        """The codes of rows, with one component varied over the range of the prior.

        The component takes the same values for each row, between ``extent`` standard deviations of
        the standard normal prior below and above 0, also where the ``prior`` is another one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, whose codes determine the other components.
        component : int
            Number of the component, counted from 0.
        n_steps : int, default=11
            Number of values of the component, at least 2.
        extent : float, default=2.5
            Largest distance from 0, in standard deviations of the prior.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_steps, n_components)
            Pass ``Z.reshape(-1, n_components)`` to :meth:`inverse_transform`.
        """
        check_is_fitted(self)
        whole(0, self.n_components_ - 1).check("'component'", component)
        positions = _checked_positions(n_steps, "linear", extent)
        table, dtype = self._checked(X)
        codes = np.repeat(self._fitted.codes(table, dtype)[:, None], n_steps, axis=1)
        codes[..., component] = positions * self.scale_[component]
        return codes

    def grid(self, n_steps=15, *, spacing="linear", extent=2.5):
        """A square grid of codes, for models with two components.

        The grid is laid over a standard normal distribution of the codes, also where the ``prior``
        is another one.

        Parameters
        ----------
        n_steps : int, default=15
            Number of positions along each component, at least 2.
        spacing : {"linear", "percentile"}, default="linear"
            Positions in equal steps, or in steps of equal probability under the standard normal
            prior, at the percentiles 100 (i + 1/2) / n_steps.
        extent : float, default=2.5
            Largest distance from 0 with "linear", in standard deviations of the prior.

        Returns
        -------
        Z : ndarray of shape (n_steps, n_steps, 2)
            Component 0 increases along the second axis, and component 1 along the first. Pass
            ``Z.reshape(-1, 2)`` to :meth:`inverse_transform`.
        """
        check_is_fitted(self)
        if self.n_components_ != 2:
            raise ValueError(
                "A grid needs a model with two components; got one with "
                f"n_components={self.n_components_}. Fit one with n_components=2, or use traverse."
            )
        return square(_checked_positions(n_steps, spacing, extent)) * self.scale_

    def loadings(self):
        """The effect of each component on each feature: the mean slope of the decoder.

        The loading of a numeric feature is the change of its mean, in standard deviations of the
        feature, when the component changes by one standard deviation of the prior. The loading of a
        level of a category is the change of its probability. A bool is a number here. The slopes
        are averaged over the prior. If the decoder is linear and the features are standardised, the
        loadings correspond to ``PCA``'s ``components_``, transposed and multiplied by the standard
        deviations of its scores.

        Returns
        -------
        loadings : DataFrame of shape (n_features or more, n_components)
            One row for each numeric feature, and one for each level of a category, named
            "feature=level".
        """
        check_is_fitted(self)
        names, loadings = self._fitted.loadings()
        return pd.DataFrame(loadings, index=names, columns=self.get_feature_names_out())

    def reconstruct(self, X):
        """Encode and decode each row: ``inverse_transform(transform(X))``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reconstructed : ndarray or data frame of shape (n_samples, n_features)
            In the same kind of container as in ``fit``.
        """
        table, dtype = self._checked(X)
        fitted = self._fitted
        return fitted.container.wrap(fitted.decode(fitted.codes(table, dtype)), like=X)

    # -- files of other programs ----------------------------------------------------

    def to_onnx(self, path, method="transform", *, dtype="float64"):
        """Write :meth:`transform` or :meth:`inverse_transform` to a file in the ONNX format.

        Other programs compute the method from the file by onnxruntime, without torch and skvae. Its
        results differ from those of the method by rounding to float32: by about 1e-6, relative to
        the size of the values.

        The file has one input and one output, both arrays of any number of rows:

        - "transform" takes ``X`` of shape (n_samples, n_features) and returns ``Z`` of shape
          (n_samples, n_components);
        - "inverse_transform" takes ``Z`` and returns ``X``.

        ``X`` holds numbers in the units of ``fit``, and NaN for a missing value. A category is the
        number of its level, counted from 0. Dates are seconds since 1970 (UTC), durations are
        seconds, and periods are their ordinals, all less the origin of their column, as are whole
        numbers beyond 2^53. Means of whole numbers and bools are not rounded.

        The metadata entry ``"columns"`` of the file describes the columns in JSON: a list of
        objects with the "name" of a column and what it "holds". For categories it lists the names
        of the "levels", and for the columns above that have one it gives the "origin". The entry
        ``"method"`` is the name of the method.

        The file issues no warnings or errors for values. A level that training has not seen counts
        as missing. So does a value for which :meth:`transform` raises an error, such as an infinite
        one, or one outside the support of the likelihood that was chosen for its column.

        Parameters
        ----------
        path : str or path
            An existing file is replaced once the new one is complete and checked: for rows drawn
            from the model, its results must be those of the method.
        method : {"transform", "inverse_transform"}, default="transform"
            The method that the file computes.
        dtype : {"float64", "float32"}, default="float64"
            The type of the input and of the output. The networks compute in float32 in any case.

        Raises
        ------
        ImportError
            If onnx or onnxruntime is not installed: ``pip install "skvae[onnx]"``.
        ValueError
            If a custom network or likelihood contains operations that cannot be written in the
            format, or that depend on the number of rows.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import onnxruntime
        >>> from sklearn.datasets import load_wine
        >>> from skvae import VAETransformer
        >>> X = load_wine().data
        >>> vae = VAETransformer(n_components=2, max_iter=20, random_state=0).fit(X)
        >>> path = Path(tempfile.mkdtemp()) / "encoder.onnx"
        >>> vae.to_onnx(path)
        >>> session = onnxruntime.InferenceSession(path)
        >>> [Z] = session.run(None, {"X": X})
        >>> np.allclose(Z, vae.transform(X), rtol=1e-4, atol=1e-4)
        True
        """
        from skvae._onnx.export import write_onnx

        check_is_fitted(self)
        write_onnx(self._fitted, path, method, dtype)

    @property
    def _n_features_out(self):
        return self.n_components_


def _checked_positions(n_steps, spacing, extent):
    """Positions along a component, in standard deviations of N(0, 1). -> (n_steps,)."""
    STEPS.check("'n_steps'", n_steps)
    one_of(*SPACINGS).check("'spacing'", spacing)
    EXTENT.check("'extent'", extent)
    return SPACINGS[spacing](n_steps, float(extent))
