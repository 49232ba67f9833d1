// Runs once when the component appears; `element`, `props` and `trigger` come from gr.HTML. The
// picture is replaced with every answer, so all listeners sit on the element around it. What is
// dragged over is its value: if that changes while a part is read, the last one is read next.
let start = null; // where dragging began, in shares of the shown picture
let chosen = null; // [left, top, right, bottom] in the same shares

const area = () => element.querySelector(".boxes");
const clamp = (share) => Math.min(1, Math.max(0, share));

function show() {
  const frame = area()?.querySelector(".chosen");
  if (!frame) return;
  frame.hidden = !chosen;
  if (!chosen) return;
  const [left, top, right, bottom] = chosen.map((share) => `${100 * share}%`);
  frame.style.left = left;
  frame.style.top = top;
  frame.style.width = `calc(${right} - ${left})`;
  frame.style.height = `calc(${bottom} - ${top})`;
}

function at(event) {
  const box = area().getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

function read() {
  // What is shown may be a part already: the server wants shares of the whole picture.
  const [left, top, right, bottom] = area().dataset.crop.split(" ").map(Number);
  props.value = [
    left + chosen[0] * (right - left),
    top + chosen[1] * (bottom - top),
    left + chosen[2] * (right - left),
    top + chosen[3] * (bottom - top),
  ];
  chosen = null;
  show();
  trigger("input");
}

element.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".boxes") || !event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  area().focus({ preventScroll: true });
  area().setPointerCapture(event.pointerId);
  start = at(event);
});

element.addEventListener("pointermove", (event) => {
  if (!start || !event.isPrimary) return;
  const [x, y] = at(event);
  chosen = [Math.min(x, start[0]), Math.min(y, start[1]), Math.max(x, start[0]), Math.max(y, start[1])];
  show();
});

element.addEventListener("pointerup", (event) => {
  if (!start || !event.isPrimary) return;
  start = null;
  // A tap is no crop.
  if (chosen && chosen[2] - chosen[0] > 0.02 && chosen[3] - chosen[1] > 0.02) read();
  else chosen = null;
  show();
});

// The browser took the finger to scroll: see `touch-action` in page.css.
element.addEventListener("pointercancel", () => {
  start = chosen = null;
  show();
});

const STEP = 0.05;
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

element.addEventListener("keydown", (event) => {
  if (!event.target.closest(".boxes")) return;
  if (event.key in ARROWS) {
    event.preventDefault();
    const [x, y] = ARROWS[event.key];
    const [left, top, right, bottom] = chosen ?? [0.25, 0.25, 0.75, 0.75];
    chosen = event.shiftKey
      ? [left, top, Math.max(left + STEP, clamp(right + x)), Math.max(top + STEP, clamp(bottom + y))]
      : [left + x, top + y, right + x, bottom + y].some((share) => share < -1e-9 || share > 1 + 1e-9)
        ? [left, top, right, bottom]
        : [left + x, top + y, right + x, bottom + y].map(clamp);
  } else if (event.key === "Enter" && chosen) {
    read();
    return;
  } else if (event.key === "Escape") {
    chosen = null;
  } else {
    return;
  }
  show();
});

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text.textContent);
    return true;
  } catch {
    // Over plain http, as on a phone in the same network, there is no clipboard. What is selected is
    // copied in the old way, or by hand.
    getSelection().selectAllChildren(text);
    return document.execCommand("copy");
  }
}

element.addEventListener("click", async (event) => {
  if (event.target.closest(".whole")) {
    props.value = [0, 0, 1, 1];
    trigger("input");
  }
  const copy = event.target.closest(".copy");
  if (copy && (await copied(element.querySelector(".text")))) {
    copy.classList.add("done");
    setTimeout(() => copy.classList.remove("done"), 1500);
  }
});
