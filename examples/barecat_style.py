"""Random access to single images from several processes, as with a Barecat archive: `dataset[i]` is all it takes.

Only the bytes of the images that are asked for are fetched. `dataset.to_torch()` is this class made ready, and reads a
batch's images at once.

python barecat_style.py JOB
"""

import sys
from collections import Counter

import torch
from torch.utils.data import DataLoader, Dataset

from pixcrawler import load_dataset


class CrawledImages(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, job_id: str) -> None:
        self.images = load_dataset(job_id, image_size=64)
        self.class_to_idx = self.images.class_to_idx

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = self.images[index]
        return torch.from_numpy(image).permute(2, 0, 1), self.class_to_idx[label]


def main(job_id: str) -> None:
    data = CrawledImages(job_id)
    seen: Counter[int] = Counter()
    for images, labels in DataLoader(data, batch_size=16, shuffle=True, num_workers=2):
        assert images.shape[1:] == (3, 64, 64)
        seen.update(labels.tolist())
    for name, index in data.class_to_idx.items():
        print(name, seen[index])


if __name__ == "__main__":
    main(sys.argv[1])
