"use strict";
(() => {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const home = document.getElementById("rows");
  const sound = document.getElementById("sound");
  const PX_PER_S = 60; // wide enough for the words of quick speech
  const TICKS_S = [0.5, 1, 2, 5, 10, 15, 30];
  const COLOURS = 8;
  let rows = [], moments = [], stopAt = null;

  // Safari plays no sound from a data address that it cannot ask for parts of; a blob it can.
  const [head, body] = sound.src.split(",");
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  sound.src = URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] }));

  const make = (tag, name, parent) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (parent) parent.append(element);
    return element;
  };
  const isNarrow = () => window.matchMedia("(max-width: 700px)").matches;
  const clock = (seconds) => {
    const tenths = Math.max(0, Math.round((seconds + scene.offset) * 10));
    const minutes = Math.floor(tenths / 600), rest = tenths % 600;
    const hours = Math.floor(minutes / 60);
    const front = hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}` : `${minutes}`;
    const tail = `${front}:${String(Math.floor(rest / 10)).padStart(2, "0")}`;
    return rest % 10 ? `${tail}.${rest % 10}` : tail;
  };

  // ---- what goes where

  const rowTimes = (width) => {
    const longest = Math.max(2, width / PX_PER_S), all = scene.duration;
    let count = Math.max(1, Math.ceil(all / longest - 1e-9));
    if (count === 1) return [[0, all]];
    const length = Math.min(Math.ceil(all / count), Math.ceil(longest));
    count = Math.ceil(all / length - 1e-9);
    return Array.from({ length: count }, (_, n) => [n * length, (n + 1) * length]);
  };

  // A text that crosses rows is parted as if all of its letters were equally long.
  const partsOf = ([start, end, text], times) => {
    let words = text.split(" ").map((word) => word + " ");
    if (words.length < 3 && text.length > 24) words = Array.from(text); // a script without blanks
    const letters = words.reduce((sum, word) => sum + word.length, 0);
    const parts = new Map();
    let at = start;
    for (const word of words) {
      const takes = ((end - start) * word.length) / letters;
      const found = times.findIndex(([, last]) => at + takes / 2 < last);
      const row = found < 0 ? times.length - 1 : found;
      parts.set(row, (parts.get(row) || "") + word);
      at += takes;
    }
    return parts;
  };

  const moment = (element, start, end, told) => {
    element.type = "button";
    element.dataset.start = start;
    element.dataset.end = end;
    element.title = told;
    element.setAttribute("aria-label", told);
    moments.push(element);
    return element;
  };

  const build = () => {
    const gutter = isNarrow() ? 0 : 112;
    home.style.setProperty("--gutter", `${gutter}px`);
    home.replaceChildren();
    rows = [];
    moments = [...document.querySelectorAll("#timeline .moment")];
    const width = home.clientWidth - gutter;
    const times = rowTimes(width);
    const texts = (scene.segments || []).map((segment) => [segment, partsOf(segment, times)]);
    times.forEach(([start, end], n) => rows.push(buildRow(n, start, end, width, texts)));
    fitTexts();
    show();
  };

  const field = (row, kind, name) => {
    const title = make("div", "name", row);
    title.textContent = name;
    return [make("div", `field ${kind}`, row), title];
  };

  const buildRow = (n, start, end, width, texts) => {
    const element = make("div", "row", home);
    const row = { element, start, end, x: (s) => (Math.min(Math.max(s, start), end) - start) / (end - start) };
    const percent = (s) => `${100 * row.x(s)}%`;
    const span = (child, from, to) => {
      child.style.left = percent(from);
      child.style.width = `${100 * (row.x(to) - row.x(from))}%`;
    };
    buildAxis(row, width, percent);
    const [mel] = field(element, "mel", "log-mel");
    for (const chunk of scene.mel) {
      if (chunk.start >= end || chunk.start + chunk.seconds <= start) continue;
      const image = make("i", "", mel);
      // Not kept within the row: the part that is outside is cut off.
      image.style.left = `${(100 * (chunk.start - start)) / (end - start)}%`;
      image.style.width = `calc(${(100 * chunk.seconds) / (end - start)}% + .5px)`;
      image.style.webkitMaskImage = image.style.maskImage = `url(${chunk.image})`;
    }
    mel.addEventListener("click", (event) => seekIn(row, mel, event));
    if (scene.segments) buildTexts(row, n, texts, span);
    for (const lane of scene.lanes || []) buildLane(row, lane, span);
    if (scene.strip && scene.strip.image) buildStrip(row);
    const behind = make("div", "over", element);
    for (const tick of row.ticks) make("u", "", behind).style.left = percent(tick);
    const front = make("div", "over front", element);
    for (const border of scene.strip ? scene.strip.borders : []) {
      if (border <= start || border >= end) continue;
      make("div", "border", front).style.left = percent(border);
    }
    row.cursor = make("div", "cursor", front);
    return row;
  };

  const buildAxis = (row, width, percent) => {
    const perSecond = width / (row.end - row.start);
    const step = TICKS_S.find((each) => each * perSecond >= 72) || 30;
    const [axis] = field(row.element, "axis", "");
    row.ticks = [];
    for (let n = Math.ceil((row.start + scene.offset) / step - 1e-9); ; n += 1) {
      const at = n * step - scene.offset;
      if (at > row.end + 1e-6) break;
      row.ticks.push(at);
      const label = make("span", "", axis);
      if (at - row.start < 1e-6) label.className = "first";
      if (row.end - at < 1e-6) label.className = "last";
      label.textContent = clock(at);
      label.style.left = percent(at);
    }
  };

  const buildTexts = (row, n, texts, span) => {
    if (isNarrow() && !texts.some(([, parts]) => parts.has(n))) return;
    [row.text] = field(row.element, "text", "text");
    for (const [segment, parts] of texts) {
      if (!parts.has(n)) continue;
      const [start, end, text] = segment;
      const button = make("button", "said", row.text);
      if (start < row.start) button.classList.add("came-in");
      if (end > row.end) button.classList.add("goes-on");
      button.textContent = parts.get(n).trim();
      button.dir = "auto";
      span(button, start, end);
      button.style.width = `calc(${button.style.width} - 2px)`;
      moment(button, start, end, `${clock(start)}: ${text}`);
    }
  };

  const fitTexts = () => {
    for (const row of rows) {
      if (!row.text) continue;
      Array.from(row.text.children).forEach(widen);
      const heights = Array.from(row.text.children, (each) => each.scrollHeight);
      row.text.style.height = `${Math.min(Math.max(30, ...heights), 150)}px`;
    }
  };

  // A word that is said quickly may reach into the silence behind it.
  const widen = (box, n, boxes) => {
    const own = box.style.width, had = box.offsetWidth;
    box.classList.add("whole");
    box.style.width = "min-content";
    const wanted = box.offsetWidth + 1; // it is rounded
    box.classList.remove("whole");
    const next = n + 1 < boxes.length ? boxes[n + 1].offsetLeft : box.parentElement.clientWidth;
    const room = next - box.offsetLeft - 2;
    box.style.width = wanted > had && room > had ? `${Math.min(wanted, room)}px` : own;
    box.classList.toggle("tight", wanted > Math.max(had, room));
  };

  const buildLane = (row, lane, span) => {
    const isHeard = lane.events.some(([start, end]) => start < row.end && end > row.start);
    if (isNarrow() && !isHeard) return;
    const [box, name] = field(row.element, "lane", lane.short);
    name.classList.add("named");
    name.title = lane.label;
    for (const part of [box, name]) part.style.setProperty("--colour", `var(--lane-${lane.colour % COLOURS})`);
    for (const [start, end, score] of lane.events) {
      if (start >= row.end || end <= row.start) continue;
      const bar = make("button", "event", box);
      span(bar, start, end);
      bar.style.setProperty("--strength", 0.2 + 0.7 * score);
      moment(bar, start, end, `${lane.label}, ${clock(start)} to ${clock(end)}, score ${score.toFixed(2)}`);
    }
    if (lane.curve) box.insertAdjacentHTML("beforeend", curve(row, lane.curve));
  };

  const curve = (row, { start, step, scores }) => {
    const points = [];
    scores.forEach((score, n) => {
      const middle = start + (n + 0.5) * step;
      if (middle > row.start - step && middle < row.end + step) {
        const x = (1000 * (middle - row.start)) / (row.end - row.start);
        points.push(`${Math.min(1000, Math.max(0, x)).toFixed(1)} ${(98 - 96 * score).toFixed(1)}`);
      }
    });
    if (points.length < 2) return "";
    const line = `M${points.join("L")}`;
    const first = points[0].split(" ")[0], last = points[points.length - 1].split(" ")[0];
    return `<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">
      <path class="under" d="${line}L${last} 100L${first} 100Z"/><path class="line" d="${line}"/></svg>`;
  };

  const buildStrip = (row) => {
    const strip = scene.strip;
    const [box] = field(row.element, "strip", "tokens");
    box.style.height = `${strip.depth > 1 ? 6 * strip.depth : 13}px`;
    const image = make("img", "", box);
    image.src = strip.image;
    image.alt = "";
    image.style.left = `${(100 * (strip.start - row.start)) / (row.end - row.start)}%`;
    image.style.width = `${(100 * strip.seconds) / (row.end - row.start)}%`;
    box.addEventListener("click", (event) => seekIn(row, box, event));
    box.addEventListener("mousemove", (event) => {
      const code = strip.codes[Math.floor((timeIn(row, box, event) - strip.start) * strip.rate)];
      box.title = code === undefined ? "" : `code ${[].concat(code).join(" ")}`;
    });
  };

  // ---- what is heard

  const timeIn = (row, box, event) => {
    const place = box.getBoundingClientRect();
    return row.start + ((event.clientX - place.left) / place.width) * (row.end - row.start);
  };
  const seek = (seconds) => {
    stopAt = null;
    sound.currentTime = Math.min(Math.max(0, seconds), scene.duration);
    show();
  };
  const seekIn = (row, box, event) => seek(timeIn(row, box, event));

  const play = (element) => {
    const start = Number(element.dataset.start), end = Number(element.dataset.end);
    const isHeard = !sound.paused && stopAt === end && sound.currentTime >= start - 0.05;
    if (isHeard) {
      sound.pause();
      return;
    }
    sound.currentTime = start;
    stopAt = end;
    sound.play();
  };

  const show = () => {
    const now = sound.currentTime;
    if (stopAt !== null && now >= stopAt) {
      stopAt = null;
      sound.pause();
    }
    const last = rows.length - 1;
    rows.forEach((row, n) => {
      const isHere = now >= row.start && (now < row.end || n === last);
      if (isHere) row.cursor.style.left = `${100 * row.x(now)}%`;
      if (isHere === row.element.classList.contains("here")) return;
      row.element.classList.toggle("here", isHere);
      if (isHere && !sound.paused) keepInView(row.element);
    });
    const isHeard = !sound.paused || now > 0;
    for (const each of moments) {
      each.classList.toggle("now", isHeard && now >= each.dataset.start && now < each.dataset.end);
    }
  };

  const keepInView = (element) => {
    const place = element.getBoundingClientRect();
    if (place.top < 0 || place.bottom > window.innerHeight - 70) element.scrollIntoView({ block: "center" });
  };

  const follow = () => {
    show();
    if (!sound.paused) requestAnimationFrame(follow);
  };
  sound.addEventListener("play", follow);
  for (const kind of ["seeked", "pause", "timeupdate", "ended"]) sound.addEventListener(kind, show);
  document.addEventListener("click", (event) => {
    const element = event.target.closest("button[data-start]");
    if (element) play(element);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === sound) return;
    const isButton = event.target instanceof HTMLButtonElement;
    if (event.key === " " && !isButton) {
      stopAt = null;
      if (sound.paused) sound.play();
      else sound.pause();
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      seek(sound.currentTime + (event.key === "ArrowLeft" ? -2 : 2));
    } else return;
    event.preventDefault();
  });

  let width = 0;
  new ResizeObserver(() => {
    if (home.clientWidth === width) return;
    width = home.clientWidth;
    requestAnimationFrame(build); // not within the observer: it would be told of its own changes
  }).observe(home);
})();
