"""Write networks as static libraries for C, compiled by Halide for a processor of choice.

Beside the library stand a header, the C file that holds the weights and calls the kernel, and a
program that enlarges a PPM file, for which a C compiler is enough.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from elsr_paddle.errors import InputError, needs
from elsr_paddle.export.format import (
    Format,
    as_channels,
    like_picture,
    network_name,
    write_bytes,
)

TEMPLATES = ("network.h", "network.c", "enlarge.c")
PROGRAM, LR, SR = "enlarge", "lr", "sr"  # files of a folder in which a program runs
WASM_FLAGS = ("-msimd128", "-mbulk-memory")
SECONDS = 300  # that a compiler may take, the first time with its C library, or the program
_A_LINE = 6  # of weights


class HalideLibrary(Format):
    """A static library for one kind of processor, in a folder of its own."""

    runtime = "a C program"
    requires = {"halide": ""}
    target = ""  # as Halide writes it
    compilers = ("cc", "gcc", "clang")
    emulator = ()  # what runs the program on this machine
    libraries = ("-lpthread", "-ldl", "-lm")

    def write(self, trained, folder, options):
        """The library comes first, the program last."""
        from elsr_paddle.engines.halide_engine import static_library

        name = network_name(trained)
        identifier = re.sub(r"\W", "_", name)
        folder = folder / self.name
        with tempfile.TemporaryDirectory(prefix="elsr_paddle_") as scratch:
            prefix = Path(scratch, f"lib{identifier}")
            call = static_library(trained.graph, self.target, prefix, f"{identifier}_kernel")
            texts = {template: _filled(template, identifier, trained, call)
                     for template in TEMPLATES}
            made = {f"lib{identifier}.a": prefix.with_suffix(".a").read_bytes(),
                    f"{identifier}_kernel.h": prefix.with_suffix(".h").read_bytes()}
        made.update({_file_name(template, identifier): text.encode()
                     for template, text in texts.items()})
        return [write_bytes(folder / name, data) for name, data in made.items()]

    def run(self, files, image):
        """Build the program and let it enlarge a file."""
        compiler = self.compiler()
        picture = as_channels(image)
        with tempfile.TemporaryDirectory(prefix="elsr_paddle_") as scratch:
            folder = Path(scratch)
            _write_pnm(folder / LR, picture)
            sources = [file for file in files if file.suffix == ".c"]
            _call([*compiler, "-O2", *sources, files[0], "-o", folder / PROGRAM, *self.libraries])
            self.enlarge(folder)
            return like_picture(_read_pnm(folder / SR, picture))

    def compiler(self):
        """The command that compiles C, with its flags.

        Raises
        ------
        InputError if a program is missing.
        """
        found = next(filter(None, map(shutil.which, self.compilers)), None)
        if found is None:
            raise InputError(f"no C compiler for {self.target}: expected one of "
                             f"{', '.join(self.compilers)}")
        if self.emulator and not shutil.which(self.emulator[0]):
            raise InputError(f"no {self.emulator[0]} to run programs for {self.target} with")
        return [found, "-static"] if self.emulator else [found]

    def enlarge(self, folder):
        """Run the program of a folder on its picture."""
        _call([*self.emulator, folder / PROGRAM, folder / LR, folder / SR])


class X86(HalideLibrary):
    """For Linux on processors with AVX2, of 2013 and later."""

    name = "halide-x86-64"
    help = "C programs on Linux, x86-64 with AVX2"
    target = "x86-64-linux-avx2-fma-f16c-sse41"

    def run(self, files, image):
        """On this processor, if it is one."""
        if platform.machine() not in ("x86_64", "AMD64"):
            raise InputError("this machine has no x86-64 processor")
        return super().run(files, image)


class Arm64(HalideLibrary):
    """For Linux on 64-bit Arm: cameras, boards, servers."""

    name = "halide-arm-64-linux"
    help = "C programs on Linux, 64-bit Arm: cameras, boards"
    target = "arm-64-linux"
    compilers = ("aarch64-linux-gnu-gcc",)
    emulator = ("qemu-aarch64",)


class Android(HalideLibrary):
    """For apps on 64-bit Arm phones, by the NDK."""

    name = "halide-arm-64-android"
    help = "Android apps, 64-bit Arm, by the NDK"
    target = "arm-64-android"

    def run(self, files, image):
        """Not here."""
        raise InputError("it runs on an Android phone alone; its code is that of "
                         "halide-arm-64-linux")


class Wasm(HalideLibrary):
    """For WebAssembly with vectors of 128 bits: pages and servers, by Emscripten or Zig."""

    name = "halide-wasm"
    help = "WebAssembly with SIMD: web pages by Emscripten, servers by WASI"
    target = "wasm-32-wasmrt-wasm_simd128-wasm_bulk_memory"
    runtime = "Wasmtime"
    libraries = ("-lm",)

    def compiler(self):
        """That of Zig, which brings a C library for WASI."""
        needs("ziglang", "dev")
        return [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", *WASM_FLAGS]

    def enlarge(self, folder):
        """In Wasmtime, which lets the program see this folder alone."""
        wasmtime = needs("wasmtime", "dev")
        wasi = wasmtime.WasiConfig()
        wasi.argv = (PROGRAM, LR, SR)
        wasi.preopen_dir(str(folder), ".")
        store = wasmtime.Store()
        store.set_wasi(wasi)
        linker = wasmtime.Linker(store.engine)
        linker.define_wasi()
        program = wasmtime.Module.from_file(store.engine, str(folder / PROGRAM))
        start = linker.instantiate(store, program).exports(store)["_start"]
        try:
            start(store)
        except wasmtime.ExitTrap as stopped:
            if stopped.code:
                raise InputError(f"the program ended with status {stopped.code}") from stopped


def _file_name(template, identifier):
    """Those of several networks may lie in one folder."""
    return template.replace("network", identifier).replace("enlarge", f"enlarge_{identifier}")


def _filled(template, identifier, trained, call):
    """A C file with the names and numbers of a network."""
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    values = {"SCALE": trained.scale, "CHANNELS": trained.channels,
              "BLOCK_PAIRS": call.block_pairs, "TILE_PAIRS": call.tile_pairs,
              "MARGIN_PAIRS": call.margin_pairs, "STRIPE_LINES": call.stripe_lines,
              "WORD_BITS": 8 * call.word_type.itemsize, "WORDS": call.words,
              "PARAMETERS": _as_text(call.parameters)}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    text = text.replace("elsr_network", identifier).replace("ELSR_NETWORK", identifier.upper())
    return re.sub(r"\bnetwork(?=(_kernel)?\.[hc])|(?<=lib)network(?=\.a)", identifier, text)


def _as_text(parameters):
    numbers = [np.format_float_scientific(value, unique=True, trim="0") + "f"
               for value in np.float32(parameters)]
    lines = [numbers[start : start + _A_LINE] for start in range(0, len(numbers), _A_LINE)]
    return ",\n".join(f"    {', '.join(line)}" for line in lines)


def _write_pnm(path, picture):
    height, width, channels = picture.shape
    kind = "P6" if channels == 3 else "P5"
    path.write_bytes(f"{kind}\n{width} {height}\n255\n".encode() + picture.tobytes())


def _read_pnm(path, picture):
    """The pixels of an enlargement of a picture."""
    pixels = np.frombuffer(path.read_bytes().split(b"\n", 3)[3], np.uint8)
    scale = round((pixels.size / picture.size) ** 0.5)
    height, width, channels = picture.shape
    return pixels.reshape(scale * height, scale * width, channels)


def _call(command):
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise InputError(f"{command[0]} failed: {' '.join(reason)}") from error
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{command[0]} took more than {SECONDS} s") from error
