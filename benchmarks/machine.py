"""Describe the machine and the packages that figures were measured with."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("halide", "openvino", "paddlepaddle", "onnxruntime", "torch", "opencv-python-headless")


def about(packages: tuple = PACKAGES) -> str:
    """The processor, its cores, the versions of the packages and the date, in one line."""
    installed = []
    for package in packages:
        try:
            installed.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{_processor()}, {os.cpu_count()} cores; {', '.join(installed)}; {time.strftime('%F')}"


def programs(commands: tuple) -> str:
    """The first line that each command prints, of those that are installed, in one line."""
    found = []
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        found += done.stdout.splitlines()[:1]
    return "; ".join(line.strip(" ,") for line in found)


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
