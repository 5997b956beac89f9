"""Drive a page in headless Chromium, to see what it shows."""

from __future__ import annotations

import base64
import io
import shutil
from contextlib import contextmanager

import numpy as np

from elsr_paddle.errors import InputError, needs

_PATIENCE = 120_000  # ms: without a GPU the shaders of a wide network compile for seconds


@contextmanager
def browser_page(width: int = 1280, height: int = 800):
    """A page of headless Chromium, as a context that yields playwright's own.

    Chromium of the system is taken where there is one, else playwright's. Without a GPU its
    software renders.

    Raises
    ------
    InputError if playwright or a browser is missing.
    """
    needs("playwright", "dev")
    from playwright import sync_api

    found = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader",
             "--enable-unsafe-swiftshader"]
    with sync_api.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=found, args=flags)
        except sync_api.Error as error:
            raise InputError("no Chromium can be started: install it, or run `playwright install "
                             f"chromium` ({str(error).splitlines()[0]})") from error
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(_PATIENCE)
            yield page
        finally:
            browser.close()


_READ = """() => {
    const canvas = document.querySelector("canvas.after"), copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    copy.getContext("2d").drawImage(canvas, 0, 0);
    return copy.toDataURL("image/png").split(",")[1];
}"""


def enlarged_by(opened, image: np.ndarray) -> np.ndarray:
    """Give the page a picture and read the pixels that it shows.

    Parameters
    ----------
    opened : playwright's page, with an exported one in it
    image : uint8 array (H, W, 3), or (H, W), which is shown as gray

    Returns
    -------
    uint8 array (s*H, s*W, 3) or (s*H, s*W)

    Raises
    ------
    InputError if the browser cannot run the page, as one without WebGL 2.
    """
    from PIL import Image

    opened.wait_for_selector("body[data-state]")
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    opened.set_input_files("#file", {"name": "picture.png", "mimeType": "image/png",
                                     "buffer": file.getvalue()})
    opened.wait_for_selector("body[data-state=failed], body[data-shown='picture.png']")
    if opened.get_attribute("body", "data-state") == "failed":
        raise InputError(f"the browser could not run the page: {opened.inner_text('.status')}")
    shown = Image.open(io.BytesIO(base64.b64decode(opened.evaluate(_READ))))
    return np.asarray(shown.convert("L" if image.ndim == 2 else "RGB"))
