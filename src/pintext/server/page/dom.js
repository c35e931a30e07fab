// Elements are made here and nowhere else. Text only ever becomes a text node, so nothing that
// somebody wrote into a pin or a query can become markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param {string} tag its name
 * @param {Object} attributes `null`, `undefined` and `false` leave one out; `on` holds listeners by
 *   event, `vars` custom properties of CSS
 * @param {...(Node|string|Array|null|undefined|false)} children nodes and texts
 */
export function h(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** The same for a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(element, { on = {}, vars = {}, ...attributes }, children) {
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  for (const [name, value] of Object.entries(vars)) element.style.setProperty(`--${name}`, value);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child || child === 0 || child === ""));
  return element;
}

/** What only a screen reader says. */
export function spoken(text) {
  return h("span", { class: "spoken" }, text);
}

const announcer = document.getElementById("announcer");
let pending;

/** Have a screen reader say something, once things have been quiet for a moment. */
export function announce(text) {
  clearTimeout(pending);
  pending = setTimeout(() => (announcer.textContent = text), 400);
}

/**
 * Make a group of controls one stop of the Tab key; arrow keys, Home and End move inside it.
 *
 * @param {HTMLElement} group its buttons are there already
 */
export function rove(group) {
  const buttons = [...group.querySelectorAll("button")];
  buttons.forEach((button, place) => (button.tabIndex = place ? -1 : 0));
  group.addEventListener("keydown", (event) => {
    const here = buttons.indexOf(document.activeElement);
    const there = {
      ArrowRight: here + 1,
      ArrowDown: here + 1,
      ArrowLeft: here - 1,
      ArrowUp: here - 1,
      Home: 0,
      End: buttons.length - 1,
    }[event.key];
    if (here < 0 || there === undefined) return;
    event.preventDefault();
    buttons[(there + buttons.length) % buttons.length].focus();
  });
  group.addEventListener("focusin", (event) => {
    for (const button of buttons) button.tabIndex = button === event.target ? 0 : -1;
  });
}

/** A number with two digits and a real minus sign. */
export function digits(number) {
  return number.toFixed(2).replace("-", "−");
}

/** A contribution: always with its sign. */
export function signed(number) {
  return number < 0 ? digits(number) : `+${digits(number)}`;
}

/** What somebody typed. */
export function quoted(text) {
  return `“${text}”`;
}

/** A message of the service as a sentence. */
export function sentence(text) {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

/** A count, grouped as the reader's language does it. */
export function count(number) {
  return number.toLocaleString();
}
