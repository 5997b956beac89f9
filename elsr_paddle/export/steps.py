"""Say which values the 8-bit integers of features stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LOWEST, HIGHEST = -128, 127


@dataclass(frozen=True)
class Step:
    """The values that integers q of -128..127 stand for: scale * (q - zero).

    Attributes
    ----------
    scale : float, or while steps are sought float array (channels, 1), one a channel
    zero : int, the integer that stands for zero
    """

    scale: float | np.ndarray
    zero: int

    def integers(self, values: np.ndarray) -> np.ndarray:
        """int8 array, rounded half to even, as runtimes do."""
        scaled = np.rint(values / np.float32(self.scale)) + self.zero
        return scaled.clip(LOWEST, HIGHEST).astype(np.int8)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """The values that are left of float values."""
        return (self.integers(values) - np.float32(self.zero)) * np.float32(self.scale)


PIXELS = Step(float(np.float32(1 / 255)), LOWEST)  # of picture and result: their bytes less 128
