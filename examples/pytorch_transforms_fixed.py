"""torchvision's transforms for training, plain images for validation.

Two views of one dataset, each with its transform, and one random order that says which images belong to which.

python pytorch_transforms_fixed.py JOB
"""

import sys

import torch
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

normalize = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
augment = transforms.Compose(
    [
        transforms.ToPILImage(),
        transforms.RandomResizedCrop(64),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        normalize,
    ]
)
plain = transforms.Compose([transforms.ToTensor(), normalize])

train_data = load_dataset(JOB_ID).to_torch(transform=augment)
validation_data = load_dataset(JOB_ID, image_size=64, resize_mode="crop").to_torch(transform=plain)

order = torch.randperm(len(train_data), generator=torch.Generator().manual_seed(0)).tolist()
train_size = int(0.8 * len(order))
train_loader = DataLoader(Subset(train_data, order[:train_size]), batch_size=32, shuffle=True)
validation_loader = DataLoader(Subset(validation_data, order[train_size:]), batch_size=32)

for name, loader in [("train", train_loader), ("validation", validation_loader)]:
    images = torch.cat([images for images, labels in loader])
    print(f"{name}: {len(images)} images of {tuple(images.shape[1:])}, mean {images.mean():.2f}")
