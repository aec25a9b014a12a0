"""PyTorch modules that the tests of `from_torch` hand in. Imported only where torch is installed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """A basic block of He et al., "Deep residual learning for image recognition", CVPR 2016, fig. 5 left."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        projected = stride > 1 or channels != out
        self.shortcut = (
            nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            if projected
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """Table 1 there, 18 layers; `width` is the channels of its first stage, 64 in the paper."""

    def __init__(self, width: int = 64, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        wide = [width * 2**stage for stage in range(4)]
        blocks: list[nn.Module] = []
        for before, out in zip([width, *wide], wide, strict=False):
            blocks += [Block(before, out, 1 + (out > before)), Block(out, out, 1)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(wide[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.stem(x))
        return self.head(functional.adaptive_avg_pool2d(y, 1).flatten(1))


class GptBlock(nn.Module):
    """A block of Radford et al., "Language models are unsupervised multitask learners", 2019: norms first,
    causal attention of several heads, a feed-forward layer of four times the width."""

    def __init__(self, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            part.view(batch, tokens, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.feed(self.norm2(x))


class Gpt(nn.Module):
    """Token and place embeddings, one block, and a head without bias."""

    def __init__(self, width: int = 32, words: int = 50, tokens: int = 8) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(tokens, width)
        self.block, self.norm = GptBlock(width), nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, words: Tensor) -> Tensor:
        x = self.words(words) + self.places(torch.arange(words.shape[1]))
        return self.head(self.norm(self.block(x)))


class Branches(nn.Module):
    """What no exporter can unroll: a branch on a value."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class Modes(nn.Module):
    """Dropout, and parts in different modes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2)

    def forward(self, x: Tensor, *, scale: Tensor | None = None) -> Tensor:
        y = self.last(self.drop(self.first(x)))
        return y if scale is None else y * scale


def settled(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with statistics of its batch norms unlike what they begin with."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module


def results(module: nn.Module, *args: Any, **kwargs: Any) -> list[Tensor]:
    """All tensors that the module gives in evaluation mode, in order."""
    with torch.no_grad():
        found = module.eval()(*args, **kwargs)
    return list(_flat(found))


def _flat(found: Any) -> list[Tensor]:
    return [found] if isinstance(found, Tensor) else [one for part in found for one in _flat(part)]
