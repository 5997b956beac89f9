"""ELSR ("Extreme Low-Power Super Resolution", arXiv 2208.14600) in PaddlePaddle."""

__version__ = "0.1.0"
