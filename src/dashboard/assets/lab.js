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
  throw Object.assign(new Error(told.error ?? `The server answered ${answer.status}.`), { status: answer.status });
}

/** How long after a refusal a stream is asked for again, in ms. */
const RETRY = 3000;

/**
 * Follows a stream of server-sent events. Each event `part` carries the HTML of the element whose id is in its first line: the server has
 * escaped whatever came from outside. A browser that lost the connection comes back by itself, and tells the server which event it saw
 * last. A page that nobody sees follows nothing: a browser has six connections to a server, for all of its tabs.
 * `onPart` hears of each part, `onState` whether there is a connection.
 */
export function follow(path, { onPart = () => {}, onState = () => {} } = {}) {
  let source = null;
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    source = new EventSource(path);
    source.addEventListener("open", () => onState(true));
    source.addEventListener("part", (event) => {
      const [id, ...lines] = event.data.split("\n");
      const element = document.getElementById(id);
      if (element) replace(element, lines.join("\n"));
      onPart(id, element);
    });
    source.addEventListener("error", () => {
      onState(false);
      // After an answer that is no stream a browser does not try again.
      if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, RETRY);
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
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
