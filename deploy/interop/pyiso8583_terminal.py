"""An acquirer and a terminal on pyiso8583 and raw sockets, against a switch that runs.

usage: pyiso8583_terminal.py --acquirer HOST:PORT --pos HOST:PORT
       [--terminal 00000001] [--merchant 898310041110001] [--bin 622260]

The acquirer speaks ISO 8583:1987 in ASCII behind four digits of length, the terminal the
UnionPay POS form behind two bytes of length, TPDU and header. The bank behind the switch has
to approve, but amounts that end in 54, which it declines with that code. Every answer is held
against its request. It prints what it believes of the money as JSON (minor units), with a list
of what was wrong, and ends with status 1 when there is anything in that list.

Cards are made up. Nothing here is read from the switch but its answers.
"""

import argparse
import sys

import iso8583

sys.dont_write_bytecode = True  # the folder is a source folder

from pyiso8583_wire import (Wire, Wrong, answer_type, ascii_spec, card, connect, finish, now,
                            pos_spec)

TPDU, HEADER = bytes.fromhex("6000030000"), bytes.fromhex("603100311003")


class Books:
    """What a terminal believes of the money: what cards owe, and what is held."""

    def __init__(self):
        self.debit = self.credit = self.reversed = self.held = 0
        self.answers, self.codes = 0, {}

    def report(self):
        return {"answers": self.answers, "codes": self.codes, "debit_minor": self.debit,
                "credit_minor": self.credit, "reversed_minor": self.reversed,
                "held_minor": self.held, "net_minor": self.debit - self.credit - self.reversed}


class Client:
    """Sends requests and checks the answers."""

    echoed = ()
    front = b""

    def __init__(self, address, spec, length, wrong):
        self.address, self.spec, self.length, self.wrong = address, spec, length, wrong
        self.wire = Wire(connect(address), spec, length, self.front)
        self.books, self.trace = Books(), 0

    def stan(self):
        self.trace += 1
        return "%06d" % self.trace

    def ask(self, where, doc, want, present=(), absent=()):
        """Sends a request and takes the answer; checks type, echoes and code."""
        self.wire.send(doc)
        return self.take(where, doc, want, present, absent)

    def take(self, where, doc, want, present=(), absent=(), echoed=None):
        front, answer = self.wire.receive()
        self.books.answers += 1
        code = answer.get("39", "")
        key = "%s %s" % (doc["t"], code)
        self.books.codes[key] = self.books.codes.get(key, 0) + 1
        self.check_front(where, front)
        if answer["t"] != answer_type(doc["t"]):
            self.wrong.say(where, "type %s answered with %s" % (doc["t"], answer["t"]))
        for n in self.echoed if echoed is None else echoed:
            if n in doc and answer.get(n) != doc[n]:
                self.wrong.say(where, "field %s of the answer is %r" % (n, answer.get(n)))
        if (code not in want) if isinstance(want, (list, tuple)) else (code != want):
            self.wrong.say(where, "code %r, expected %s" % (code, want))
        for n in present:
            if not answer.get(n, "").strip():
                self.wrong.say(where, "the answer has no field %s" % n)
        for n in absent:
            if n in answer:
                self.wrong.say(where, "the answer has field %s" % n)
        return answer

    def same(self, where, a, b):
        """A repeat has to get the answer that the first had."""
        for n in ("3", "4", "7", "11", "37", "38", "39", "41", "42", "49"):
            if a.get(n) != b.get(n):
                self.wrong.say(where, "field %s of the repeat's answer is %r, was %r"
                               % (n, b.get(n), a.get(n)))

    def check_front(self, where, front):
        pass


class Acquirer(Client):
    echoed = ("2", "3", "4", "7", "11", "32", "37", "41", "42", "49", "70", "90")
    terminal, merchant, institution = "PY000001", "898000000000077", "10000077"

    def message(self, mti, **fields):
        return {"t": mti, "7": now("%m%d%H%M%S"), "11": self.stan(), "32": self.institution,
                **{k[1:]: v for k, v in fields.items()}}

    def money(self, mti, code, number, amount, condition="00", **fields):
        m = self.message(mti, f2=number, f3=code, f4="%012d" % amount, f12=now("%H%M%S"),
                         f13=now("%m%d"), f14="3012", f18="5411", f22="071", f25=condition,
                         f41=self.terminal, f42=self.merchant, f49="156", **fields)
        m.setdefault("37", "%s%s" % (now("%j%H%M")[:6], m["11"]))
        return m

    @staticmethod
    def original(m):
        return m["t"] + m["11"] + m["7"] + m["32"].rjust(11, "0") + "0" * 11

    def run(self, bin_, first):
        b, ask, original = self.books, self.ask, self.original
        approved = ("38", "15")

        m = self.message("0800", f70="001", f41=self.terminal)
        ask("sign-on", m, "00", ("70",))
        ask("echo", self.message("0800", f70="301"), "00", ("70",))

        # A purchase; the same again gets the same answer, something else is refused.
        m = self.money("0200", "000000", card(bin_, first), 12_300)
        a = ask("purchase", m, "00", approved)
        b.debit += 12_300
        self.same("purchase again", a, ask("purchase again", m, "00", ("38",)))
        self.same("purchase as 0201", a, ask("purchase as 0201", {**m, "t": "0201"}, "00"))
        ask("other amount", {**m, "4": "%012d" % 45_600}, "94", absent=("38",))
        ask("other card", {**m, "2": card(bin_, first + 900)}, "94", absent=("38",))

        # Declined by the bank.
        m = self.money("0200", "000000", card(bin_, first), 12_354)
        ask("declined", m, "54", absent=("38",))

        # Void, and void again under another number.
        m = self.money("0200", "000000", card(bin_, first + 1), 20_000)
        a = ask("purchase to void", m, "00", approved)
        v = self.money("0200", "200000", card(bin_, first + 1), 20_000, f37=a["37"], f38=a["38"],
                       f90=original(m))
        ask("void", v, "00")
        v = self.money("0200", "200000", card(bin_, first + 1), 20_000, f37=a["37"], f38=a["38"],
                       f90=original(m))
        answer = ask("second void", v, ("12", "25", "94", "64"))
        if answer.get("39") == "00":
            b.credit += 20_000

        # Refund of a part.
        m = self.money("0200", "000000", card(bin_, first + 2), 30_000)
        a = ask("purchase to refund", m, "00", approved)
        b.debit += 30_000
        r = self.money("0220", "200000", card(bin_, first + 2), 10_000, f37=a["37"])
        a = ask("refund", r, "00")
        b.credit += 10_000
        self.same("refund as 0221", a, ask("refund as 0221", {**r, "t": "0221"}, "00"))

        # Pre-authorization and its completion for less.
        m = self.money("0100", "030000", card(bin_, first + 3), 50_000, condition="06")
        a = ask("pre-authorization", m, "00", approved)
        c = self.money("0200", "000000", card(bin_, first + 3), 40_000, condition="06",
                       f38=a.get("38", ""), f90=original(m))
        ask("completion", c, "00", ("38",))
        b.debit += 40_000

        # Balance: nothing moves.
        m = self.money("0200", "310000", card(bin_, first), 0)
        del m["4"]
        ask("balance", m, "00", ("54",))

        # Reversals: of a purchase, again, as a repeat, and of what never was.
        m = self.money("0200", "000000", card(bin_, first + 4), 60_000)
        ask("purchase to reverse", m, "00", approved)
        b.debit += 60_000
        r = self.money("0420", "000000", card(bin_, first + 4), 60_000, f90=original(m),
                       f37=m["37"])
        a = ask("reversal", r, "00")
        b.reversed += 60_000
        self.same("reversal again", a, ask("reversal again", r, "00"))
        ask("reversal as 0421", {**r, "t": "0421"}, "00")
        never = self.money("0200", "000000", card(bin_, first + 4), 60_000)
        r = self.money("0420", "000000", card(bin_, first + 4), 60_000, f90=original(never),
                       f37=never["37"])
        ask("reversal of nothing", r, "25")
        ask("what the reversal forestalled", never, ("25", "94", "12", "98", "06"))

        self.broken(bin_, first)
        ask("echo in the end", self.message("0800", f70="301"), "00", ("70",))
        ask("sign-off", self.message("0800", f70="002"), "00", ("70",))

    def broken(self, bin_, first):
        """A message that breaks its format in field 49 is answered 30, and the line lives."""
        m = self.money("0200", "000000", card(bin_, first), 70_000)
        raw, _ = iso8583.encode(dict(m), self.spec)
        raw = bytes(raw)
        self.wire.send_frame(raw[:-3] + b"A*C")
        self.take("bad format", m, "30", echoed=("3", "4", "7", "11", "37", "41", "42"))


class Terminal(Client):
    echoed = ("3", "4", "11", "41", "42", "49")
    front = TPDU + HEADER

    def __init__(self, address, spec, length, wrong, name, merchant):
        super().__init__(address, spec, length, wrong)
        self.name, self.merchant, self.batch = name, merchant, "000001"
        self.debits = self.credits = self.debit_batch = self.credit_batch = 0

    def check_front(self, where, front):
        turned = TPDU[:1] + TPDU[3:5] + TPDU[1:3]
        if front[:5] != turned or len(front) != 11:
            self.wrong.say(where, "TPDU and header of the answer are %s" % front.hex())

    def message(self, mti, private, stan=None, **fields):
        return {"t": mti, "11": stan or self.stan(), "41": self.name, "42": self.merchant,
                "60": private, **{k[1:]: v for k, v in fields.items()}}

    def money(self, mti, code, kind, number, amount, condition="00", **fields):
        return self.message(mti, kind + self.batch + "00060", f2=number, f3=code,
                            f4="%012d" % amount, f14="3012", f22="072", f25=condition, f49="156",
                            **fields)

    def original(self, m):
        return self.batch + m["11"] + now("%m%d")

    def management(self, where, mti, network, **fields):
        return self.ask(where, self.message(mti, "00" + self.batch + network, **fields), "00",
                        ("12", "13", "37") if mti == "0800" else ())

    def run(self, bin_, first):
        b, ask, original = self.books, self.ask, self.original
        approved = ("12", "13", "37", "38")

        a = self.management("sign-on", "0800", "003", f62=b"Sequence No16PYISO8583".hex().upper(),
                            f63=b"01 ".hex())
        self.batch = a.get("60", "")[2:8]
        if not self.batch.isdigit() or a["60"][8:11] != "003":
            self.wrong.say("sign-on", "field 60 is %r" % a.get("60"))
        if "62" in a:
            self.wrong.say("sign-on", "keys for a terminal without a master key")
        self.management("echo", "0820", "301")

        m = self.money("0200", "000000", "22", card(bin_, first), 11_100)
        a = ask("purchase", m, "00", approved)
        self.sold(11_100)
        self.same("purchase again", a, ask("purchase again", m, "00", approved))
        ask("other amount", {**m, "4": "%012d" % 11_200}, "94", absent=("38",))
        ask("other card", {**m, "2": card(bin_, first + 900)}, "94", absent=("38",))
        m = self.money("0200", "000000", "22", card(bin_, first), 11_154)
        ask("declined", m, "54", absent=("38",))

        m = self.money("0200", "000000", "22", card(bin_, first + 1), 21_000)
        a = ask("purchase to void", m, "00", approved)
        v = self.money("0200", "200000", "23", card(bin_, first + 1), 21_000, f37=a["37"],
                       f38=a["38"], f61=original(m))
        ask("void", v, "00", ("37",))

        m = self.money("0200", "000000", "22", card(bin_, first + 2), 31_000)
        a = ask("purchase to refund", m, "00", approved)
        self.sold(31_000)
        r = self.money("0220", "200000", "25", card(bin_, first + 2), 9_000, f37=a["37"],
                       f61=original(m))
        ask("refund", r, "00")
        b.credit += 9_000
        self.credits, self.credit_batch = self.credits + 1, self.credit_batch + 9_000

        m = self.money("0100", "030000", "10", card(bin_, first + 3), 51_000, condition="06")
        a = ask("pre-authorization", m, "00", approved)
        c = self.money("0200", "000000", "20", card(bin_, first + 3), 41_000, condition="06",
                       f38=a.get("38", ""), f61=original(m))
        ask("completion", c, "00", approved)
        self.sold(41_000)
        m = self.money("0100", "030000", "10", card(bin_, first + 4), 5_000, condition="06")
        ask("pre-authorization that is left", m, "00", approved)
        b.held += 5_000

        m = self.money("0200", "310000", "01", card(bin_, first), 0)
        del m["4"]
        ask("balance", m, "00", ("54",))

        m = self.money("0200", "000000", "22", card(bin_, first + 5), 61_000)
        a = ask("purchase to reverse", m, "00", approved)
        b.debit += 61_000
        r = self.reversal(m)
        ask("reversal", r, "00", ("37",))
        b.reversed += 61_000
        ask("reversal again", r, ("00", "25"))
        never = self.money("0200", "000000", "22", card(bin_, first + 5), 100)
        ask("reversal of nothing", self.reversal(never), ("00", "25"))

        self.refused(bin_, first)
        self.settle()
        self.management("sign-off", "0820", "002")

    def reversal(self, m):
        kept = ("2", "3", "4", "11", "14", "22", "25", "41", "42", "49", "60")
        return {**{n: m[n] for n in kept}, "t": "0400", "39": "98", "61": self.original(m)}

    def sold(self, amount):
        self.books.debit += amount
        self.debits, self.debit_batch = self.debits + 1, self.debit_batch + amount

    def refused(self, bin_, first):
        """What the switch refuses by itself."""
        m = self.money("0200", "000000", "22", card(bin_, first), 100)
        self.ask("unknown terminal", {**m, "41": "99999999"}, "97")
        self.ask("other merchant", {**m, "42": "898000000000000"}, "03")
        m = self.money("0200", "990000", "99", card(bin_, first), 100)
        self.ask("unknown transaction", m, ("12", "40"))
        m = self.money("0200", "000000", "22", card(bin_, first), 100)
        raw, _ = iso8583.encode(dict(m), self.spec)
        self.wire.send_frame(self.front + bytes(raw) + b"\x00")
        self.take("bytes behind the last field", m, "30", echoed=("3", "4", "11", "41", "42"))

    def settle(self):
        totals = "%012d%03d%012d%03d0" % (self.debit_batch, self.debits, self.credit_batch,
                                          self.credits)
        m = self.message("0500", "00" + self.batch + "201", f48=totals + "0" * 31, f49="156",
                         f63=b"01 ".hex())
        a = self.ask("settlement", m, "00", ("48",))
        if a.get("48", "")[30:31] != "1":
            self.wrong.say("settlement", "verdict %r of %s" % (a.get("48", "")[30:31], totals))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--acquirer", required=True)
    parser.add_argument("--pos", required=True)
    parser.add_argument("--terminal", default="00000001")
    parser.add_argument("--merchant", default="898310041110001")
    parser.add_argument("--bin", default="622260")
    args = parser.parse_args()
    wrong = Wrong()
    report = {}
    for name, start, first in (
            ("acquirer", lambda: Acquirer(args.acquirer, ascii_spec(), "ascii4", wrong), 100),
            ("pos", lambda: Terminal(args.pos, pos_spec(), "binary2", wrong, args.terminal,
                                     args.merchant), 200)):
        client = start()
        try:
            client.run(args.bin, first)
        except Exception as e:  # the report says it, and what came before
            wrong.say(name, "%s: %s" % (type(e).__name__, e))
        report[name] = client.books.report()
        client.wire.close()
    finish(report, wrong)


if __name__ == "__main__":
    main()
