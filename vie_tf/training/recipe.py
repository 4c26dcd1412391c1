"""The constants of Instance Recognition: the paper's for large data sets, others for small ones."""

from __future__ import annotations

from dataclasses import dataclass

# The paper's constants are kept from here on (its data set has 240,000 videos).
LARGE = 20_000


@dataclass(frozen=True)
class Recipe:
    """What depends on the number of videos.

    Attributes:
        noise_samples: K of the NCE estimate; 0 is the softmax over the whole bank.
        temperature: tau of eq. 2.
        bank_momentum: share of the old row in eq. 1's running mean.
        bn_momentum: of batch normalisation's moving statistics.
        learning_rate: of momentum SGD.
    """

    noise_samples: int = 4096
    temperature: float = 0.07
    bank_momentum: float = 0.5
    bn_momentum: float = 0.997
    learning_rate: float = 0.03


def recipe(videos: int) -> Recipe:
    """The default constants for a number of training videos."""
    if videos >= LARGE:
        return Recipe()
    return Recipe(noise_samples=0, temperature=0.2, bn_momentum=0.98, learning_rate=0.01)
