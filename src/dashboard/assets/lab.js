// Shared by the scripts of all pages: sending requests, and following streams of events.

const TOKEN = "concurrency-lab admin token";

const field = document.getElementById("token");
if (field) {
  field.value = sessionStorage.getItem(TOKEN) ?? "";
  field.addEventListener("input", () => sessionStorage.setItem(TOKEN, field.value));
}

/** Sends a JSON body. Resolves to the answer's body; rejects with the server's error message. */
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
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  if (answer.status === 401) field?.focus();
  throw Object.assign(new Error(content.error ?? `The server answered ${answer.status}.`), { status: answer.status });
}

/** How long after a refused stream the script tries again, in ms. */
const RETRY = 3000;

/**
 * Follows a stream of server-sent events. An event `part` has an element's id in its first line and the element's HTML in the others; the server
 * has escaped all text from outside. A browser that loses the connection reconnects by itself, and reports the last event that it has received.
 * A hidden tab follows nothing, because a browser allows only six connections to a server, for all of its tabs together.
 * `onPart` is called for each part, `onConnection` whenever the connection is made or lost.
 */
export function follow(path, { onPart = () => {}, onConnection = () => {} } = {}) {
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
    source.addEventListener("open", () => onConnection(true));
    source.addEventListener("part", (event) => {
      const [id, ...lines] = event.data.split("\n");
      const element = document.getElementById(id);
      if (element) replace(element, lines.join("\n"));
      onPart(id, element);
    });
    source.addEventListener("error", () => {
      onConnection(false);
      // A browser does not try again after an answer that is not a stream.
      if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, RETRY);
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
}

/** Replaces the content of an element. The keyboard's focus stays on the element with the same id. */
function replace(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.innerHTML = html;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** Shows a message in an element of the page; a screen reader announces it. */
export function showMessage(element, text, isError = false) {
  element.textContent = text;
  element.classList.toggle("bad", isError);
}
