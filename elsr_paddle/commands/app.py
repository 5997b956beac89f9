"""Show the page on which people enlarge a picture or a film in their browser: `elsr app`.

What visitors upload and what becomes of it lies in one private folder and goes after an hour, or
with the page. Nothing else of the machine is served, and no request leaves it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from elsr_paddle.commands.arguments import Parser
from elsr_paddle.commands.enlarge import sigterm_as_exit
from elsr_paddle.commands.shared import run
from elsr_paddle.errors import InputError, needs

PORT = 7860
LIMIT_MB = 200
MAX_PIXELS = 2**27  # of an output: a photo of 8 megapixels x4
KEEP_SECONDS = 3600


def build_parser() -> argparse.ArgumentParser:
    """The flags of `elsr app`."""
    parser = Parser(prog="elsr app", description="Enlarge pictures and films on a page in the "
                    "browser. Several visitors wait in a queue.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
                        help="address to listen on; 0.0.0.0 lets other machines in (default: "
                             "GRADIO_SERVER_NAME, else 127.0.0.1)")
    parser.add_argument("--port", type=int,
                        default=os.environ.get("GRADIO_SERVER_PORT", str(PORT)),
                        help=f"default: GRADIO_SERVER_PORT, else {PORT}")
    parser.add_argument("--max-file-size", type=int, default=LIMIT_MB, metavar="MB",
                        help=f"refuse uploads above this (default: {LIMIT_MB})")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, metavar="N",
                        help=f"refuse outputs above this (default: {MAX_PIXELS:,})")
    parser.add_argument("--keep", type=int, default=KEEP_SECONDS, metavar="SECONDS",
                        help=f"remove files of visitors after this (default: {KEEP_SECONDS})")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Serve the page until Ctrl-C; the exit status."""
    args = build_parser().parse_args(argv)
    if min(args.max_file_size, args.max_pixels, args.keep) < 1 or not 0 < args.port < 2**16:
        raise InputError("expected limits from 1 and a port up to 65535 but got "
                         f"--max-file-size {args.max_file_size} --max-pixels {args.max_pixels} "
                         f"--keep {args.keep} --port {args.port}")
    with sigterm_as_exit(), tempfile.TemporaryDirectory(prefix="elsr-app-") as folder:
        uploads, work = Path(folder, "uploads"), Path(folder, "work")
        uploads.mkdir()
        work.mkdir()
        # Both are read as gradio is imported.
        os.environ.update(GRADIO_TEMP_DIR=str(uploads), GRADIO_ANALYTICS_ENABLED="False")
        needs("gradio", "app")
        _serve(args, uploads, work)
    return 0


def _serve(args, uploads, work):
    from elsr_paddle.commands.app_page import Studio, build_page, launch_options

    studio = Studio(uploads, work, args.max_pixels)
    page = build_page(studio, args.max_file_size, args.keep)
    try:
        _, url, _ = page.launch(server_name=args.host, server_port=args.port,
                                **launch_options(studio, args.max_file_size))
    except OSError as error:
        raise InputError(f"cannot listen on {args.host}:{args.port}, which may be taken; choose "
                         "another --port or --host") from error
    print(f"the page is at {url}; Ctrl-C ends it", flush=True)
    try:
        page.block_thread()
    finally:
        page.close(verbose=False)


if __name__ == "__main__":
    run(main)
