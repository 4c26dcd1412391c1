"""Every family as one would write it plainly in PyTorch, and one supervised training step of it.

Channels-last, softmax cross-entropy on a 128-d head, `torch.optim.SGD` with momentum and weight
decay. This file runs in PyTorch's own environment and imports nothing of vie_tf.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

from benchmarks import shapes


class Block(nn.Module):
    """Two convolutions after batch normalisation and ReLU; the first of a stage projects."""

    def __init__(self, conv, norm, before, width, time, second, stride, project):
        super().__init__()
        self.norm1, self.norm2 = norm(before), norm(width)
        self.projection = conv(before, width, 1, 1, stride) if project else None
        self.conv1 = conv(before, width, time, 3, stride)
        self.conv2 = conv(width, width, second, 3)

    def forward(self, x):
        y = functional.relu(self.norm1(x))
        shortcut = self.projection(y) if self.projection else x
        y = functional.relu(self.norm2(self.conv1(y)))
        return shortcut + self.conv2(y)


class Path(nn.Module):
    """The residual network; `joining` are the channels that join after the pooling and stages."""

    def __init__(self, shape: shapes.Path, joining=(0, 0, 0, 0, 0)):
        super().__init__()
        flat, halve = shape.flat, 2 if shape.cube else 1
        norm = nn.BatchNorm2d if flat else nn.BatchNorm3d
        deep = 3 if shape.cube else 1

        def conv(before, width, time, size, stride=(1, 1, 1)):
            kind = nn.Conv2d if flat else nn.Conv3d
            kernel = (time, size, size)[flat:]
            padding = tuple(k // 2 for k in kernel)
            return kind(before, width, kernel, stride[flat:], padding, bias=False)

        self.stem = conv(3, shape.widths[0], shape.stem, 7, (1, 2, 2))
        pool = nn.MaxPool2d if flat else nn.MaxPool3d
        self.pool = pool((deep, 3, 3)[flat:], (halve, 2, 2)[flat:], (deep // 2, 1, 1)[flat:])
        self.stages = nn.ModuleList()
        before = shape.widths[0] + joining[0]
        for stage, (width, time) in enumerate(zip(shape.widths, shape.first)):
            stride = (halve, 2, 2) if stage else (1, 1, 1)
            self.stages.append(
                nn.Sequential(
                    Block(conv, norm, before, width, time, deep, stride, True),
                    Block(conv, norm, width, width, time, deep, (1, 1, 1), False),
                )
            )
            before = width + joining[stage + 1]
        self.norm = norm(before)

    def forward(self, x, joining=()):
        """The maps after the pooling and each stage, and the mean of the last one over space."""
        joints = []
        for layer in (nn.Sequential(self.stem, self.pool), *self.stages):
            x = layer(x)
            joints.append(x)
            if joining:
                x = torch.cat([x, joining[len(joints) - 1]], 1)
        return joints, functional.relu(self.norm(x)).flatten(2).mean(2)


class Relations(nn.Module):
    """Frames' features [B, T, C] through an MLP for each size of subset, summed to [B, 512]."""

    def __init__(self, frames: int, width: int):
        super().__init__()
        self.sizes = range(frames, 1, -1)
        self.chosen = [
            list(itertools.combinations(range(frames), size))[: shapes.SUBSETS]
            for size in self.sizes
        ]
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(size * width, 512), nn.ReLU(), nn.Linear(512, 512))
            for size in self.sizes
        )

    def forward(self, frames):
        pairs = zip(self.chosen, self.mlps)
        return sum(mlp(frames[:, chosen].flatten(2)).sum(1) for chosen, mlp in pairs)


class Network(nn.Module):
    """From clips uint8 [B, T, H, W, 3] to [B, 128]."""

    def __init__(self, family: str, frames: int):
        super().__init__()
        self.family, self.frames = family, frames
        if family == "slowfast":
            widths = shapes.FAST.widths[:1] + shapes.FAST.widths
            self.fast = Path(shapes.FAST)
            self.slow = Path(shapes.SLOW, [2 * width for width in widths])
            self.laterals = nn.ModuleList(
                nn.Conv3d(w, 2 * w, (5, 1, 1), (shapes.ALPHA, 1, 1), (2, 0, 0), bias=False)
                for w in widths
            )
            features = shapes.SLOW.widths[-1] + 2 * widths[-1] + widths[-1]
        else:
            shape = shapes.PATHS[family]
            self.path, features = Path(shape), shape.widths[-1]
            self.relations = Relations(frames, features) if family == "relation4" else None
            features *= frames if family == "trn" else 1
        self.head = nn.Linear(features, shapes.DIMENSION)

    def forward(self, clips):
        if self.family != "slowfast" and shapes.PATHS[self.family].flat:
            x = clips.flatten(0, 1).permute(0, 3, 1, 2).float().div(255)
            x = self.path(x)[1].unflatten(0, (-1, self.frames))
            x = self.relations(x) if self.relations else x.flatten(1)
            return self.head(x)
        x = clips.permute(0, 4, 1, 2, 3).float().div(255)
        if self.family == "slowfast":
            joints, fast = self.fast(x)
            laterals = [lateral(y) for lateral, y in zip(self.laterals, joints)]
            _, slow = self.slow(x[:, :, :: shapes.ALPHA], laterals)
            return self.head(torch.cat([slow, fast], 1))
        return self.head(self.path(x)[1])


def make_step(
    family: str,
    frames: int,
    image_size: int,
    batch_size: int,
    threads: int,
    device: str = "cpu",
    precision: str = "float32",
):
    """Trainable parameters, and a step on fixed random data: a function that returns the loss."""
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    flat = family != "slowfast" and shapes.PATHS[family].flat
    layout = torch.channels_last if flat else torch.channels_last_3d
    model = Network(family, frames).to(device=device, memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 0.003, momentum=0.9, weight_decay=1e-4)
    size = (batch_size, frames, image_size, image_size, 3)
    clips = torch.randint(0, 256, size, dtype=torch.uint8, device=device)
    labels = torch.randint(0, shapes.DIMENSION, (batch_size,), device=device)

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = functional.cross_entropy(model(clips), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return sum(p.numel() for p in model.parameters()), step
