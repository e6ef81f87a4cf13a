"""A bank on pyiso8583 and raw sockets, for a switch that connects to it.

usage: pyiso8583_bank.py [--format cups|iso87_ascii] [--decline 51,61] [--forget-every N]

It answers sign-on, echo and sign-off, sales, pre-authorizations, completions, voids, refunds,
balances and reversals, and keeps books. Sales that end in one of the --decline digits are
declined with them as code. Every Nth message about money is booked and never answered the first
time; a request must then be reversed, an advice repeated. The first time it does not answer a
reversal either, so that it has to come again as 0421. What a request must have is checked.

It listens on a free loopback port and prints "ready PORT"; when its standard input ends it
prints its books as JSON (minor units) with a list of what was wrong, and ends with status 1
when there is anything in that list.
"""

import argparse
import re
import socket
import sys
import threading

import iso8583

sys.dont_write_bytecode = True  # the folder is a source folder

from pyiso8583_wire import Wire, Wrong, answer_type, ascii_spec, cups_spec, finish

HEADER_SIZE = 46
DIGITS = re.compile(r"^[0-9]+$")
# Fields that every message about money has, and their form.
FORMS = {"2": r"\d{13,19}", "3": r"\d{6}", "7": r"(0\d|1[0-2])([0-2]\d|3[01])([01]\d|2[0-3])"
         r"([0-5]\d){2}", "11": r"(?!000000)\d{6}", "12": r"\d{6}", "13": r"\d{4}", "22": r"\d{3}",
         "25": r"\d{2}", "32": r"\d{6,11}", "33": r"\d{6,11}", "37": r"[0-9A-Z]{12}",
         "41": r".{8}", "42": r".{15}", "49": r"156"}
ECHOED = ("2", "3", "4", "7", "11", "12", "13", "32", "33", "37", "41", "42", "49", "70", "90")


class Books:
    """What the bank has done. Transactions are known by time, trace number and acquirer."""

    def __init__(self, wrong):
        self.wrong, self.entries = wrong, {}
        self.messages, self.declined = {}, {}
        self.forgotten = self.reversals = self.unknown = self.repeats = 0
        self.sign_ons = self.echoes = self.money_count = 0
        self.asked = self.answered = 0  # the bank's own echoes
        self.unanswered_reversal = False

    @staticmethod
    def key(m):
        return m["7"], m["11"], m["32"].rjust(11, "0")

    def original(self, m, where):
        """The entry that field 90 names."""
        elements = m.get("90", "")
        if not re.fullmatch(r"\d{42}", elements):
            self.wrong.say(where, "field 90 is %r" % elements)
            return None
        e = self.entries.get((elements[10:20], elements[4:10], elements[20:31]))
        if e and e["mti"] != elements[:4]:
            self.wrong.say(where, "field 90 names a %s, it was a %s" % (elements[:4], e["mti"]))
        return e

    def report(self):
        posted = held = reversed_ = 0
        kinds, standing = {}, {}
        for e in self.entries.values():
            if e["code"] != "00":
                continue
            kinds[e["kind"]] = kinds.get(e["kind"], 0) + 1
            if not e["reversed"]:
                standing[e["kind"]] = standing.get(e["kind"], 0) + 1
            posted += e["posted"]
            held += e["held"]
            reversed_ += e["amount"] if e["reversed"] else 0
            if e["forgotten"] and not e["advice"] and not e["reversed"]:
                self.wrong.say("end", "a forgotten %s was never reversed" % e["kind"])
            if e["forgotten"] and e["advice"] and not e["repeated"]:
                self.wrong.say("end", "a forgotten %s was never repeated" % e["kind"])
        return {"approved": kinds, "standing": standing, "declined": self.declined,
                "messages": self.messages, "forgotten": self.forgotten, "reversals": self.reversals,
                "unknown_reversals": self.unknown, "repeats": self.repeats,
                "sign_ons": self.sign_ons, "echoes": self.echoes,
                "own_echoes": self.answered, "posted_minor": posted, "held_minor": held,
                "reversed_minor": reversed_}


def kind_of(m):
    """What a message wants, in the bank's words."""
    code, held, advice = m["3"][:2], m["25"] == "06", m["t"][2] == "2"
    if code == "31":
        return "balance"
    if m["t"][1] == "1":
        return "pre_auth_void" if code == "20" else "pre_auth"
    if code == "20":
        return "refund" if advice else "completion_void" if held else "void"
    return "completion" if held else "purchase"


class Bank:
    def __init__(self, args):
        self.cups = args.format == "cups"
        self.spec = cups_spec() if self.cups else ascii_spec()
        self.declines = [d for d in args.decline.split(",") if d]
        self.forget_every = args.forget_every
        self.wrong, self.lock = Wrong(), threading.Lock()
        self.books, self.approvals = Books(self.wrong), 0
        self.own_echoes, self.first_reversal = set(), None

    def serve(self, sock):
        front = b"\x00" * HEADER_SIZE if self.cups else b""
        wire = Wire(sock, self.spec, "ascii4", front)
        sock.settimeout(None)
        try:
            while True:
                frame = wire.receive_frame()
                if not frame:
                    return
                head, body = frame[:len(front)], frame[len(front):]
                self.check_header(head, len(frame))
                m, _ = iso8583.decode(body, self.spec)
                with self.lock:
                    answers = self.answers(m)
                for answer in answers:
                    raw, _ = iso8583.encode(answer, self.spec)
                    wire.send_frame(self.turn(head, len(raw)) + bytes(raw))
        except OSError:
            pass  # the switch has gone
        except Exception as e:  # the report says it
            self.wrong.say("connection", "%s: %s" % (type(e).__name__, e))
        finally:
            sock.close()

    def check_header(self, head, size):
        if not head:
            return
        if head[0] != HEADER_SIZE or head[2:6] != b"%04d" % size or head[41:46] != b"00000":
            self.wrong.say("header", head.hex())

    @staticmethod
    def turn(head, size):
        if not head:
            return head
        return (head[:2] + b"%04d" % (len(head) + size) + head[17:28] + head[6:17] + head[28:41]
                + b"00000")

    def answers(self, m):
        """What is sent when a message has come: its answer, and behind that of a sign-on an
        echo of the bank's own, which the switch has to answer."""
        if m["t"][2] in "13":
            self.echoed(m)
            return []
        answer = self.answer(m)
        if answer is None:
            return []
        if m["t"] == "0800" and m.get("70") == "001":
            self.own_echoes.add((m["7"], m["11"]))
            self.books.asked += 1
            return [answer, {"t": "0800", "7": m["7"], "11": m["11"], "70": "301"}]
        return [answer]

    def echoed(self, m):
        """The answer to the bank's own echo."""
        if m["t"] != "0810" or m.get("39") != "00" or m.get("70") != "301":
            self.wrong.say("echo of the bank", "answered with %s, code %r" % (m["t"], m.get("39")))
        if (m.get("7"), m.get("11")) not in self.own_echoes:
            self.wrong.say("echo of the bank", "fields 7 and 11 are not those of the request")
        self.books.answered += 1

    def answer(self, m):
        """The answer to a message, nothing for one that is forgotten."""
        b, mti = self.books, m["t"]
        b.messages[mti] = b.messages.get(mti, 0) + 1
        out = {"t": answer_type(mti), **{n: m[n] for n in ECHOED if n in m}}
        if mti[1] == "8":
            return {**out, "39": self.management(m)}
        self.check_form(m)
        if mti[1] == "4":
            return self.reverse(m, out)
        if mti[1] not in "12":
            return {**out, "39": "12"}
        return self.money(m, out)

    def management(self, m):
        if m.get("70") == "001":
            self.books.sign_ons += 1
        elif m.get("70") == "301":
            self.books.echoes += 1
        for n in ("7", "11"):
            if not DIGITS.match(m.get(n, "")):
                self.wrong.say("management", "field %s is %r" % (n, m.get(n)))
        return "00" if m.get("70") in ("001", "002", "301") else "40"

    def check_form(self, m):
        where = m["t"]
        for n, form in FORMS.items():
            if not re.fullmatch(form, m.get(n, "")):
                self.wrong.say(where, "field %s has not its form" % n)
        balance = m.get("3", "").startswith("31")
        if not balance and not re.fullmatch(r"\d{12}", m.get("4", "")):
            self.wrong.say(where, "field 4 is %r" % m.get("4"))
        number = m.get("2", "")
        total = sum(int(c) if i % 2 == 0 else sum(divmod(2 * int(c), 10))
                    for i, c in enumerate(reversed(number)))
        if total % 10:
            self.wrong.say(where, "field 2 has a wrong check digit")
        if where[1] == "4" and ("35" in m or "52" in m or "55" in m):
            self.wrong.say(where, "a reversal brings track, PIN or chip data")

    def money(self, m, out):
        b, kind, mti = self.books, kind_of(m), m["t"]
        if kind == "balance":
            return {**out, "39": "00", "54": "1002156C000000123456"}
        key = b.key(m)
        before = b.entries.get(key)
        if before:
            return self.repeat(m, before, out)
        if mti[3] != "0":
            self.wrong.say(mti, "a repeat of what never came")
        amount = int(m["4"])
        e = {"mti": mti, "kind": kind, "amount": amount, "code": "00", "posted": 0, "held": 0,
             "reversed": False, "forgotten": False, "repeated": False, "advice": mti[2] == "2",
             "closes": None, "before": None, "auth": "", "card": m["2"]}
        b.entries[key] = e
        e["code"] = self.decide(m, e)
        if e["code"] == "00":
            self.approvals += 1
            e["auth"] = "%06d" % self.approvals
        else:
            b.declined[e["code"]] = b.declined.get(e["code"], 0) + 1
        b.money_count += 1
        if e["code"] == "00" and self.forget_every and b.money_count % self.forget_every == 0:
            e["forgotten"] = True
            b.forgotten += 1
            return None
        return self.said(e, m, out)

    @staticmethod
    def said(e, m, out):
        out = {**out, "15": m["7"][:4], "39": e["code"]}
        return {**out, "38": e["auth"]} if e["auth"] else out

    def repeat(self, m, e, out):
        """The same again, marked as a repeat, is answered as the first time."""
        self.books.repeats += 1
        e["repeated"] = True
        if m["t"] != e["mti"][:3] + "1":
            self.wrong.say(m["t"], "the repeat of a %s" % e["mti"])
        if int(m["4"]) != e["amount"] or m["2"] != e["card"]:
            self.wrong.say(m["t"], "a repeat with other content")
            return {**out, "39": "94"}
        return self.said(e, m, out)

    def decide(self, m, e):
        """Books the transaction and returns its code."""
        kind, amount = e["kind"], e["amount"]
        if kind in ("purchase", "pre_auth") and not e["advice"] and m["4"][-2:] in self.declines:
            return m["4"][-2:]
        if kind == "purchase":
            e["posted"] = amount
        elif kind == "pre_auth":
            e["held"] = amount
        elif kind == "refund":
            e["posted"] = -amount
        else:
            return self.refer(m, e)
        return "00"

    def refer(self, m, e):
        """Completions and voids: they close what field 90 names."""
        original = self.books.original(m, e["kind"])
        if original is None or original["code"] != "00" or original["reversed"]:
            self.wrong.say(e["kind"], "its original is not in the books")
            return "25"
        if original["card"] != e["card"]:
            self.wrong.say(e["kind"], "its original is another card's")
        e["closes"], e["before"] = original, (original["posted"], original["held"])
        original["posted"] = original["held"] = 0
        if e["kind"] == "completion":
            e["posted"] = e["amount"]
        elif e["kind"] == "completion_void":
            authorization = original["closes"]
            if authorization:
                authorization["held"] = authorization["amount"]
        return "00"

    def reverse(self, m, out):
        b = self.books
        if not b.unanswered_reversal and self.forget_every:
            b.unanswered_reversal = True
            self.first_reversal = b.key(m)
            return None
        if m["t"] == "0421" and b.key(m) == self.first_reversal:
            b.repeats += 1
            self.first_reversal = None
        e = b.original(m, "reversal")
        if e is None:
            b.unknown += 1
            return {**out, "39": "25"}
        if int(m["4"]) != e["amount"] or m["2"] != e["card"]:
            self.wrong.say("reversal", "amount or card is not the original's")
        if not e["reversed"]:
            e["reversed"] = True
            b.reversals += 1
            e["posted"] = e["held"] = 0
            if e["closes"]:
                e["closes"]["posted"], e["closes"]["held"] = e["before"]
        return {**out, "39": "00"}

    def report(self):
        with self.lock:
            if self.first_reversal:
                self.wrong.say("end", "an unanswered 0420 did not come again as 0421")
            if self.books.answered != self.books.asked:
                self.wrong.say("end", "%d of the bank's %d echoes were answered"
                               % (self.books.answered, self.books.asked))
            return self.books.report()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--format", choices=("cups", "iso87_ascii"), default="cups")
    parser.add_argument("--decline", default="51,61")
    parser.add_argument("--forget-every", type=int, default=0)
    bank = Bank(parser.parse_args())
    server = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            sock, _ = server.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=bank.serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print("ready %d" % server.getsockname()[1], flush=True)
    sys.stdin.buffer.read()
    finish(bank.report(), bank.wrong)


if __name__ == "__main__":
    main()
