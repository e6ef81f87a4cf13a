"""What the terminal and the bank on pyiso8583 have in common: frames on a socket, made-up
cards, and a list of what was wrong."""

import json
import socket
import sys
import time

import iso8583

from pyiso8583_codec import cup_pos, cups, iso87_ascii, with_check_digit

TIMEOUT = 20.0


class Wrong:
    """What did not go as it should. At most 20 lines are kept."""

    def __init__(self):
        self.lines, self.count = [], 0

    def say(self, where, what):
        self.count += 1
        if len(self.lines) < 20:
            self.lines.append("%s: %s" % (where, what))


class Wire:
    """One connection: length, what stands in front of the message, message."""

    def __init__(self, sock, spec, length, front=b""):
        self.sock, self.spec, self.length, self.front = sock, spec, length, front
        self.sock.settimeout(TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, doc):
        raw, _ = iso8583.encode(dict(doc), self.spec)
        self.send_frame(self.front + bytes(raw))

    def send_frame(self, frame):
        head = b"%04d" % len(frame) if self.length == "ascii4" else len(frame).to_bytes(2, "big")
        self.sock.sendall(head + frame)

    def receive_frame(self):
        """The next frame; nothing when the other side has closed between two."""
        if self.length == "ascii4":
            head = self.exactly(4)
            return head and self.exactly(int(head))
        head = self.exactly(2)
        return head and self.exactly(int.from_bytes(head, "big"))

    def exactly(self, n):
        out = b""
        while len(out) < n:
            part = self.sock.recv(n - len(out))
            if not part:
                if out:
                    raise EOFError("closed inside a frame")
                return b""
            out += part
        return out

    def receive(self):
        """The next message and what stood in front of it."""
        frame = self.receive_frame()
        if not frame:
            raise EOFError("closed")
        doc, _ = iso8583.decode(frame[len(self.front):], self.spec)
        return frame[:len(self.front)], doc

    def close(self):
        self.sock.close()


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=TIMEOUT)


def card(bin_, i):
    """A made-up card number with its check digit."""
    return with_check_digit(bin_ + "%0*d" % (15 - len(bin_), i))


def ascii_spec():
    return iso87_ascii()[2]


def pos_spec():
    """cup_pos without TPDU and header, which are framed by hand."""
    spec = cup_pos()[2]
    spec["h"]["max_len"] = 0
    return spec


def cups_spec():
    return cups()[2]


def answer_type(mti):
    """0200 and 0201 are answered with 0210, 0420 and 0421 with 0430."""
    return mti[:2] + str(int(mti[2]) + 1) + "0"


def now(form):
    return time.strftime(form, time.gmtime())


def finish(report, wrong):
    """Prints the report as JSON and ends the program: 1 when something was wrong."""
    report["wrong"] = wrong.lines
    report["wrong_count"] = wrong.count
    print(json.dumps(report, sort_keys=True), flush=True)
    sys.exit(1 if wrong.count else 0)
