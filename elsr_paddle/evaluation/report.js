"use strict";

/* Makes a section of the report for each picture and clip, when it comes near the window. */

function decibels(value) {
  return value === null ? "∞ dB" : `${value.toFixed(2)} dB`;
}

function tellScores(line, scores, note) {
  line.textContent = "";
  const size = (value) => (value === null ? Infinity : value);
  const best = Math.max(...Object.values(scores).map(size));
  for (const [label, value] of Object.entries(scores)) {
    const chip = line.appendChild(document.createElement("span"));
    chip.append(`${label} `, Object.assign(document.createElement("b"),
      { textContent: decibels(value) }));
    chip.classList.toggle("best", size(value) === best);
  }
  if (note) line.append(` ${note}`);
}

function showImages(article, shown) {
  const labels = Object.keys(shown.images), root = article.querySelector(".compare");
  const layers = root.querySelector(".layers"), chosen = [labels[0], labels[labels.length - 1]];
  const images = ["before", "after"].map((side) => {
    const image = layers.appendChild(document.createElement("img"));
    image.className = side;
    image.alt = "";
    return image;
  });
  const compare = new Compare(root);
  const show = () => {
    images.forEach((image, index) => { image.src = shown.images[chosen[index]]; });
    compare.label(...chosen);
  };
  images.forEach((image) => image.addEventListener("load", () => compare.refresh()));
  root.querySelector(".sides").hidden = labels.length < 3;
  root.querySelectorAll("select").forEach((select, index) => {
    for (const label of labels) select.add(new Option(label, label, false, label === chosen[index]));
    select.addEventListener("change", () => { chosen[index] = select.value; show(); });
  });
  show();
}

/* One film holds both clips, one above the other: two canvases show its halves. */
function showClip(article, shown) {
  const root = article.querySelector(".compare"), layers = root.querySelector(".layers");
  const canvases = ["before", "after"].map((side) => {
    const canvas = layers.appendChild(document.createElement("canvas"));
    canvas.className = side;
    return canvas;
  });
  const compare = new Compare(root), video = document.createElement("video");
  compare.label(...shown.labels);
  root.querySelector(".sides").hidden = true;
  const controls = root.querySelector(".film");
  controls.hidden = false;
  [video.muted, video.loop, video.playsInline] = [true, true, true];
  const draw = () => {
    const width = video.videoWidth, height = video.videoHeight / 2;
    canvases.forEach((canvas, half) => {
      if (canvas.width !== width || canvas.height !== height) {
        [canvas.width, canvas.height] = [width, height];
        compare.refresh();
      }
      canvas.getContext("2d").drawImage(video, 0, half * height, width, height, 0, 0, width, height);
    });
    compare.drawLens();
    tellFrame(article, shown, Math.floor(video.currentTime * shown.frames_per_second + 0.01));
  };
  new Film(controls, video, draw, shown.frames_per_second);
  const bytes = Uint8Array.from(atob(shown.clip), (letter) => letter.charCodeAt(0));
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  video.load();
}

/* The dB of the frame that is seen, and the mean where the clip has none of its own. */
function tellFrame(article, shown, frame) {
  const entries = Object.entries(shown.frame_psnr_db);
  if (!entries.length) return;
  const scores = Object.fromEntries(entries.map(([label, values]) =>
    [label, values[Math.min(frame, values.length - 1)]]));
  const means = Object.entries(shown.psnr_db).map(([label, value]) => `${label} ${decibels(value)}`);
  tellScores(article.querySelector(".scores"), scores,
    `in frame ${frame + 1}; mean: ${means.join(", ")}; ${shown.note}`);
}

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    (target.shown.clip ? showClip : showImages)(target, target.shown);
  }
}, { rootMargin: "600px" });

for (const shown of JSON.parse(document.getElementById("shown").textContent)) {
  const article = document.querySelector("template").content.cloneNode(true).firstChild;
  article.shown = shown;
  article.querySelector("h2").textContent = shown.name;
  tellScores(article.querySelector(".scores"), shown.psnr_db, shown.note);
  document.querySelector("main").append(article);
  near.observe(article);
}
