"""torchvision's transforms, and a part of the images held back for validation.

This is how it is commonly written. The images held back are flipped and cropped at random too, as both parts share one
dataset and its transform: see pytorch_transforms_fixed.py.

python pytorch_transforms.py JOB
"""

import sys

import torch
from torch.utils.data import DataLoader, random_split
from torchvision import transforms

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

transform = transforms.Compose(
    [
        transforms.ToPILImage(),
        transforms.RandomResizedCrop(64),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)
dataset = load_dataset(JOB_ID).to_torch(transform=transform)

train_size = int(0.8 * len(dataset))
train, validation = random_split(dataset, [train_size, len(dataset) - train_size])
train_loader = DataLoader(train, batch_size=32, shuffle=True)
validation_loader = DataLoader(validation, batch_size=32)

for name, loader in [("train", train_loader), ("validation", validation_loader)]:
    batches = [images for images, labels in loader]
    images = torch.cat(batches)
    print(f"{name}: {len(images)} images of {tuple(images.shape[1:])}, mean {images.mean():.2f}")
