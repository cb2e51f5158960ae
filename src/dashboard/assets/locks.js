// Locks now: the server says every second who waits for whom; the page only puts it in place.

import { follow, say } from "./lab.js";

const said = document.getElementById("locks-said");
const source = follow("/lab/locks/events", () => {
  if (said.textContent) say(said, "");
});
source.addEventListener("error", () => say(said, "The connection is lost; what is shown is old. Trying again …", true));
source.addEventListener("end", () => say(said, "The server has closed; what is shown is old.", true));
