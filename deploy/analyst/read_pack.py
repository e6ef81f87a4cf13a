"""Reads a daily pack as its users do: read_pack.py FOLDER….

Opens settlement.xlsx with openpyxl, and holds camt053.xml and camt054.xml against the classes
that pyiso20022 has of the schemas of ISO 20022: elements and their order, what is required and
how often, patterns, lengths, digits and lists of codes. Adds the payment orders up, those that
carry an order of a certified day apart, and holds them against the control totals of
manifest.json, and against the same orders in the other formats. Prints the sheets and what is wrong as a JSON
list, an entry a folder.
"""

import csv
import dataclasses
import decimal
import enum
import importlib
import json
import os
import re
import sys
import types
import typing
import xml.etree.ElementTree as tree

import openpyxl
import pyarrow.parquet


def kinds(hint):
    """The types that a hint allows, without None."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return [k for a in typing.get_args(hint) if a is not type(None) for k in kinds(a)]
    if origin in (list, tuple):
        return kinds(typing.get_args(hint)[0])
    return [hint]


def many(hint):
    return typing.get_origin(hint) in (list, tuple)


class Checker:
    def __init__(self, root):
        self.space, self.wrong, self.seen = root.tag[1:].split("}")[0], [], 0

    def value(self, text, field, kind, path):
        m, text = field.metadata, text or ""
        digits = re.sub(r"[.-]", "", text).lstrip("0")
        checks = (("pattern", lambda v: re.fullmatch(v, text)),
                  ("max_length", lambda v: len(text) <= v),
                  ("min_length", lambda v: len(text) >= v),
                  ("total_digits", lambda v: len(digits) <= v),
                  ("fraction_digits", lambda v: len(text.partition(".")[2]) <= v))
        for name, holds in checks:
            if name in m and not holds(m[name]):
                self.wrong.append(f"{path}: {text!r} against {name} {m[name]}")
        if isinstance(kind, type) and issubclass(kind, enum.Enum) and \
                text not in [k.value for k in kind]:
            self.wrong.append(f"{path}: {text!r} is no {kind.__name__}")

    def element(self, node, cls, path):
        self.seen += 1
        hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]))
        fields = dataclasses.fields(cls)
        if any(f.metadata.get("type") == "Wildcard" for f in fields):
            return
        self.attributes(node, fields, hints, path)
        children = {f.metadata.get("name", f.name): (i, f) for i, f in enumerate(
            f for f in fields if f.metadata.get("type") == "Element")}
        if not children:
            for f in fields:
                if f.name == "value":
                    self.value(node.text, f, kinds(hints[f.name])[0], path)
        counts, last = {}, -1
        for child in node:
            name = child.tag.split("}")[-1]
            at = f"{path}/{name}"
            if name not in children or child.tag != f"{{{self.space}}}{name}":
                self.wrong.append(f"{at}: unknown")
                continue
            i, f = children[name]
            if i < last:
                self.wrong.append(f"{at}: out of its order")
            last, counts[name] = i, counts.get(name, 0) + 1
            kind = kinds(hints[f.name])[0]
            if dataclasses.is_dataclass(kind):
                self.element(child, kind, at)
            else:
                self.value(child.text, f, kind, at)
        for name, (_, f) in children.items():
            n, m = counts.get(name, 0), f.metadata
            least = m.get("min_occurs", 0) if many(hints[f.name]) else int(bool(m.get("required")))
            if n < least or not many(hints[f.name]) and n > 1:
                self.wrong.append(f"{path}/{name}: {n} times")

    def attributes(self, node, fields, hints, path):
        known = {f.metadata.get("name", f.name): f for f in fields
                 if f.metadata.get("type") == "Attribute"}
        for name, text in node.attrib.items():
            if name not in known:
                self.wrong.append(f"{path}@{name}: unknown")
                continue
            f = known[name]
            self.value(text, f, kinds(hints[f.name])[0], f"{path}@{name}")
        for name, f in known.items():
            if f.metadata.get("required") and name not in node.attrib:
                self.wrong.append(f"{path}@{name}: missing")


def message(path, name):
    root = tree.parse(path).getroot()
    checker = Checker(root)
    module = importlib.import_module(f"pyiso20022.camt.{name}")
    checker.element(root, module.Document, "")
    return {"elements": checker.seen, "wrong": sorted(set(checker.wrong))}


def sheets(path):
    book = openpyxl.load_workbook(path)
    return {s.title: {"rows": s.max_row, "head": [c.value for c in s[1]],
                      "numbers": sum(isinstance(c.value, (int, float)) for r in s for c in r)}
            for s in book.worksheets}


NUMBERS = {"CNY": "156", "HKD": "344", "MOP": "446", "SGD": "702", "USD": "840", "EUR": "978",
           "JPY": "392", "KRW": "410"}
WHOLE = ("JPY", "KRW")  # no decimals


def minor(text, currency):
    return int(decimal.Decimal(str(text)) * (1 if currency in WHOLE else 100))


def orders(folder):
    """What orders.csv holds, and where the manifest or another format says otherwise."""
    wrong, sums = [], {}
    with open(os.path.join(folder, "orders.csv"), encoding="utf-8-sig", newline="") as f:
        lines = list(csv.DictReader(f))
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as f:
        manifest = json.load(f)
    for o in lines:
        amount = minor(o["amount"], o["currency"])
        s = sums.setdefault(int(NUMBERS[o["currency"]]), dict.fromkeys(
            ("orders", "carried_orders", "ordered_pay", "ordered_collect", "carried_pay",
             "carried_collect"), 0))
        s["orders"] += 1
        s["ordered_" + o["direction"]] += amount
        if o["carries"]:
            s["carried_orders"] += 1
            s["carried_" + o["direction"]] += amount
            if o["carries"][:8] >= manifest["business_date"].replace("-", ""):
                wrong.append(f"{o['number']} carries {o['carries']}, which is of no day before")
    for c in manifest["control"]:
        s = sums.pop(c["currency"], {})
        wrong += [f"{name} is {c[name]}, the orders have {s.get(name, 0)}"
                  for name in ("orders", "carried_orders", "ordered_pay", "ordered_collect",
                               "carried_pay", "carried_collect") if c[name] != s.get(name, 0)]
        own = c["ordered_pay"] - c["ordered_collect"] - c["carried_pay"] + c["carried_collect"]
        if c["net"] != own + c["ordered_before"] or c["debit"] != c["credit"]:
            wrong.append(f"the control totals of {c['currency']} do not add up")
    wrong += [f"orders in currency {c} are in no control total" for c in sums]
    keys = ("number", "direction", "party", "held", "carries")
    mine = [tuple(o[k].removeprefix("'") for k in keys) for o in lines]
    sheet = openpyxl.load_workbook(os.path.join(folder, "settlement.xlsx"))["orders"]
    head, *rows = ([c.value or "" for c in row] for row in sheet)
    columns = pyarrow.parquet.read_table(os.path.join(folder, "orders.parquet")).to_pylist()
    for name, other in (("sheet", [dict(zip(head, row)) for row in rows]), ("parquet", columns)):
        if mine != [tuple(o[k] for k in keys) for o in other]:
            wrong.append(f"the {name} has other orders")
    return {"orders": len(lines), "carried": sum(bool(o["carries"]) for o in lines), "wrong": wrong}


def read(folder):
    return {"orders": orders(folder),
            "sheets": sheets(os.path.join(folder, "settlement.xlsx")),
            "camt053": message(os.path.join(folder, "camt053.xml"), "camt_053_001_08"),
            "camt054": message(os.path.join(folder, "camt054.xml"), "camt_054_001_08")}


if __name__ == "__main__":
    print(json.dumps([read(folder) for folder in sys.argv[1:]]))
