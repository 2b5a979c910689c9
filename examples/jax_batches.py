"""A linear classifier in JAX.

`drop_last` keeps the shape of the batches, so that the step is compiled once.

python jax_batches.py JOB
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID, image_size=32)
class_to_idx = dataset.class_to_idx
weights = jnp.zeros((32 * 32 * 3, len(class_to_idx)))


def loss_function(weights: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
    scores = images.reshape(len(images), -1) / 255 @ weights
    return -jnp.mean(jax.nn.log_softmax(scores)[jnp.arange(len(labels)), labels])


@jax.jit
def step(weights: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    loss, gradient = jax.value_and_grad(loss_function)(weights, images, labels)
    return weights - 0.001 * gradient, loss


for epoch in range(3):
    losses = []
    for images, labels in dataset.iter_batches(batch_size=32, drop_last=True):
        weights, loss = step(weights, images, np.array([class_to_idx[label] for label in labels]))
        losses.append(loss)
    print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f} over {len(losses)} batches")
