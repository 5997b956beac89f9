"use strict";

/* Compares two pictures of equal size: a slider divides them, zoom and a lens show their pixels.
 *
 * `root` is the element .compare of compare.html; its layers .before and .after are images or
 * canvases. `refresh()` tells that their size or contents are new.
 */
class Compare {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.stage = find(".stage");
    this.layers = find(".layers");
    this.handle = find(".handle");
    this.lens = find(".lens");
    this.at = 0.5; // of the stage's width: before at the left of it, after at the right
    this.zoom = 1; // 1 fits the stage
    this.left = this.top = 0; // of the layers, in CSS pixels of the stage
    this.focus = null; // of the lens, in parts of the stage
    this.pointers = new Map(); // pointer's id -> its last place in the stage
    this.listen();
    this.refresh();
  }

  get before() { return this.layers.querySelector(".before"); }
  get after() { return this.layers.querySelector(".after"); }

  /* Width and height of the pictures in their own pixels. */
  get size() {
    const layer = this.after;
    return [layer.naturalWidth || layer.width || 3, layer.naturalHeight || layer.height || 2];
  }

  refresh() {
    const [width, height] = this.size;
    this.stage.style.setProperty("--ratio", String(width / height));
    this.place();
  }

  /* Names of the two sides, for the tags and for screen readers. */
  label(before, after) {
    this.root.querySelector(".tag.left").textContent = before;
    this.root.querySelector(".tag.right").textContent = after;
    this.handle.setAttribute("aria-label", `Divide between ${before} and ${after}`);
    this.names = [before, after];
    this.place();
  }

  /* Move the slider; tells of it by an event "slide". */
  slide(at) {
    this.at = Math.min(1, Math.max(0, at));
    this.place();
    this.root.dispatchEvent(new CustomEvent("slide", { detail: this.at }));
  }

  /* Zoom so that the point (x, y) of the stage, in CSS pixels, stays where it is. */
  zoomTo(zoom, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const before = this.zoom;
    const most = Math.max(1, (16 * this.size[0]) / Math.max(1, this.stage.clientWidth));
    this.zoom = Math.min(most, Math.max(1, zoom));
    this.left = x - ((x - this.left) * this.zoom) / before;
    this.top = y - ((y - this.top) * this.zoom) / before;
    this.place();
  }

  /* The zoom at which a pixel of the picture is a pixel of the screen. */
  get wholePixels() {
    return this.size[0] / (this.stage.clientWidth || 1) / (window.devicePixelRatio || 1);
  }

  pan(x, y) {
    this.left += x;
    this.top += y;
    this.place();
  }

  place() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight;
    this.left = Math.min(0, Math.max(width * (1 - this.zoom), this.left));
    this.top = Math.min(0, Math.max(height * (1 - this.zoom), this.top));
    this.layers.style.transform = `translate(${this.left}px, ${this.top}px) scale(${this.zoom})`;
    const cut = width ? (this.at * width - this.left) / (width * this.zoom) : this.at;
    this.layers.style.setProperty("--cut", `${Math.min(1, Math.max(0, cut)) * 100}%`);
    this.layers.classList.toggle("coarse", this.zoom >= 2 * this.wholePixels);
    this.stage.classList.toggle("zoomed", this.zoom > 1);
    this.handle.style.left = `${this.at * 100}%`;
    const percent = Math.round(this.at * 100);
    this.handle.setAttribute("aria-valuenow", String(percent));
    this.handle.setAttribute("aria-valuetext", `${percent} % ${this.names ? this.names[0] : ""}`);
    const shown = this.zoom / this.wholePixels;
    this.root.querySelector(".zoom").textContent = `${Math.round(shown * 100)} %`;
    this.drawLens();
  }

  listen() {
    this.actions = {
      in: () => this.zoomTo(this.zoom * 1.5), out: () => this.zoomTo(this.zoom / 1.5),
      fit: () => this.zoomTo(1), whole: () => this.zoomTo(this.wholePixels),
      lens: () => this.toggleLens(), full: () => this.toggleFullscreen(),
    };
    for (const button of this.root.querySelectorAll("button[data-action]")) {
      button.addEventListener("click", this.actions[button.dataset.action]);
    }
    this.root.querySelector("[data-action=full]").hidden = !document.fullscreenEnabled;
    this.root.addEventListener("keydown", (event) => this.press(event));
    this.handle.addEventListener("keydown", (event) => this.slideByKey(event));
    this.stage.addEventListener("keydown", (event) => this.moveByKey(event));
    this.stage.addEventListener("pointerdown", (event) => this.grab(event));
    this.stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    this.stage.addEventListener("dblclick", (event) => {
      const [x, y] = this.spot(event);
      this.zoomTo(this.zoom > 1 ? 1 : Math.max(2, this.wholePixels), x, y);
    });
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.place()).observe(this.stage);
  }

  /* Zoom and the lens, by a key that was pressed here or, where the page says so, anywhere. */
  press(event) {
    const keys = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "whole", l: "lens" };
    const typed = event.target.matches("input, select, textarea");
    if (typed || event.ctrlKey || event.metaKey || event.altKey) return;
    if (keys[event.key]) this.actions[keys[event.key]]();
  }

  slideByKey(event) {
    const step = event.shiftKey ? 0.1 : 0.02;
    const to = { ArrowLeft: this.at - step, ArrowDown: this.at - step, ArrowRight: this.at + step,
      ArrowUp: this.at + step, PageUp: this.at + 0.1, PageDown: this.at - 0.1, Home: 0, End: 1 };
    if (!(event.key in to)) return;
    event.preventDefault();
    event.stopPropagation();
    this.slide(to[event.key]);
  }

  /* Arrows move the lens, or the picture where it is larger than the stage. */
  moveByKey(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (event.target !== this.stage || !way || (this.lens.hidden && this.zoom === 1)) return;
    event.preventDefault();
    if (this.lens.hidden) {
      this.pan(-40 * way[0], -40 * way[1]);
    } else {
      this.focus = this.focus.map((part, axis) => Math.min(1, Math.max(0, part + way[axis] / 50)));
      this.drawLens();
    }
  }

  spot(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  grab(event) {
    if (event.button > 0) return;
    this.stage.setPointerCapture(event.pointerId);
    const [x, y] = this.spot(event);
    this.sliding = event.target === this.handle || (this.zoom === 1 && this.lens.hidden);
    this.pointers.set(event.pointerId, [x, y]);
    this.showLensAt(x, y);
    if (this.sliding && this.pointers.size === 1 && event.target !== this.handle) {
      this.slide(x / this.stage.clientWidth);
    }
  }

  drag(event) {
    const [x, y] = this.spot(event);
    this.showLensAt(x, y);
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    this.pointers.set(event.pointerId, [x, y]);
    if (this.pointers.size === 2) {
      this.pinch(event.pointerId, last, [x, y]);
    } else if (this.sliding) {
      this.slide(x / this.stage.clientWidth);
    } else if (this.lens.hidden) {
      this.pan(x - last[0], y - last[1]);
    }
  }

  /* Two fingers: one moved from `last` to `now`, the other rests. */
  pinch(id, last, now) {
    const [, other] = [...this.pointers].find(([key]) => key !== id);
    const distance = (spot) => Math.hypot(spot[0] - other[0], spot[1] - other[1]) || 1;
    this.zoomTo((this.zoom * distance(now)) / distance(last), (now[0] + other[0]) / 2,
      (now[1] + other[1]) / 2);
  }

  /* A plain wheel scrolls the page; with Ctrl, as of a pinch on a touchpad, it zooms. */
  wheel(event) {
    if (!event.ctrlKey && this.zoom === 1) return;
    event.preventDefault();
    if (event.ctrlKey) {
      this.zoomTo(this.zoom * Math.exp(-event.deltaY / 200), ...this.spot(event));
    } else {
      this.pan(-event.deltaX, -event.deltaY);
    }
  }

  toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen();
  }

  toggleLens() {
    this.lens.hidden = !this.lens.hidden;
    this.focus = this.focus || [0.5, 0.5];
    this.stage.classList.toggle("lensed", !this.lens.hidden);
    this.root.querySelector("[data-action=lens]").setAttribute("aria-pressed", !this.lens.hidden);
    this.drawLens();
  }

  showLensAt(x, y) {
    if (this.lens.hidden) return;
    this.focus = [x / this.stage.clientWidth, y / this.stage.clientHeight];
    this.drawLens();
  }

  /* Two panes, before and after, of the same place: four screen pixels for one of the picture. */
  drawLens() {
    if (this.lens.hidden || !this.focus) return;
    const [width, height] = this.size, stage = [this.stage.clientWidth, this.stage.clientHeight];
    const side = Math.round(Math.min(220, stage[0] / 2 - 16, stage[1] - 16));
    if (side < 16) return;
    const ratio = window.devicePixelRatio || 1, pixels = Math.round(side * ratio);
    this.lens.width = 2 * pixels;
    this.lens.height = pixels;
    this.lens.style.width = `${2 * side}px`;
    this.lens.style.height = `${side}px`;
    const point = this.focus.map((part, axis) => part * stage[axis]);
    const magnified = Math.max(4 / ratio, (2 * this.zoom) / this.wholePixels / ratio);
    const seen = side / magnified; // pixels of the picture in a pane
    const x = ((point[0] - this.left) / this.zoom / stage[0]) * width - seen / 2;
    const y = ((point[1] - this.top) / this.zoom / stage[1]) * height - seen / 2;
    const context = this.lens.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.before, x, y, seen, seen, 0, 0, pixels, pixels);
    context.drawImage(this.after, x, y, seen, seen, pixels, 0, pixels, pixels);
    context.fillStyle = "#fff";
    context.fillRect(pixels - ratio, 0, 2 * ratio, pixels);
    const above = point[1] - side - 24; // a finger shall not hide it
    this.lens.style.left = `${Math.min(stage[0] - 2 * side - 4, Math.max(0, point[0] - side))}px`;
    this.lens.style.top = `${above >= 0 ? above : Math.min(point[1] + 24, stage[1] - side - 4)}px`;
  }
}

/* Minutes and seconds, as 1:05. */
function clock(seconds) {
  const whole = Math.floor(seconds || 0);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/* Controls of a <video>: play, a frame forward and back, and the place in it.
 *
 * `draw` is called for every frame that the video shows, of which `requestVideoFrameCallback` tells
 * where the browser has it.
 */
class Film {
  constructor(root, video, draw, framesPerSecond = 25) {
    this.root = root;
    this.video = video;
    this.draw = draw;
    this.frame = 1 / framesPerSecond;
    this.bar = root.querySelector("input[type=range]");
    const on = (action, run) => {
      const button = root.querySelector(`[data-film=${action}]`);
      if (button) button.addEventListener("click", run);
    };
    on("play", () => this.toggle());
    on("back", () => this.step(-1));
    on("forward", () => this.step(1));
    on("sound", () => { video.muted = !video.muted; });
    this.bar.addEventListener("input", () => {
      video.currentTime = (this.bar.value / 1000) * (video.duration || 0);
    });
    for (const name of ["play", "pause", "ended", "volumechange", "timeupdate", "durationchange"]) {
      video.addEventListener(name, () => this.tell());
    }
    for (const name of ["seeked", "loadeddata"]) video.addEventListener(name, () => this.show());
    this.follow();
  }

  toggle() {
    if (this.video.paused) this.video.play();
    else this.video.pause();
  }

  step(frames) {
    this.video.pause();
    this.video.currentTime = Math.max(0, this.video.currentTime + frames * this.frame);
  }

  show() {
    if (this.video.readyState >= 2) this.draw();
    this.tell();
  }

  follow() {
    const again = () => { this.show(); this.follow(); };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(again);
    else requestAnimationFrame(() => (this.video.paused ? this.follow() : again()));
  }

  tell() {
    const { video } = this;
    const play = this.root.querySelector("[data-film=play]");
    play.textContent = video.paused ? "Play" : "Pause";
    const sound = this.root.querySelector("[data-film=sound]");
    if (sound) sound.setAttribute("aria-pressed", String(!video.muted));
    if (document.activeElement !== this.bar || !video.paused) {
      this.bar.value = String((1000 * video.currentTime) / (video.duration || 1));
    }
    this.bar.setAttribute("aria-valuetext", clock(video.currentTime));
    this.root.querySelector("output").textContent =
      `${clock(video.currentTime)} / ${clock(video.duration)}`;
  }
}
