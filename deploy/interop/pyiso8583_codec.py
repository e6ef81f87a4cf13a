"""Two codecs, one message: pyiso8583 and tapswitch have to agree field by field.

usage: pyiso8583_codec.py TAPSWITCH [--count N] [--seed N]

For every format, N messages are made up. pyiso8583 encodes each and tapswitch takes it
apart; tapswitch packs each and pyiso8583 takes it apart; both encodings have to be the same
bytes. The formats are written down here in pyiso8583's own terms, none is read from
tapswitch. Everything is made up; no card number belongs to anyone.

pyiso8583 has no field of a sign and packed digits (28 to 31, 97 in BCD), so these are left
out there, and no length inside a header, so cups goes without one.
"""

import argparse
import copy
import json
import random
import subprocess
import sys

import iso8583
from iso8583.specs import default, default_ascii

DIGITS = "0123456789"
TEXT = DIGITS + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz .,-/+"
WIDE = "城市一卡通测试商户成功公交地铁"
HEX = "0123456789ABCDEF"


def row(data_enc, len_enc, len_type, max_len, **more):
    return {"data_enc": data_enc, "len_enc": len_enc, "len_type": len_type, "max_len": max_len,
            "desc": "", **more}


def packed(digits, left_pad=False):
    """A fixed number in BCD; an odd one has a zero on one side."""
    if digits % 2 == 0:
        return row("b", "bcd", 0, digits, len_count="nibbles")
    pad = {"left_pad": "0"} if left_pad else {"right_pad": "0"}
    return row("b", "bcd", 0, digits, len_count="nibbles", **pad)


def packed_var(digits, len_type):
    return row("b", "bcd", len_type, digits, len_count="nibbles", right_pad="0")


# What a field holds: n digits, z track, t text, w text in GB18030, b bytes.
KINDS = {n: "n" for n in (2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 22, 23, 25, 26,
                          32, 33, 53, 70, 90, 99, 100)}
KINDS.update({n: "t" for n in (37, 38, 39, 41, 42, 44, 48, 49, 50, 51, 54, 60, 61, 62, 63, 102)})
KINDS.update({35: "z", 52: "b", 64: "b", 128: "b"})

LENGTHS = {3: 6, 4: 12, 5: 12, 6: 12, 7: 10, 8: 8, 9: 8, 10: 8, 11: 6, 12: 6, 13: 4, 14: 4, 15: 4,
           16: 4, 17: 4, 18: 4, 19: 3, 20: 3, 21: 3, 22: 3, 23: 3, 24: 3, 25: 2, 26: 2, 27: 1, 53: 16,
           66: 1, 70: 3, 74: 10, 90: 42}


def iso87_ascii():
    """The library's own spec as it is."""
    kinds = {**KINDS, 8: "n", 17: "n", 20: "n", 24: "n", 27: "n", 43: "t", 45: "t", 46: "t", 47: "t",
             55: "t", 74: "n", 104: "t"}
    for n in (49, 50, 51):
        kinds[n] = "n"
    spec = copy.deepcopy(default_ascii)
    spec["45"]["max_len"] = 76
    spec["104"]["max_len"] = 100
    return "iso87_ascii", "none", spec, kinds


def iso87_ascii_binary():
    """The library's other spec as it is, but for chip data, which it takes as bytes."""
    name, envelope, _, kinds = iso87_ascii()
    spec = copy.deepcopy(default)
    spec["45"]["max_len"] = 76
    spec["104"]["max_len"] = 100
    kinds = {n: k for n, k in kinds.items() if n != 55}
    return name + "_binary", envelope, spec, kinds


def in_bcd(align_right):
    """Type, numbers and lengths in BCD."""
    spec = {
        "h": row("b", "ascii", 0, 0),
        "t": row("b", "ascii", 0, 2),
        "p": row("b", "ascii", 0, 8),
        "1": row("b", "ascii", 0, 8),
    }
    for n, digits in LENGTHS.items():
        spec[str(n)] = packed(digits, left_pad=align_right)
    for n, most, len_type in ((2, 19, 1), (32, 11, 1), (33, 11, 1), (35, 37, 1), (99, 11, 1),
                              (100, 11, 1)):
        spec[str(n)] = packed_var(most, len_type)
    for n, size in ((37, 12), (38, 6), (39, 2), (41, 8), (42, 15), (43, 40), (49, 3), (50, 3), (51, 3)):
        spec[str(n)] = row("ascii", "bcd", 0, size)
    for n, most, len_type in ((44, 25, 1), (54, 120, 2), (102, 28, 1)):
        spec[str(n)] = row("ascii", "bcd", len_type, most)
    for n in (48, 60, 61, 62, 63):
        spec[str(n)] = row("ascii", "bcd", 2, 999)
    for n in (52, 64, 128):
        spec[str(n)] = row("b", "bcd", 0, 8)
    return spec


def iso87_bcd():
    kinds = {**KINDS, 8: "n", 17: "n", 20: "n", 24: "n", 27: "n", 43: "t", 66: "n", 74: "n"}
    return "iso87_bcd", "none", in_bcd(align_right=True), kinds


def cup_pos():
    """With TPDU and header, as a header of 11 bytes."""
    spec = in_bcd(align_right=False)
    spec["h"] = row("b", "ascii", 0, 11)
    spec["23"] = packed(3, left_pad=True)
    spec["36"] = packed_var(104, 2)
    spec["43"] = row("gb18030", "bcd", 0, 40)
    spec["44"] = row("gb18030", "bcd", 1, 25)
    spec["48"] = packed_var(322, 2)
    spec["55"] = row("b", "bcd", 2, 999)
    spec["56"] = row("gb18030", "bcd", 2, 999)
    spec["60"] = packed_var(99, 2)
    spec["61"] = packed_var(99, 2)
    spec["62"] = row("b", "bcd", 2, 999)
    spec["63"] = row("b", "bcd", 2, 999)
    kinds = {n: k for n, k in KINDS.items() if n <= 64}
    kinds.update({36: "z", 43: "w", 44: "w", 48: "n", 55: "b", 56: "w", 60: "n", 61: "n", 62: "b",
                  63: "b"})
    return "cup_pos", "tpdu_header", spec, kinds


def cups():
    """All characters, binary bitmaps, PIN block and MAC; without the header."""
    spec = copy.deepcopy(default)
    for n in ("48", "63"):
        spec[n] = row("gb18030", "ascii", 3, 512)
    for n in ("60", "121", "122", "123"):
        spec[n] = row("gb18030", "ascii", 3, 100)
    spec["61"] = spec["62"] = row("gb18030", "ascii", 3, 200)
    spec["43"] = row("gb18030", "ascii", 0, 40)
    spec["44"] = row("gb18030", "ascii", 2, 25)
    spec["54"] = row("ascii", "ascii", 3, 40)
    spec["55"] = row("b", "ascii", 3, 255)
    spec["128"] = row("b", "ascii", 0, 8)
    kinds = {n: k for n, k in KINDS.items() if n not in (64, 99)}
    kinds.update({43: "w", 44: "w", 48: "w", 55: "b", 60: "w", 61: "w", 62: "w", 63: "w", 121: "w",
                  122: "w", 123: "w"})
    return "cups", "none", spec, kinds


def with_check_digit(body):
    total = 0
    for i, c in enumerate(reversed(body)):
        d = int(c) * (2 if i % 2 == 0 else 1)
        total += d - 9 if d > 9 else d
    return body + str(-total % 10)


def pick(rng, alphabet, n):
    return "".join(rng.choice(alphabet) for _ in range(n))


def wide(rng, size):
    """Text of exactly size bytes in GB18030."""
    text = ""
    while size > 0:
        if size > 1 and rng.random() < 0.5:
            text, size = text + rng.choice(WIDE), size - 2
        else:
            text, size = text + rng.choice(TEXT), size - 1
    return text


def value(rng, n, kind, field):
    """Content of a field in the terms of pyiso8583."""
    most = field["max_len"]
    size = most if field["len_type"] == 0 else rng.randint(0 if rng.random() < 0.1 else 1, min(most, 60))
    if n == 2:
        return with_check_digit("400000" + pick(rng, DIGITS, rng.randint(9, 12)))
    if kind == "n":
        return pick(rng, DIGITS, size)
    if kind == "z":
        card = with_check_digit("62226000" + pick(rng, DIGITS, rng.randint(7, 10)))
        separator = "D" if field["data_enc"] == "b" else "="
        return card + separator + "3012" + pick(rng, DIGITS, rng.randint(3, 13))
    if kind == "w":
        return wide(rng, size)
    if kind == "b":
        size = 2 * size if field.get("len_count", "bytes") == "bytes" else size
        if field["data_enc"] != "b":
            size = most
        return pick(rng, HEX, size)
    return pick(rng, TEXT, size)


def made_up(rng, spec, kinds):
    """A message in the terms of pyiso8583."""
    mti = rng.choice(["0100", "0110", "0200", "0210", "0220", "0230", "0400", "0410", "0420", "0421",
                      "0500", "0510", "0800", "0810", "0820"])
    doc = {"t": mti}
    if spec["h"]["max_len"]:
        doc["h"] = "6000%02d0000603100%s" % (rng.randint(0, 99), pick(rng, DIGITS, 6))
    fields = [n for n in kinds if str(n) in spec]
    few = [n for n in fields if n <= 64] if rng.random() < 0.5 else fields
    for n in rng.sample(sorted(few), rng.randint(1, len(few))):
        doc[str(n)] = value(rng, n, kinds[n], spec[str(n)])
    return doc


def theirs(doc):
    """The message in the terms of tapswitch."""
    fields = {}
    for key, text in doc.items():
        if key.isdigit() and key != "1":
            fields[key] = text.replace("D", "=") if key in ("35", "36") else text
    out = {"mti": doc["t"], "fields": fields}
    if "h" in doc:
        out["tpdu"], out["header"] = doc["h"][:10], doc["h"][10:]
    return out


def run(binary, args, text):
    """One process for many messages, a line each."""
    done = subprocess.run([binary, "iso8583", *args], input=text.encode(), capture_output=True,
                          timeout=120)
    if done.returncode != 0:
        sys.exit("tapswitch %s: exit %d: %s" % (args[0], done.returncode, done.stderr.decode()))
    return done.stdout.decode().splitlines()


def same(where, want, got, faults):
    """Compares two messages part by part."""
    for key in sorted(set(want) | set(got)):
        if key == "fields":
            for n in sorted(set(want[key]) | set(got[key]), key=int):
                if want[key].get(n) != got[key].get(n):
                    faults.append("%s: field %s: %r, %r" % (where, n, want[key].get(n), got[key].get(n)))
        elif want.get(key) != got.get(key):
            faults.append("%s: %s: %r, %r" % (where, key, want.get(key), got.get(key)))


def compare(binary, fmt, count, rng):
    """Both directions for one format; returns what differs."""
    name, envelope, spec, kinds = fmt
    docs, frames, faults, fields = [], [], [], 0
    for _ in range(count):
        doc = made_up(rng, spec, kinds)
        raw, _ = iso8583.encode(doc, spec)
        docs.append(doc)
        frames.append(bytes(raw).hex().upper())
        fields += len(theirs(doc)["fields"])
    flags = ["--spec", name, "--envelope", envelope, "--framing", "none"]

    read = run(binary, ["describe", "--json", "--reveal", *flags, "--input", "hex"],
               "\n".join(frames) + "\n")
    written = run(binary, ["pack", *flags],
                  "\n".join(json.dumps(theirs(d)) for d in docs) + "\n")
    if len(read) != count or len(written) != count:
        return fields, ["%s: %d read and %d written of %d" % (name, len(read), len(written), count)]
    for i, doc in enumerate(docs):
        where = "%s message %d" % (name, i + 1)
        line = json.loads(read[i])
        got = {"mti": line["mti"], "fields": line.get("fields", {})}
        if "h" in doc:
            got["tpdu"], got["header"] = line["tpdu"], line["header"]
        same(where + ", read by tapswitch", theirs(doc), got, faults)
        if written[i] != frames[i]:
            faults.append("%s: packed to other bytes" % where)
        try:
            back, _ = iso8583.decode(bytes.fromhex(written[i]), spec)
        except iso8583.DecodeError as e:
            faults.append("%s, read by pyiso8583: %s" % (where, e))
            continue
        same(where + ", read by pyiso8583", theirs(doc), theirs(back), faults)
    return fields, faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    failed = 0
    for make in (iso87_ascii, iso87_ascii_binary, iso87_bcd, cup_pos, cups):
        fmt = make()
        rng = random.Random("%d %s" % (args.seed, fmt[0]))
        fields, faults = compare(args.binary, fmt, args.count, rng)
        print("%s: %d messages, %d fields, %d differences" % (fmt[0], args.count, fields, len(faults)))
        for fault in faults[:10]:
            print("  " + fault)
        failed += len(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
