"use strict";

/* The page: what is dropped or chosen is enlarged and compared with bicubic. */
const description = JSON.parse(document.getElementById("network").textContent);
const find = (selector) => document.querySelector(selector);
const compare = new Compare(find(".compare"));
const video = find("video");
let network, film, shown = null; // `shown`: the ImageBitmap or <video> on the canvas

function say(text, problem = false) {
  const line = find(".status");
  line.textContent = text;
  line.classList.toggle("problem", problem);
}

function fail(error) {
  say(error.message, true);
  document.body.dataset.state = "failed";
}

/* Bicubic first: the canvas of the network draws it, and the one below keeps it. */
function draw() {
  if (!shown) return;
  network.load(shown);
  const { before, after } = compare;
  if (before.width !== after.width || before.height !== after.height) {
    [before.width, before.height] = [after.width, after.height];
    compare.refresh();
  }
  if (compare.at > 0 || !compare.lens.hidden || shown !== video) {
    network.interpolate();
    before.getContext("2d").drawImage(after, 0, 0);
  }
  network.enlarge();
  compare.drawLens();
}

function describe(name, width, height, speed = "") {
  const sizes = `${network.width}×${network.height} → ${after().width}×${after().height}`;
  say(network.whole ? `${name}: ${sizes}${speed}`
    : `${name}: its middle, ${sizes}${speed}; all of its ${width}×${height} would be too large here`);
  document.body.dataset.shown = name;
  document.body.dataset.state = "shown";
}

function after() { return compare.after; }

async function showPicture(source, name) {
  const bitmap = await createImageBitmap(source);
  leaveFilm();
  if (shown && shown.close) shown.close();
  shown = bitmap;
  draw();
  describe(name, bitmap.width, bitmap.height);
  find("[data-page=save]").hidden = false;
}

function leaveFilm() {
  video.pause();
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  find(".film").hidden = true;
}

/* A film: its <video> plays the sound, and each frame that it would show is enlarged. */
function showFilm(file) {
  leaveFilm();
  document.body.dataset.state = "loading";
  find(".film").hidden = false;
  find("[data-page=save]").hidden = false;
  shown = video;
  video.dataset.name = file.name;
  video.src = URL.createObjectURL(file);
  video.play().catch(() => {}); // where the browser wants a click first, Play waits for it
}

const drawn = []; // when the last frames were drawn, in ms

function drawFrame() {
  if (shown !== video) return;
  draw();
  drawn.push(performance.now());
  if (drawn.length > 30) drawn.shift();
  const rate = (1000 * (drawn.length - 1)) / (drawn[drawn.length - 1] - drawn[0]);
  const now = !video.paused && drawn.length > 10 ? `, ${rate.toFixed(0)} frames/s drawn` : "";
  describe(video.dataset.name, video.videoWidth, video.videoHeight, now);
}

function open(file) {
  if (!file || !network) return;
  document.body.dataset.state = "loading";
  say(`Opening ${file.name} …`);
  if (file.type.startsWith("video/")) {
    showFilm(file);
    return;
  }
  showPicture(file, file.name).catch(() => fail(new Error(
    `This browser cannot read ${file.name} as a picture. JPEG, PNG and WebP work everywhere.`)));
}

function save() {
  after().toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${description.name.replaceAll(" ", "_")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

function listen() {
  const chooser = find("#file");
  chooser.addEventListener("change", () => { open(chooser.files[0]); chooser.value = ""; });
  find("[data-page=save]").addEventListener("click", save);
  for (const name of ["dragover", "drop"]) {
    addEventListener(name, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dropping", name === "dragover");
      if (name === "drop") open(event.dataTransfer.files[0]);
    });
  }
  addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  // There is one comparison, so its keys need no focus; the space bar plays and pauses.
  addEventListener("keydown", (event) => {
    if (event.target !== document.body) return;
    compare.press(event);
    if (event.key === " " && shown === video) {
      event.preventDefault();
      film.toggle();
    }
  });
  addEventListener("paste", (event) => open(event.clipboardData.files[0]));
  video.addEventListener("error", () => {
    if (shown === video && video.src) {
      fail(new Error(`This browser cannot play ${video.dataset.name}. `
        + "MP4 with H.264 and WebM with VP9 work nearly everywhere."));
    }
  });
  after().addEventListener("webglcontextlost", () => fail(new Error(
    "The browser took the GPU away. Reload the page to go on.")));
  // While the slider stands at the left end, bicubic is not drawn for a film.
  compare.root.addEventListener("slide", () => { if (shown === video && video.paused) draw(); });
}

async function start() {
  compare.label("bicubic", description.name);
  await new Promise(requestAnimationFrame); // shows the page before the shaders are compiled
  try {
    network = new Network(after(), description);
    film = new Film(find(".film"), video, drawFrame);
    listen();
    const sample = find("#sample");
    await sample.decode();
    await showPicture(sample, "A cat");
  } catch (error) {
    fail(error);
  }
}

start();
