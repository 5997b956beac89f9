"""State what is read and written, by suffix or pixel format, and how pictures are saved."""

from __future__ import annotations

# What each format can hold, best first, and how it is saved. Pillow's own defaults (JPEG and WebP
# at quality 75, half the colour resolution) would undo what was gained. AVIF's speed 8 takes 40 %
# of the time of its default, 6, and 1.5 % more bytes.
_GRAY_TO_COLOUR = ("L", "LA", "RGB", "RGBA")
_JPEG = {"quality": 95, "subsampling": 0}
FORMATS = {
    ".png": ((*_GRAY_TO_COLOUR, "I;16"), {}),
    ".jpg": (("L", "RGB", "CMYK"), _JPEG),
    ".jpeg": (("L", "RGB", "CMYK"), _JPEG),
    ".webp": (("RGB", "RGBA"), {"quality": 95}),
    ".avif": (("RGB", "RGBA"), {"quality": 90, "subsampling": "4:4:4", "speed": 8}),
    ".tif": ((*_GRAY_TO_COLOUR, "CMYK", "I;16"), {"compression": "tiff_deflate"}),
    ".tiff": ((*_GRAY_TO_COLOUR, "CMYK", "I;16"), {"compression": "tiff_deflate"}),
    ".bmp": (("L", "RGB", "RGBA"), {}),
    ".gif": (("RGB", "RGBA"), {}),
    ".jp2": (_GRAY_TO_COLOUR, {}),
    ".tga": (_GRAY_TO_COLOUR, {}),
    ".ppm": (("RGB",), {}),
    ".pgm": (("L", "I;16"), {}),
}
READABLE = frozenset(FORMATS) | {
    ".apng", ".dds", ".dib", ".ico", ".icns", ".jfif", ".jpe", ".pbm", ".pcx", ".pnm", ".psd",
    ".sgi", ".xbm",
}
ANIMATED = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF",
            ".tiff": "TIFF"}

# Containers that keep any timestamp, by FFmpeg's name.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

# Of raw frames that come and go through pipes, by FFmpeg's names.
PIXEL_FORMATS = ("gray", "yuv420p", "yuv422p", "yuv444p", "gray10le", "yuv420p10le", "yuv422p10le",
                 "yuv444p10le", "rgb24", "bgr24")
