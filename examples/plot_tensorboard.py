"""
A log for TensorBoard
=====================

The callback ``TensorBoardLogger`` writes the course of training to a folder. TensorBoard displays
it, also while training runs. This example reads the log back in Python.
"""

# %%
# The rows ``X`` of the callback are for reconstructions and for the projector. They are not in
# training here.

import io
import tempfile

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from skvae import VAETransformer
from skvae.callbacks import TensorBoardLogger

X_train, X_test, y_train, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
folder = tempfile.mkdtemp()
logger = TensorBoardLogger(folder, X=X_test, y=y_test, image_shape=(8, 8), every=10)
vae = VAETransformer(6, max_iter=60, random_state=0).set_callbacks(logger).fit(X_train)

# %%
# In a shell, ``tensorboard --logdir`` with the folder shows the log in a browser: the curves under
# Scalars, the images under Images, the networks under Graphs, and the codes of the test digits
# under Projector. The curves are the attributes of the fitted estimator, here the divergence of
# each component. It is constant at the end, since the codes of images do not change once they are
# found.

log = EventAccumulator(folder).Reload()
print(*log.Tags()["scalars"], sep="\n")

_, ax = plt.subplots(layout="constrained")
for component in range(6):
    events = log.Scalars(f"kl_by_component/{component}")
    ax.plot(
        [event.step for event in events],
        [event.value for event in events],
        label=f"component {component}",
    )
ax.set(xlabel="epoch", ylabel="KL divergence (nats per row)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %%
# Digits above their reconstructions, after the first and the last logged epoch:

events = log.Images("reconstructions")
_, axes = plt.subplots(2, layout="constrained", figsize=(6.4, 3.2))
for ax, event in zip(axes, (events[0], events[-1]), strict=True):
    ax.imshow(plt.imread(io.BytesIO(event.encoded_image_string)), cmap="gray")
    ax.set(title=f"epoch {event.step}", xticks=[], yticks=[])
plt.show()
