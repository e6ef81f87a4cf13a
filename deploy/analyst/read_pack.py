"""Reads a daily pack as its users do: read_pack.py FOLDER….

Opens settlement.xlsx with openpyxl, and holds camt053.xml and camt054.xml against the classes
that pyiso20022 has of the schemas of ISO 20022: elements and their order, what is required and
how often, patterns, lengths, digits and lists of codes. Prints the sheets and what is wrong as a JSON
list, an entry a folder.
"""

import dataclasses
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


def read(folder):
    return {"sheets": sheets(os.path.join(folder, "settlement.xlsx")),
            "camt053": message(os.path.join(folder, "camt053.xml"), "camt_053_001_08"),
            "camt054": message(os.path.join(folder, "camt054.xml"), "camt_054_001_08")}


if __name__ == "__main__":
    print(json.dumps([read(folder) for folder in sys.argv[1:]]))
