"""Work on sockets that ends in time, whatever the other side does: a byte a second, or nothing at all."""

from __future__ import annotations

import contextlib
import socket
import threading

LINGER_SECONDS = 0.5


class Cut:
    """The sockets of one attempt, and how far it came; another thread may cut it off.

    Attributes:
        said: what the other side has done so far, for the message of a timeout.
    """

    def __init__(self):
        self.said = "did not answer"
        self._sockets, self._is_over, self._lock = [], False, threading.Lock()

    def add(self, connected):
        """The socket is cut off with the others; at once when it is too late.

        Raises:
            TimeoutError: it is too late.
        """
        with self._lock:
            if self._is_over:
                raise TimeoutError
            self._sockets.append(connected)

    def off(self):
        """Whoever waits for one of the sockets does not wait any more."""
        with self._lock:
            self._is_over = True
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    # Not the TLS socket's own method, which takes its state away under the reading thread.
                    socket.socket.shutdown(one, socket.SHUT_RDWR)


def bounded(seconds, work):
    """What `work(cut)` returns, or at the latest after `seconds` that it did not end.

    A thread does the work: looking up a name cannot be bounded otherwise.

    Returns:
        (healthy, what was seen).
    """
    cut, found = Cut(), []

    def do():
        try:
            found.append(work(cut))
        except Exception as error:
            found.append((False, "does not answer: {}".format(error) if str(error) else cut.said))

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        said = cut.said
        cut.off()
        thread.join(LINGER_SECONDS)
        return False, "{} within {:.1f} s".format(said, seconds)
    return found[0]
