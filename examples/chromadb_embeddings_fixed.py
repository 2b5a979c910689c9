"""Embeddings of the images in ChromaDB, and the images most like one of them.

A running number makes the ids, over all batches; `upsert` makes a second run replace what the first one stored.

python chromadb_embeddings_fixed.py JOB FOLDER
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
stored = 0
for images, labels in dataset.iter_batches(batch_size=32):
    collection.upsert(
        ids=[f"{JOB_ID}/{stored + i}" for i in range(len(images))],
        embeddings=embed(images),
        metadatas=[{"label": label} for label in labels],
    )
    stored += len(images)

print(f"{collection.count()} images stored")

image, label = dataset[17]
found = collection.query(query_embeddings=embed(image[np.newaxis]), n_results=3)
print(f"most like number 17, a {label}: {found['ids'][0]}")
