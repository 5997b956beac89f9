"""Put pages together: one file each, with its styles and scripts inside and no way to the network.

The parts are files beside this one: `shell.html` around each page, `compare.html` and the like.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

_PARTS = Path(__file__).parent

FILM_CONTROLS = """<span class="film" hidden>
    <button type="button" data-film="play">Play</button>
    <button type="button" data-film="back" aria-label="A frame back">&#8249;</button>
    <button type="button" data-film="forward" aria-label="A frame forward">&#8250;</button>
    <input type="range" min="0" max="1000" value="0" aria-label="Place in the film">
    <output>0:00</output>$sound
  </span>"""
SOUND = '\n    <button type="button" data-film="sound" aria-pressed="true">Sound</button>'


@dataclass(frozen=True)
class Words:
    """The HTML that stands around what a page shows.

    Attributes
    ----------
    title : str
    intro : str, what the page is, in a sentence or two
    footer : str
    """

    title: str
    intro: str
    footer: str


def assemble(words: Words, content: Path, styles: tuple[str | Path, ...],
             scripts: tuple[str | Path, ...], **values: str) -> str:
    """A page as text, whose policy lets it run its own scripts and connect to nothing.

    Parameters
    ----------
    words : Words
    content : Path of an HTML file with the names of `values`
    styles, scripts : tuple of str, names of parts, or of Path, files elsewhere
    **values : str, HTML to put in
    """
    style = "\n".join(map(part, styles))
    script = "\n".join(map(part, scripts))
    shown = Template(part(content)).substitute(values)
    return Template(part("shell.html")).substitute(
        vars(words), content=shown, policy=_policy(style, script), style=style, script=script)


def part(name: str | Path) -> str:
    """The text of a part by its name, or of a file by its whole path."""
    return (_PARTS / name).read_text(encoding="utf-8")


def comparison(before: str, after: str, film: str = "", tools: str = "") -> str:
    """The inside of an element .compare.

    Parameters
    ----------
    before, after : str, HTML of two elements of these classes, such as <canvas class="before">
    film, tools : str, HTML of further controls
    """
    return Template(part("compare.html")).substitute(layers=before + after, film=film, tools=tools)


def film_controls(sound: bool) -> str:
    """HTML of what a film is played with, hidden until there is one."""
    return Template(FILM_CONTROLS).substitute(sound=SOUND if sound else "")


def as_json(values: Any) -> str:
    """JSON to stand in a <script>, which no text in it can end."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as an address, such as of an image; `kind` is their media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _policy(style, script):
    """Content-Security-Policy: these very styles and scripts, and data that the page holds."""
    return "; ".join(["default-src 'none'", f"style-src {_digest(style)}",
                      f"script-src {_digest(script)}", "img-src data: blob:",
                      "media-src data: blob:", "connect-src 'none'", "form-action 'none'",
                      "base-uri 'none'"])


def _digest(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
