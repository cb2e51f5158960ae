// Locks now: the server says every second who waits for whom; the page only puts it in place.

import { follow, say } from "./lab.js";

const said = document.getElementById("locks-said");
follow("/lab/locks/events", {
  onState: (isThere) => say(said, isThere ? "" : "The connection is lost; what is shown is old. Trying again …", !isThere),
});
