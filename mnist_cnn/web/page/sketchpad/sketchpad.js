// Runs once when the component appears; `element`, `props`, `trigger` and `watch` come from gr.HTML.
// `props.label` holds the words in the reader's language, one `key=word` a line.
const canvas = element.querySelector("canvas");
const eraser = element.querySelector(".eraser");
const width = element.querySelector(".width");
const pen = canvas.getContext("2d");
const strokes = []; // {points: [[x, y], …], width, erase}
let current = null;

function name() {
  const words = Object.fromEntries((props.label ?? "").split("\n").map((line) => line.split(/=(.*)/s)));
  element.querySelectorAll("[data-text]").forEach((part) => {
    part.textContent = words[part.dataset.text];
  });
  element.querySelectorAll("[data-name]").forEach((part) => {
    part.ariaLabel = words[part.dataset.name];
  });
}

function redraw() {
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  strokes.forEach(draw);
}

function draw(stroke) {
  const [first, ...rest] = stroke.points;
  pen.strokeStyle = pen.fillStyle = stroke.erase ? "white" : "black";
  pen.lineWidth = stroke.width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  if (!rest.length) {
    // A tap is a dot: a line of no length would not be painted.
    pen.arc(first[0], first[1], stroke.width / 2, 0, 2 * Math.PI);
    pen.fill();
    return;
  }
  pen.moveTo(...first);
  // Curves through the middles of the segments hide the corners of a fast stroke.
  rest.slice(0, -1).forEach(([x, y], i) => {
    pen.quadraticCurveTo(x, y, (x + rest[i + 1][0]) / 2, (y + rest[i + 1][1]) / 2);
  });
  pen.lineTo(...rest.at(-1));
  pen.stroke();
}

function position(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

// What is sent: ten pixels for each of the network's. More would only take longer.
const small = document.createElement("canvas");
small.width = small.height = 280;

function send() {
  small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
  props.value = strokes.length ? small.toDataURL("image/png") : null;
  trigger("input");
}

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  current = {
    points: [position(event)],
    width: Number(width.value),
    erase: eraser.ariaPressed === "true",
  };
  strokes.push(current);
  redraw();
});

canvas.addEventListener("pointermove", (event) => {
  if (!current || !event.isPrimary) return;
  const events = event.getCoalescedEvents?.() ?? [];
  current.points.push(...(events.length ? events : [event]).map(position));
  redraw();
});

for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => {
    if (!current || !event.isPrimary) return;
    current = null;
    send();
  });
}

element.querySelector(".clear").addEventListener("click", () => {
  strokes.length = 0;
  redraw();
  send();
});

element.querySelector(".undo").addEventListener("click", () => {
  strokes.pop();
  redraw();
  send();
});

eraser.addEventListener("click", () => {
  eraser.ariaPressed = String(eraser.ariaPressed !== "true");
});

redraw();

name();
watch("label", name);
