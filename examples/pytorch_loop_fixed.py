"""A training loop in PyTorch, with images read in four processes.

On macOS, on Windows, and from Python 3.14 on Linux, a new process imports this file again: only what stands below
`if __name__ == "__main__":` is left to the first one. With persistent_workers the processes are started once, not once
an epoch.

python pytorch_loop_fixed.py JOB
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader

from pixcrawler import load_dataset


def main(job_id: str) -> None:
    dataset = load_dataset(job_id, image_size=64)
    loader = DataLoader(dataset.to_torch(), batch_size=32, shuffle=True, num_workers=4, persistent_workers=True)

    model = nn.Sequential(
        nn.Conv2d(3, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 16 * 16, len(dataset.classes)),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()

    for epoch in range(3):
        total, seen = 0.0, 0
        for images, labels in loader:  # float32 (32, 3, 64, 64) from 0 to 1, int64 (32,)
            optimizer.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
        print(f"epoch {epoch + 1}: loss {total / seen:.3f} over {seen} images")


if __name__ == "__main__":
    main(sys.argv[1])
