// Locks now: the server sends the sessions once a second as HTML; the script puts them in place.

import { follow, showMessage } from "./lab.js";

const message = document.getElementById("locks-message");
follow("/lab/locks/events", {
  onConnection: (isConnected) => showMessage(message, isConnected ? "" : "The connection to the server is lost, so this page shows an old state. Reconnecting …", !isConnected),
});
