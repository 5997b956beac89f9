"""Describe the machine and the packages that figures were measured with."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("halide", "openvino", "paddlepaddle", "onnxruntime", "torch", "opencv-python-headless")


def about() -> str:
    """The processor, its cores, the versions of the packages and the date, in one line."""
    installed = []
    for package in PACKAGES:
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{_processor()}, {os.cpu_count()} cores; {', '.join(installed)}; {time.strftime('%F')}"


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
