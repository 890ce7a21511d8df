"""
Serving a model without torch
=============================

A model is trained on images of digits and written to two files in the ONNX format. A program that
has only numpy and onnxruntime then computes codes and reconstructions from them.
"""

# %%
# ``to_onnx`` writes ``transform``, or ``inverse_transform`` if that is named. The files contain the
# conversion of units, so they take pixels from 0 to 16 and return such pixels.

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import VAETransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, _, y_test = train_test_split(X, y, random_state=0)
vae = VAETransformer(n_components=2, random_state=0).fit(X_train)

folder = Path(tempfile.mkdtemp())
vae.to_onnx(folder / "encoder.onnx")
vae.to_onnx(folder / "decoder.onnx", method="inverse_transform")
for path in sorted(folder.iterdir()):
    print(path.name, f"{path.stat().st_size / 1e3:.0f} kB")

# %%
# The program that serves the model. Its first line makes sure that it can import neither torch nor
# skvae.

program = """
import sys
sys.modules["torch"] = sys.modules["skvae"] = None

import numpy as np
import onnxruntime

encoder, decoder = map(onnxruntime.InferenceSession, ("encoder.onnx", "decoder.onnx"))
X = np.load("rows.npy")
[Z] = encoder.run(None, {"X": X})
[X_back] = decoder.run(None, {"Z": Z})
np.save("codes.npy", Z)
np.save("reconstructions.npy", X_back)
"""
(folder / "serve.py").write_text(program)
np.save(folder / "rows.npy", X_test)
subprocess.run([sys.executable, "serve.py"], cwd=folder, check=True)

# %%
# Its results are those of the estimator, up to rounding to single precision.

Z, X_back = np.load(folder / "codes.npy"), np.load(folder / "reconstructions.npy")
print(f"largest difference of a code: {np.abs(Z - vae.transform(X_test)).max():.1g}")
print(f"of a pixel: {np.abs(X_back - vae.reconstruct(X_test)).max():.1g}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
points = left.scatter(*Z.T, c=y_test, cmap="tab10", s=8)
left.set(title="codes", xlabel="component 0", ylabel="component 1")
figure.colorbar(points, ax=left, label="digit")
pairs = np.concatenate([X_test[:8].reshape(8, 8, 8), X_back[:8].reshape(8, 8, 8)])
picture = pairs.reshape(2, 8, 8, 8).swapaxes(1, 2).reshape(16, 64)
right.imshow(picture, cmap="gray_r")
right.set(title="images and reconstructions", xticks=[], yticks=[])
