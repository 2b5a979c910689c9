"""Embeddings of the images in ChromaDB.

This is how it is commonly written. The ids begin at img_0 again in every batch, and ChromaDB leaves alone what it has:
only the first batch is stored. See chromadb_embeddings_fixed.py.

python chromadb_embeddings.py JOB FOLDER
"""

import sys

import chromadb
import numpy as np
from chromadb.config import Settings

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]
FOLDER = sys.argv[2]  # the database's, such as ./chroma


def embed(images: np.ndarray) -> np.ndarray:
    """Your model. Here: the colours of 4 x 4 fields, 48 numbers an image."""
    fields: np.ndarray = images.reshape(len(images), 4, 16, 4, 16, 3).mean(axis=(2, 4)) / 255
    return fields.reshape(len(images), -1)


client = chromadb.PersistentClient(FOLDER, Settings(anonymized_telemetry=False))
collection = client.get_or_create_collection("images", embedding_function=None)

dataset = load_dataset(JOB_ID, image_size=64)
for images, labels in dataset.iter_batches(batch_size=32):
    collection.add(
        ids=[f"img_{i}" for i in range(len(images))],
        embeddings=embed(images),
        metadatas=[{"label": label} for label in labels],
    )

print(f"{collection.count()} images stored")
