"""The fast way to train in PyTorch: whole batches, decoded in one call each, read in the order of the bytes.

python pytorch_streaming.py JOB
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader

from pixcrawler import load_dataset


def main(job_id: str) -> None:
    dataset = load_dataset(job_id, image_size=64)
    stream = dataset.to_torch(streaming=True, batch_size=32, shuffle=True, seed=0)
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True)

    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, len(dataset.classes)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    loss_function = nn.CrossEntropyLoss()

    for epoch in range(3):
        stream.set_epoch(epoch)  # another order each time
        total, seen = 0.0, 0
        for images, labels in loader:  # uint8 (32, 3, 64, 64), int64 (32,)
            optimizer.zero_grad()
            loss = loss_function(model(images.float() / 255), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
        print(f"epoch {epoch + 1}: loss {total / seen:.3f} over {seen} images")


if __name__ == "__main__":
    main(sys.argv[1])
