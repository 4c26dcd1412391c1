"""What the twins of the training-step benchmark are made of: numbers that both frameworks share."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Path:
    """A pre-activation ResNet-18; the default looks at every frame alone.

    Attributes:
        widths: channels of the stages; the stem has those of the first.
        stem: frames that the first kernel spans.
        first: frames that the first kernel of each block spans, by stage.
        cube: the blocks' second kernels span 3 frames, and whatever halves height and width, but
            for the stem, halves time.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: int = 1
    first: tuple[int, ...] = (1, 1, 1, 1)
    cube: bool = False

    @property
    def flat(self) -> bool:
        """Whether 2D layers do."""
        return not self.cube and max(self.stem, *self.first) == 1


FRAME = Path()
CUBE = Path(stem=7, first=(3, 3, 3, 3), cube=True)
SLOW = Path(first=(1, 1, 3, 3))
FAST = Path(widths=(8, 16, 32, 64), stem=5, first=(3, 3, 3, 3))

# Frames and pixels of the clips.
CLIPS = {
    "single": (1, 224),
    "resnet3d": (16, 112),
    "vanilla3d": (16, 224),
    "slow": (4, 224),
    "fast": (16, 224),
    "slowfast": (16, 224),
    "trn": (4, 224),
    "relation4": (4, 224),
}

# slowfast is SLOW and FAST.
PATHS = {
    "single": FRAME,
    "resnet3d": CUBE,
    "vanilla3d": CUBE,
    "slow": SLOW,
    "fast": FAST,
    "trn": FRAME,
    "relation4": FRAME,
}
ALPHA = 4  # Fast frames for each Slow frame
SUBSETS = 8  # at most, of each size, in relation4
DIMENSION = 128
