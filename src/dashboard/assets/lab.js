// What the scripts of all pages share: asking the server to do something, and following what it tells.

const TOKEN = "concurrency-lab admin token";

const field = document.getElementById("token");
if (field) {
  field.value = sessionStorage.getItem(TOKEN) ?? "";
  field.addEventListener("input", () => sessionStorage.setItem(TOKEN, field.value));
}

/** Sends a JSON body. Resolves to the answer's body; rejects with the message of the server's own error. */
export async function send(path, body) {
  const headers = { "content-type": "application/json" };
  const token = field?.value;
  if (token) headers.authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new Error("The server does not answer.");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401) field?.focus();
  throw new Error(told.error ?? `The server answered ${answer.status}.`);
}

/**
 * Follows a stream of server-sent events. Each event `part` carries the HTML of the element whose id is in its first line: the server has
 * escaped whatever came from outside. A browser that lost the connection comes back by itself, and tells
 * the server which event it saw last.
 */
export function follow(path, onEvent = () => {}) {
  const source = new EventSource(path);
  source.addEventListener("part", (event) => {
    const [id, ...lines] = event.data.split("\n");
    const element = document.getElementById(id);
    if (element) replace(element, lines.join("\n"));
    onEvent(id, element);
  });
  source.addEventListener("end", () => source.close());
  return source;
}

/** Puts other content into an element. Whoever is in it with the keyboard stays on the element of the same id. */
function replace(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.innerHTML = html;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** Says something where the page has a place for it, also to those who listen instead of looking. */
export function say(element, text, isError = false) {
  element.textContent = text;
  element.classList.toggle("bad", isError);
}
