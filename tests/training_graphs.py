"""A stand-in for a network's description, and the same network in Paddle's own operations."""
from __future__ import annotations
from dataclasses import dataclass
@dataclass(frozen=True)
class Input: channels: int
@dataclass(frozen=True)
class Conv:
    name: str; inputs: int; outputs: int; kernel: int; learning_rate: float = 1.0
@dataclass(frozen=True)
class PReLU:
    name: str; channels: int; shared: bool = False
@dataclass(frozen=True)
class ReLU: pass
@dataclass(frozen=True)
class LeakyReLU: slope: float
@dataclass(frozen=True)
class Tanh: pass
@dataclass(frozen=True)
class Add: pass
@dataclass(frozen=True)
class PixelShuffle: scale: int
@dataclass(frozen=True)
class Node:
    op: object; sources: tuple = ()
@dataclass(frozen=True)
class Graph: nodes: tuple
