"""Record what became of an input."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What became of one input.

    Attributes
    ----------
    width, height : int, pixels of the output
    frames : int, 1 for a still picture
    warnings : list of str, what could not be kept
    missing : str, how much of a film could not be read; empty for a stray packet at most.
    """

    width: int = 0
    height: int = 0
    frames: int = 0
    warnings: list[str] = field(default_factory=list)
    missing: str = ""

    def warn(self, text):
        """Note what could not be kept, once."""
        if text not in self.warnings:
            self.warnings.append(text)
