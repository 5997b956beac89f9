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
    segments, kept : int, of a film: how many it was made in, and how many of them were there from
        an earlier run; 0 for a film in one piece
    warnings : list of str, what could not be kept
    network : str, the one that was chosen for it; empty where it was given.
    source : str, of what kind it is and why, where that was told from its file; else empty
    missing : str, how much of a film could not be read; empty for a stray packet at most.
    """

    width: int = 0
    height: int = 0
    frames: int = 0
    segments: int = 0
    kept: int = 0
    warnings: list[str] = field(default_factory=list)
    network: str = ""
    source: str = ""
    missing: str = ""

    def warn(self, text):
        """Note what could not be kept, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def warn_all(self, texts):
        """Note several things, each once."""
        for text in texts:
            self.warn(text)
