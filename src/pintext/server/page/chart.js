// Draws the map: a mark for each word, names where there is room, and what was chosen.

import { h } from "./dom.js";
import { listen } from "./gestures.js";

const MAX_ZOOM = 60;
const MARGIN = 36;
const REACH = 18;
const MAX_NAMES = 140;

/** The shape of a task's marks, around (0, 0), as wide as a circle of the radius `r`. */
export function shape(kind, r) {
  const path = new Path2D();
  const polygon = (...points) => {
    for (const [x, y] of points) path.lineTo(x * r, y * r);
    path.closePath();
  };
  if (kind === "square") polygon([-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]);
  else if (kind === "triangle") polygon([0, -1.2], [1.15, 0.9], [-1.15, 0.9]);
  else if (kind === "diamond") polygon([0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]);
  else if (kind === "cross")
    (path.rect(-1.2 * r, -0.4 * r, 2.4 * r, 0.8 * r),
      path.rect(-0.4 * r, -1.2 * r, 0.8 * r, 2.4 * r));
  else path.arc(0, 0, r, 0, 2 * Math.PI);
  return path;
}

/** A canvas with the words, which can be moved and zoomed. */
export class Chart {
  /**
   * @param {{word, x, y, task, count}[]} words
   * @param {{name: string, shape: string, color: string}[]} tasks `color` is a property of CSS
   * @param {Object} tell `moved()`, `passed(word)` where the keys led, `chose(word|null)`
   */
  constructor(words, tasks, tell) {
    this.tell = tell;
    this.tasks = tasks;
    this.hidden = new Set();
    this.words = scaled(words);
    this.byName = new Map(this.words.map((word) => [word.word, word]));
    this.view = { x: 0, y: 0, zoom: 1 };
    this.chosen = null;
    this.pointed = null;
    this.near = [];
    this.names = [];
    this.widths = new Map();
    this.colors = new Map();
    this.canvas = h("canvas", {
      tabindex: "0",
      role: "application",
      "aria-roledescription": "map",
      "aria-label": `Map of ${words.length} words. Arrow keys move, plus and minus zoom, Enter chooses the word in the middle, zero shows everything.`,
    });
  }

  /** Begin to draw and to listen, once the canvas is on the page. */
  start(signal) {
    this.pen = this.canvas.getContext("2d");
    const wishes = {
      move: (dx, dy, byKey) => this.move(dx, dy, byKey),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      point: (x, y) => this.point(x === null ? null : this.wordAt(x, y)),
      choose: (x, y) => this.tell.chose(x === undefined ? this.middle() : this.wordAt(x, y)),
      home: () => this.goTo([0, 0, 1]),
    };
    listen(this.canvas, wishes, signal);
    for (const event of ["focus", "blur"]) this.canvas.addEventListener(event, () => this.draw());
    addEventListener("themechange", () => (this.colors.clear(), this.draw()), { signal });
    const resized = new ResizeObserver(() => this.resize());
    resized.observe(this.canvas);
    signal.addEventListener("abort", () => resized.disconnect());
    this.resize();
  }

  named(name) {
    return this.byName.get(name);
  }

  place() {
    return [this.view.x, this.view.y, this.view.zoom];
  }

  goTo([x, y, zoom]) {
    const bound = (value) => Math.max(-1.2, Math.min(1.2, value));
    this.view = { x: bound(x), y: bound(y), zoom: Math.max(1, Math.min(MAX_ZOOM, zoom)) };
    this.tell.moved();
    this.draw();
  }

  /** Bring a word to the middle, near enough to read its neighbours. */
  show(word) {
    this.goTo([word.x, word.y, Math.max(this.view.zoom, 6)]);
  }

  choose(word, near) {
    this.chosen = word;
    this.near = near.map((name) => this.byName.get(name)).filter(Boolean);
    this.draw();
  }

  hide(task, hidden) {
    if (hidden) this.hidden.add(task);
    else this.hidden.delete(task);
    this.draw();
  }

  move(dx, dy, byKey) {
    const { x, y, zoom } = this.view;
    this.goTo([x - dx / this.unit(), y - dy / this.unit(), zoom]);
    if (!byKey) return;
    this.point(this.middle());
    if (this.pointed) this.tell.passed(this.pointed);
  }

  /** Zoom around a pixel; without one around the middle. */
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const { x, y, zoom } = this.view;
    const next = Math.max(1, Math.min(MAX_ZOOM, zoom * factor));
    const shift = (1 - zoom / next) / this.unit();
    this.goTo([x + (px - this.width / 2) * shift, y + (py - this.height / 2) * shift, next]);
  }

  point(word) {
    if (word === this.pointed) return;
    this.pointed = word;
    this.canvas.style.cursor = word ? "pointer" : "";
    this.draw();
  }

  /** Pixels for one unit of the map. */
  unit() {
    return (Math.min(this.width, this.height) / 2 - MARGIN) * this.view.zoom;
  }

  pixel(word) {
    const unit = this.unit();
    return [
      this.width / 2 + (word.x - this.view.x) * unit,
      this.height / 2 + (word.y - this.view.y) * unit,
    ];
  }

  middle() {
    return this.nearest(this.width / 2, this.height / 2, Infinity);
  }

  /** The word whose name lies at a pixel, or else whose mark is near. */
  wordAt(x, y) {
    const on = (name) => x > name.left && x < name.right && Math.abs(y - name.y) < 8;
    return this.names.find(on)?.word ?? this.nearest(x, y, REACH);
  }

  nearest(x, y, reach) {
    let [best, least] = [null, reach];
    for (const word of this.words) {
      if (this.hidden.has(word.task)) continue;
      const [px, py] = this.pixel(word);
      const apart = Math.hypot(px - x, py - y);
      if (apart < least) [best, least] = [word, apart];
    }
    return best;
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    this.width = Math.max(1, box.width);
    this.height = Math.max(1, box.height);
    this.density = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * this.density);
    this.canvas.height = Math.round(this.height * this.density);
    this.draw();
  }

  draw() {
    if (!this.pen || this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const { pen, width, height } = this;
    pen.setTransform(this.density, 0, 0, this.density, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `500 12px ${getComputedStyle(this.canvas).fontFamily}`;
    const seen = this.visible();
    this.drawMarks(seen);
    this.drawNear();
    this.drawNames(seen);
    if (document.activeElement === this.canvas && this.canvas.matches(":focus-visible"))
      this.drawAim();
  }

  /** A colour of the style sheet as it is in the theme of now. */
  color(name) {
    if (!this.colors.has(name)) {
      this.canvas.style.color = `var(--${name})`;
      this.colors.set(name, getComputedStyle(this.canvas).color);
    }
    return this.colors.get(name);
  }

  /** The words on the canvas, the most frequent first, as `[word, x, y]`. */
  visible() {
    const seen = [];
    for (const word of this.words) {
      if (this.hidden.has(word.task)) continue;
      const [x, y] = this.pixel(word);
      if (x > -20 && y > -20 && x < this.width + 20 && y < this.height + 20)
        seen.push([word, x, y]);
    }
    return seen;
  }

  drawMarks(seen) {
    const { pen } = this;
    const growth = Math.min(2, 0.85 + Math.log2(this.view.zoom) * 0.25);
    for (const task of this.tasks) {
      const sizes = [1, 2, 3, 4].map((size) => shape(task.shape, (1 + size * 0.7) * growth));
      pen.fillStyle = pen.strokeStyle = this.color(task.color);
      pen.globalAlpha = 0.8;
      for (const [word, x, y] of seen) {
        if (word.task !== task.name) continue;
        pen.translate(x, y);
        if (task.shape === "ring") pen.stroke(sizes[word.size]);
        else pen.fill(sizes[word.size]);
        pen.translate(-x, -y);
      }
    }
    pen.globalAlpha = 1;
  }

  drawNear() {
    if (!this.chosen) return;
    const { pen } = this;
    const [x, y] = this.pixel(this.chosen);
    pen.strokeStyle = this.color("accent");
    pen.globalAlpha = 0.55;
    pen.beginPath();
    for (const word of this.near) (pen.moveTo(x, y), pen.lineTo(...this.pixel(word)));
    pen.stroke();
    pen.globalAlpha = 1;
    pen.lineWidth = 2;
    pen.stroke(new Path2D(`M${x - 8} ${y}a8 8 0 1 0 16 0a8 8 0 1 0 -16 0`));
    pen.lineWidth = 1;
  }

  /** Names, the most important first; one that would lie on another is left out. */
  drawNames(seen) {
    const first = [this.pointed, this.chosen].filter(Boolean);
    const near = this.near.filter((word) => !this.hidden.has(word.task));
    const taken = new Set();
    const cell = 11;
    this.names = [];
    const write = (word, x, y, important) => {
      const wide = this.widthOf(word.word);
      const left = x + 8 + wide > this.width ? x - 8 - wide : x + 8;
      const cells = [];
      for (
        let column = Math.floor((left - 4) / cell);
        column <= (left + wide + 4) / cell;
        column++
      ) {
        for (const row of [Math.floor((y - 8) / cell), Math.floor((y + 6) / cell)])
          cells.push(column * 4096 + row);
      }
      if (!important && cells.some((place) => taken.has(place))) return;
      for (const place of cells) taken.add(place);
      this.writeName(word.word, left, y, important);
      this.names.push({ word, left, right: left + wide, y });
    };
    for (const word of new Set([...first, ...near]))
      write(word, ...this.pixel(word), first.includes(word));
    for (const [word, x, y] of seen) {
      if (this.names.length >= MAX_NAMES) break;
      if (!first.includes(word) && !near.includes(word)) write(word, x, y, false);
    }
  }

  writeName(name, x, y, important) {
    const { pen } = this;
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.lineWidth = 4;
    pen.strokeStyle = this.color("surface");
    pen.strokeText(name, x, y);
    pen.lineWidth = 1;
    pen.fillStyle = this.color(important ? "ink" : "soft");
    pen.fillText(name, x, y);
  }

  /** Where Enter would choose. */
  drawAim() {
    const { pen } = this;
    const [x, y] = [this.width / 2, this.height / 2];
    pen.strokeStyle = this.color("ink");
    pen.stroke(new Path2D(`M${x - 14} ${y}h9M${x + 5} ${y}h9M${x} ${y - 14}v9M${x} ${y + 5}v9`));
  }

  widthOf(name) {
    if (!this.widths.has(name)) this.widths.set(name, this.pen.measureText(name).width);
    return this.widths.get(name);
  }
}

/** The most frequent first, in a square from -1 to 1, with a size from 0 to 3. */
function scaled(words) {
  const range = (values) => {
    const [low, high] = values.reduce(
      ([a, b], v) => [Math.min(a, v), Math.max(b, v)],
      [Infinity, -Infinity],
    );
    return { middle: (low + high) / 2, half: (high - low) / 2 };
  };
  const [x, y] = [range(words.map((word) => word.x)), range(words.map((word) => word.y))];
  const half = Math.max(x.half, y.half) || 1;
  const most = Math.log(1 + Math.max(...words.map(({ count }) => count)));
  return words
    .map((word) => ({
      ...word,
      x: (word.x - x.middle) / half,
      y: (word.y - y.middle) / half,
      size: Math.min(3, Math.floor((Math.log(1 + word.count) / (most || 1)) * 4)),
    }))
    .sort((a, b) => b.count - a.count);
}
