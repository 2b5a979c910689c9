"""A training loop in PyTorch, with images read in four processes.

This is how it is commonly written. It runs where processes are forked: on Linux, up to Python 3.13. See
pytorch_loop_fixed.py for one that runs everywhere.

python pytorch_loop.py JOB
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID, image_size=64)
loader = DataLoader(dataset.to_torch(), batch_size=32, shuffle=True, num_workers=4)

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
