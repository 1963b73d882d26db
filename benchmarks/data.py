"""How fast the batches of CIFAR-10 come, against torchvision's DataLoader with transforms of each image.

Both give float32 batches of 128 on the CPU, augmented alike: a crop out of 4 black pixels around, mirrored with
probability ½, each channel standardized. Rounds are interleaved, so that whatever else the machine does meets all of
them, and a ratio is the median of the rounds' ratios. PyTorch keeps to one thread in every process: the in-memory
loader uses one core, a DataLoader one for each worker besides the process that receives the batches.

    python -m benchmarks.data [data_dir]        data_dir: the folder with cifar-10-batches-py, or environment BNN_DATA
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable

import torch
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import CIFAR10

from configs.settings import UserError
from datamodules import DATASETS

BATCH = 128


def in_memory(data_dir: str) -> Iterable:
    """Our batches of the 45,000 training images."""
    module = DATASETS["cifar10"]
    config = module.Config(scaling="standardize", augment="crop_flip")
    data = module(config, data_dir, batch_size=BATCH, seed=0, split_seed=0)
    data.prepare_data()
    data.setup("fit")
    return data.train_dataloader()


def per_image(data_dir: str, workers: int) -> DataLoader:
    """The usual DataLoader of Pillow images; an epoch is 50 batches of random training images, for it takes long."""
    steps = [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ]
    data = CIFAR10(data_dir, transform=transforms.Compose(steps))
    sampler = RandomSampler(data, num_samples=50 * BATCH)
    return DataLoader(data, BATCH, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)


def images_per_second(batches: Iterable) -> float:
    """Rate over one epoch, drawing its order included."""
    start = time.perf_counter()
    images = sum(len(y) for _, y in batches)
    return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", nargs="?", default=os.environ.get("BNN_DATA", "data"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.data_dir
    try:
        loaders: dict[str, Iterable] = {"in memory, batched": in_memory(folder)}
    except UserError as error:
        sys.exit(str(error))
    loaders |= {f"DataLoader, {workers} workers": per_image(folder, workers) for workers in (0, 2)}

    for loader in loaders.values():  # starts the workers
        images_per_second(loader)
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(arguments.rounds):
        for name, loader in loaders.items():
            rates[name].append(images_per_second(loader))
    ours, *others = rates
    print(f"{ours:<22} {statistics.median(rates[ours]):>9,.0f} images/s")
    for name in others:
        ratio = statistics.median(a / b for a, b in zip(rates[ours], rates[name], strict=True))
        print(f"{name:<22} {statistics.median(rates[name]):>9,.0f} images/s, in memory is {ratio:.1f}× as fast")


if __name__ == "__main__":
    main()
