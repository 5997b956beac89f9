"""Pages in a real browser: a network that enlarges there, and reports with a slider."""

import http.server
import json
import re
import shutil
import subprocess
import threading

import av
import numpy as np
import pytest
from odd_networks import OnBicubic, Residual, Saturating
from PIL import Image

from elsr_paddle.commands import enlarge, test_video
from elsr_paddle.commands import test as test_command
from elsr_paddle.errors import InputError
from elsr_paddle.evaluation.clip import StackedClip
from elsr_paddle.evaluation.report import MOST_FRAMES, MOST_ITEMS, Report, ReportClip
from elsr_paddle.export.browser import browser_page, enlarged_by
from elsr_paddle.export.format import ExportOptions
from elsr_paddle.export.html import HtmlPage
from elsr_paddle.imaging.luma import upscale_by_luma
from elsr_paddle.networks import zoo
from elsr_paddle.networks.graph import evaluate
from elsr_paddle.networks.weights import read

LEVELS = 2  # of 255
pytestmark = pytest.mark.xdist_group("pages")  # one browser for all tests
WIDTHS = (1280, 390)  # of a desk's window and of a phone, in CSS pixels


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; skips the test where there is none."""
    try:
        with browser_page() as page:
            yield page.context.browser
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def opened(browser):
    """Opens a file: opened(path, width=1280); at the end no complaint may stand in the console."""
    pages, complaints = [], []

    def open_file(path, width=1280, script=""):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.set_default_timeout(120_000)  # ms: SwiftShader shares the cores with other tests
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(path.absolute().as_uri())
        pages.append(page)
        return page

    yield open_file
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture(scope="module")
def elsr_y_page(tmp_path_factory):
    """The page of elsr-y x2."""
    folder = tmp_path_factory.mktemp("page")
    return HtmlPage().write(read(zoo.find("elsr-y", 2)), folder, ExportOptions())[0]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two seconds of H.264 with sound, 96x64."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=96x64:d=2", "-f",
                    "lavfi", "-i", "sine=d=2", "-pix_fmt", "yuv420p", "-c:v", "libx264", path],
                   check=True)  # fmt: skip
    return path


def shown(page):
    """Waits until the page shows something."""
    page.wait_for_selector("body[data-state=shown]")
    return page


def until(page, condition):
    """Waits until a JavaScript function gives true; the page's policy lets playwright not poll."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"never true: {condition}")


def reference(graph, image):
    """What the package makes of an RGB picture, computed in float64."""

    def levels(channels):
        return np.rint(evaluate(graph, channels).clip(0, 255)).astype(np.uint8)

    if graph.channels == 3:
        return levels(image)
    return upscale_by_luma(image, lambda plane: levels(plane[:, :, None])[:, :, 0])


@pytest.mark.parametrize(("kind", "options"), [
    ("elsr-y", {"scale": 2}), ("elsr-l", {"scale": 3, "depth": 1}), ("elsr", {"scale": 4}),
    (Saturating(), {}), (OnBicubic(), {}), (Residual(), {}),
])  # fmt: skip
def test_the_page_shows_what_the_package_computes(
    kind, options, tmp_path, noise, trained, opened
):
    made = trained(kind, **options)
    page = opened(HtmlPage().write(made, tmp_path, ExportOptions())[0])
    image = noise(14, 19, 3)
    found = enlarged_by(page, image).astype(int)
    assert np.abs(found - reference(made.graph, image)).max() <= LEVELS


def test_bicubic_on_the_page_is_that_of_the_package(elsr_y_page, noise, opened):
    from elsr_paddle.imaging.resize import imresize

    page, image = opened(elsr_y_page), noise(12, 17, 3)
    enlarged_by(page, image)
    pixels = page.evaluate("""() => {
        const canvas = document.querySelector("canvas.before");
        return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
    }""")
    found = np.reshape(pixels, (24, 34, 4))[:, :, :3]
    assert np.abs(found - imresize(image.astype(float), scale=2).clip(0, 255)).max() <= LEVELS


def test_a_film_plays_with_its_sound_and_each_frame_is_enlarged(elsr_y_page, film, opened):
    page = shown(opened(elsr_y_page))
    page.set_input_files("#file", film)
    page.wait_for_selector("body[data-shown='film.mp4']")
    until(page, "() => drawn.length > 2 && video.currentTime > 0.2")
    canvas, muted = page.evaluate(
        "() => [[compare.after.width, compare.after.height], video.muted]")
    assert (canvas, muted) == ([192, 128], False)
    assert page.inner_text("[data-film=play]") == "Pause"
    page.click("[data-film=play]")
    at = page.evaluate("() => video.currentTime")
    page.click("[data-film=back]")
    until(page, f"() => Math.abs(video.currentTime - {max(0, at - 1 / 25)}) < 0.02")


def test_a_paused_film_shows_the_frame_that_is_sought(elsr_y_page, film, opened):
    page = shown(opened(elsr_y_page))
    page.set_input_files("#file", film)
    page.wait_for_selector("body[data-shown='film.mp4']")
    page.keyboard.press(" ")
    until(page, "() => video.paused")
    page.evaluate("() => { globalThis.seen = compare.after.toDataURL(); }")
    for place in (900, 100):
        page.locator(".film input").fill(str(place))
        until(page, "() => compare.after.toDataURL() !== seen")
        page.evaluate("() => { seen = compare.after.toDataURL(); }")


def test_slider_zoom_and_lens_obey_keys(elsr_y_page, opened):
    page = shown(opened(elsr_y_page))
    page.keyboard.press("l")  # without focus
    assert page.locator(".lens").is_visible()
    page.keyboard.press("l")
    handle = page.locator(".handle")
    handle.focus()
    for key in ("End", "ArrowLeft", "Shift+ArrowLeft", "PageDown"):
        handle.press(key)
    assert handle.get_attribute("aria-valuenow") == "78"  # 100 - 2 - 10 - 10
    page.keyboard.press("l")
    assert page.locator(".lens").is_visible()
    page.keyboard.press("l")
    fitting = page.inner_text(".zoom")
    page.keyboard.press("+")
    assert page.inner_text(".zoom") != fitting
    page.keyboard.press("0")
    assert page.inner_text(".zoom") == fitting


def test_the_slider_follows_a_pointer_and_divides_the_pictures(elsr_y_page, opened):
    page = shown(opened(elsr_y_page))
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=4)
    page.mouse.up()
    assert page.locator(".handle").get_attribute("aria-valuenow") == "25"
    cut = page.evaluate("() => getComputedStyle(compare.after).clipPath")
    assert re.fullmatch(r"inset\(0px 0px 0px 2[45](\.\d+)?%\)", cut)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_window_and_so_do_its_buttons(width, elsr_y_page, film, opened):
    page = shown(opened(elsr_y_page, width))
    page.set_input_files("#file", film)
    page.wait_for_selector("body[data-shown='film.mp4']")
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    sides = page.evaluate("() => [...document.querySelectorAll('.tools button:not([hidden])')]"
                          ".map((button) => button.getBoundingClientRect().right)")
    assert max(sides) < width


class Silent(http.server.BaseHTTPRequestHandler):
    """Counts requests."""

    seen: list = []

    def do_GET(self):  # noqa: N802, the library's name
        self.seen.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def test_nothing_leaves_the_page_even_if_a_script_tries(elsr_y_page, browser):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(elsr_y_page.absolute().as_uri())
    shown(page)
    assert {url.partition(":")[0] for url in requests} <= {"file", "blob", "data"}
    outcome = page.evaluate("""(port) => {
        const address = `http://127.0.0.1:${port}/`, image = new Image();
        image.src = address + "image";
        return fetch(address + "fetch").then(() => "sent", () => "refused");
    }""", server.server_port)
    page.close()
    server.shutdown()
    assert (outcome, Silent.seen) == ("refused", [])


@pytest.mark.parametrize(("script", "reason"), [
    ("HTMLCanvasElement.prototype.getContext = () => null;", "WebGL 2"),
    ("WebGL2RenderingContext.prototype.getExtension = () => null;", "EXT_color_buffer_float"),
])  # fmt: skip
def test_a_browser_that_cannot_is_told_why(script, reason, elsr_y_page, opened):
    page = opened(elsr_y_page, script=script)
    page.wait_for_selector("body[data-state=failed]")
    assert reason in page.inner_text(".status")


def test_a_file_that_is_no_picture_is_refused_in_words(elsr_y_page, opened):
    page = shown(opened(elsr_y_page))
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"text"})
    page.wait_for_selector("body[data-state=failed]")
    assert "cannot read a.txt" in page.inner_text(".status")


def test_a_picture_too_large_for_the_page_is_cut(elsr_y_page, opened):
    page = shown(opened(elsr_y_page))
    width, height = page.evaluate("() => network.fitting(4000, 3000)")
    assert 2 * width * 2 * height <= 2**24
    assert width / height == pytest.approx(4 / 3, rel=0.01)


def picture(path, noise, *size):
    Image.fromarray(noise(*size, 3)).save(path)
    return path


def test_a_report_of_what_was_enlarged_shows_pictures_and_films(tmp_path, noise, film, opened):
    source = picture(tmp_path / "a <script> b.png", noise, 12, 16)
    report = tmp_path / "report.html"
    assert enlarge.main([str(source), str(film), "-o", str(tmp_path / "out"), "--scale", "2",
                         "--engine", "numpy", "--report", str(report)]) == 0
    page = opened(report)
    assert page.locator("h2").all_inner_texts() == ["a <script> b.png", "film.mp4"]
    until(page, """() => document.querySelector(".tag.right")?.textContent === "elsr-l" """)
    forward = page.locator("[data-film=forward]:visible")
    forward.scroll_into_view_if_needed()
    until(page, """() => ["before", "after"].every((side) => {
        const canvas = document.querySelector(`article:last-child canvas.${side}`);
        return canvas && canvas.width === 192 && canvas.height === 128;
    })""")


def test_a_report_and_a_comparison_in_the_output_exclude_each_other(tmp_path, noise):
    source = picture(tmp_path / "a.png", noise, 12, 16)
    with pytest.raises(InputError, match="--report or --compare"):
        enlarge.main([str(source), "-o", str(tmp_path / "b.png"), "--compare", "split",
                      "--report", str(tmp_path / "report.html")])


def test_inputs_that_all_failed_leave_no_report(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert enlarge.main([str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), "--engine",
                         "numpy", "--report", str(tmp_path / "report.html")]) == 2
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_of_stills_shows_the_decibels_and_the_original(
    width, tmp_path, noise, opened, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    source = picture(tmp_path / "a.png", noise, 48, 64)
    assert test_command.main([str(source), "--model", "elsr", "--engine", "numpy",
                              "--report", "report.html"]) == 0
    page = opened(tmp_path / "report.html", width)
    (item,) = json.loads((tmp_path / "out/test.json").read_text())["items"]
    for method in ("bicubic", "elsr"):
        assert f"{method} {item[method]['psnr_db']:.2f} dB" in page.inner_text(".scores")
    page.locator("select").first.select_option("original")
    assert page.inner_text(".tag.left") == "original"
    assert page.evaluate("() => document.documentElement.scrollWidth") == width


def test_a_report_of_a_clip_tells_the_decibels_of_each_frame(
    tmp_path, noise, opened, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip").mkdir()
    for number in range(3):
        picture(tmp_path / f"clip/{number}.png", noise, 32, 48)
    assert test_video.main(["clip", "--model", "elsr", "--engine", "numpy",
                            "--report", "report.html"]) == 0
    page = opened(tmp_path / "report.html")
    page.wait_for_selector("text=in frame 1")
    page.click("[data-film=forward]")
    page.wait_for_selector("text=in frame 2")


def test_a_report_holds_a_limited_number_of_pictures_and_says_so(tmp_path, noise):
    report = Report("title")
    for number in range(MOST_ITEMS + 2):
        report.add_picture(str(number), {"a": noise(4, 4, 3), "b": noise(4, 4, 3)})
    report.write(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "2 more are left out" in text
    assert text.count('"name":') == MOST_ITEMS


def test_a_report_cuts_large_pictures_to_their_middle(tmp_path):
    report, wide = Report("title"), np.zeros((10, 2000, 3), np.uint8)
    report.add_picture("wide", {"a": wide, "b": wide})
    report.write(tmp_path / "report.html")
    assert "the middle 1600x10 of 2000x10" in (tmp_path / "report.html").read_text()


def test_a_report_with_nothing_in_it_is_refused(tmp_path):
    with pytest.raises(InputError, match="none was made"):
        Report("title").write(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_clip_of_a_report_ends_after_its_frames(noise):
    clip = ReportClip("network", 25.0)
    frame = noise(16, 16, 3)
    for _ in range(MOST_FRAMES + 5):
        clip.add(frame, frame)
    assert (clip.frames, clip.full) == (MOST_FRAMES, True)


def test_two_clips_lie_one_above_the_other_in_one_film(tmp_path):
    clip = StackedClip(24000 / 1001)
    for level in (40, 200):
        clip.add(np.full((16, 32, 3), level, np.uint8), np.full((16, 32, 3), 255 - level, np.uint8))
    (tmp_path / "clip.mp4").write_bytes(clip.finish())
    with av.open(str(tmp_path / "clip.mp4")) as container:
        rate = container.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert float(rate) == pytest.approx(24000 / 1001)
    assert [frame.shape for frame in frames] == [(32, 32, 3)] * 2
    for frame, level in zip(frames, (40, 200)):
        assert np.abs(frame[:15].astype(int) - level).max() <= 3
        assert np.abs(frame[17:].astype(int) - (255 - level)).max() <= 3
