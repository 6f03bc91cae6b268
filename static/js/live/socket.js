// A socket that comes back: at most 5 s between tries, a heartbeat, and an end when the server says who you are not.

const FIRST_DELAY = 400;
const MOST_DELAY = 5_000;
const SILENCE = 30_000; // the server says something every 8 s
const SIGN_IN_AGAIN = 4401;
const STOP_CODES = new Set([SIGN_IN_AGAIN, 4403, 4404]);

/** Follow `address()`; `onFrame(object)` per frame, `onState("live" | "away" | "refused")`. Returns `{send, close}`; what is sent while it is away is lost. */
export function follow({ address, onFrame, onState }) {
  let socket;
  let delay = FIRST_DELAY;
  let timer;
  let heard = 0;
  let over = false;
  let wasToldToSignIn = false;

  const connect = () => {
    const url = new URL(address(), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url);
    heard = Date.now();
    socket.onopen = () => onState("live");
    socket.onmessage = ({ data }) => {
      heard = Date.now();
      delay = FIRST_DELAY;
      wasToldToSignIn = false;
      onState("live");
      const frame = JSON.parse(data);
      if (!frame.heartbeat) onFrame(frame);
    };
    socket.onclose = ({ code }) => {
      if (over) return;
      // Who showed again who they are in another tab has a session with a new key, which the next try sends.
      over = STOP_CODES.has(code) && (code !== SIGN_IN_AGAIN || wasToldToSignIn);
      wasToldToSignIn = code === SIGN_IN_AGAIN;
      onState(over ? "refused" : "away");
      if (!over) timer = setTimeout(connect, (delay = Math.min(delay * 2, MOST_DELAY)) * (0.7 + Math.random() * 0.3));
    };
  };
  const watch = setInterval(() => {
    if (socket?.readyState === WebSocket.OPEN && Date.now() - heard > SILENCE) socket.close();
  }, 5_000);
  const wake = () => {
    if (document.hidden || over || socket?.readyState <= WebSocket.OPEN) return;
    clearTimeout(timer);
    connect();
  };
  document.addEventListener("visibilitychange", wake);
  addEventListener("pagehide", () => socket?.close(1000));
  addEventListener("pageshow", ({ persisted }) => persisted && wake());
  connect();

  return {
    send(object) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(object));
    },
    close() {
      over = true;
      clearTimeout(timer);
      clearInterval(watch);
      socket.close(1000);
    },
  };
}
