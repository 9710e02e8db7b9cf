#!/usr/bin/env python3
"""Checks that imports point down: no circle of files in `src`, and no import from a floor to one above it. The command in
`src/bin/larder` is a crate of its own.

    tests/imports.py [FOLDER]     checks `src`; reports only what touches `src/FOLDER`
    tests/imports.py --self-test  shows that the check fails on a circle made on purpose

What counts as an import: a `use`, and a path in code whose beginning is known (`crate::a::f()`, or `a::f()` after
`use crate::a`). An import is one of the file that *defines* the name: re-exports (`pub use`) are followed, so a module
that only re-exports is no file here, and a `pub use` whose name the file itself does not use is no import. Tests
(`#[cfg(test)]`, `tests.rs`) are left out. What a macro defines is taken to be defined by the module that it is named in.
"""

import re
import sys
import tempfile
from collections import defaultdict, namedtuple
from pathlib import Path

# A floor (a folder, or a file without its ending), and what no file of it may import. `store` alone is the contract:
# the files of CONTRACT, which any floor may import; every other file in `store` is an implementation.
FLOORS = {
    "fields": ["cache", "entries", "entry", "event", "key", "policy", "status", "store"],
    "policy": ["cache", "entries", "store"],
    "key": ["cache", "entries", "store"],
    "entry": ["cache", "entries", "policy", "status", "store"],
    "status": ["cache", "entries", "event", "policy"],
    "event": ["cache", "entries", "policy"],
    "store": ["cache", "entries", "policy"],
}
CONTRACT = {"store/mod.rs", "store/error.rs", "store/body.rs"}

TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r'|b?r(?P<hash>#*)".*?"(?P=hash)|b?"(?:\\.|[^"\\])*"'
    r"|b?'(?:\\.[^']*|[^'\\])'|'\w+"
    r"|(?P<token>\w+|::|[^\s\w])",
    re.DOTALL,
)
DEFINES = {"struct", "enum", "union", "trait", "type", "fn", "const", "static"}
Use = namedtuple("Use", "module path name is_pub")


class Module:
    def __init__(self, file, parent):
        self.file, self.parent = file, parent
        self.children, self.defined, self.uses, self.globs = {}, set(), {}, []


class Crate:
    def __init__(self, src):
        self.modules, self.uses, self.paths = {}, [], []
        for path in sorted(src.rglob("*.rs")):
            file = path.relative_to(src).as_posix()
            if path.stem != "tests" and not file.startswith("bin/"):
                parts = [part for part in Path(file).with_suffix("").parts if part not in ("mod", "lib", "main")]
                self.read(file, ("crate", *parts), [m["token"] for m in TOKEN.finditer(path.read_text()) if m["token"]])
        for name, module in self.modules.items():
            if module.parent in self.modules:
                self.modules[module.parent].children[name[-1]] = name

    def read(self, file, name, tokens):
        """Notes what the file defines, what it imports, and which paths its code names."""
        modules, depth, at = [(name, 0)], 0, 0
        self.modules[name] = Module(file, name[:-1])
        while at < len(tokens):
            token, here = tokens[at], self.modules[modules[-1][0]]
            if tokens[at : at + 7] == ["#", "[", "cfg", "(", "test", ")", "]"]:
                at = skip_item(tokens, at + 7)
                continue
            if token == "use" and tokens[at + 1] not in ("<", ","):
                end = tokens.index(";", at)
                is_pub = at > 0 and (tokens[at - 1] == "pub" or (tokens[at - 1] == ")" and "pub" in tokens[max(0, at - 12) : at]))
                for path, alias in tree(tokens[at + 1 : end]):
                    if alias == "*":
                        here.globs.append(path)
                    elif alias != "_":
                        here.uses[alias] = path
                    self.uses.append(Use(modules[-1][0], path, alias, is_pub))
                at = end
            elif token == "mod" and tokens[at + 2] == "{":
                inner = (*modules[-1][0], tokens[at + 1])
                self.modules[inner] = Module(file, inner[:-1])
                depth, at = depth + 1, at + 2
                modules.append((inner, depth))
            elif token == "pin_project" and tokens[at + 1 : at + 3] == ["!", "{"]:
                # What stands in it is defined by the module around it.
                depth, at = depth + 1, at + 2
                modules.append((modules[-1][0], depth))
            elif token == "{":
                depth += 1
            elif token == "}":
                if depth == modules[-1][1]:
                    modules.pop()
                depth -= 1
            elif depth == modules[-1][1] and token in DEFINES and re.match(r"\w", tokens[at + 1]):
                here.defined.add(tokens[at + 1])
            elif re.match(r"[A-Za-z_]", token) and tokens[at - 1] not in ("::", ".", "mod"):
                path = [token]
                while tokens[at + 1 : at + 2] == ["::"] and re.match(r"\w", tokens[at + 2]):
                    path.append(tokens[at + 2])
                    at += 2
                self.paths.append((modules[-1][0], path))
            at += 1

    def resolve(self, name, path, seen=frozenset()):
        """What `path` in the module `name` leads to: a file, a module, or nothing of this crate."""
        if (name, tuple(path)) in seen:
            return None
        seen |= {(name, tuple(path))}
        module, (first, *rest) = self.modules[name], path
        if first == "crate":
            found = ("crate",)
        elif first == "self":
            found = name
        elif first == "super":
            found = module.parent
        elif first in module.children:
            found = module.children[first]
        elif first in module.defined:
            return module.file
        elif first in module.uses:
            found = self.resolve(name, module.uses[first], seen)
        else:
            found = next(filter(None, (self.through(name, glob, first, seen) for glob in module.globs)), None)
        if not rest or not isinstance(found, tuple):
            return found
        # A name that nothing is known of is one that a macro defines, or an item of a type.
        return self.resolve(found, rest, seen) or self.modules[found].file

    def through(self, name, glob, item, seen):
        found = self.resolve(name, glob, seen)
        return self.resolve(found, [item], seen) if isinstance(found, tuple) else None

    def imports(self):
        """For each file, the files that it imports."""
        edges, named = defaultdict(set), defaultdict(set)
        for name, path in self.paths:
            named[name].add(path[0])
            self.add(edges, name, path)
        for use in self.uses:
            if use.name == "*":
                found = self.resolve(use.module, use.path)
                if isinstance(found, tuple) and self.modules[found].defined:
                    edges[self.modules[use.module].file].add(self.modules[found].file)
            elif not use.is_pub or use.name in named[use.module]:
                self.add(edges, use.module, use.path)
        return {file: targets - {file} for file, targets in edges.items()}

    def add(self, edges, name, path):
        found = self.resolve(name, path)
        if isinstance(found, str):
            edges[self.modules[name].file].add(found)


def skip_item(tokens, at):
    """The position behind the item that begins at `at`: behind its `;`, or its outermost braces."""
    depth = 0
    while at < len(tokens):
        depth += (tokens[at] in ("{", "(", "[")) - (tokens[at] in ("}", ")", "]"))
        at += 1
        if depth == 0 and (tokens[at - 1] in (";", "}", ",") or tokens[at : at + 1] in (["}"], [")"])):
            break
    return at


def tree(tokens, prefix=()):
    """The paths of a `use`, each with the name that it gets here."""
    path, at = list(prefix), 0
    while at < len(tokens):
        if tokens[at] == "{":
            part, depth = [], 0
            for token in tokens[at + 1 : -1] + [","]:
                depth += (token == "{") - (token == "}")
                if token == "," and depth == 0:
                    if part:
                        yield from tree(part, path)
                    part = []
                else:
                    part.append(token)
            return
        if tokens[at] == "*":
            yield path, "*"
            return
        if tokens[at] == "as":
            yield path, tokens[at + 1]
            return
        if tokens[at] == "self" and path:
            yield path, tokens[at + 2] if len(tokens) > at + 1 else path[-1]
            return
        if tokens[at] != "::":
            path.append(tokens[at])
        at += 1
    yield path, path[-1]


def circles(edges):
    """The shortest circle through each file that lies on one, each circle once."""
    found = set()
    for start in edges:
        before, queue = {}, [start]
        while queue and start not in before:
            file = queue.pop(0)
            for target in sorted(edges.get(file, ())):
                if target not in before:
                    before[target] = file
                    queue.append(target)
        if start in before:
            circle = [start]
            while before[circle[0]] != start:
                circle.insert(0, before[circle[0]])
            least = circle.index(min(circle))
            found.add(tuple(circle[least:] + circle[:least]))
    return sorted(found, key=lambda circle: (len(circle), circle))


def is_in(file, floor):
    return file.startswith(floor + "/") or file == floor + ".rs"


def faults(src, folder=""):
    edges = Crate(src).imports()
    for circle in circles(edges):
        if not folder or any(is_in(file, folder) for file in circle):
            yield " -> ".join([*circle, circle[0]])
    for floor, above in FLOORS.items():
        for file in sorted(edges):
            for target in sorted(edges[file] - CONTRACT):
                if is_in(file, floor) and any(is_in(target, other) for other in above) and (not folder or is_in(file, folder)):
                    yield f"{file} imports {target}, which lies above {floor}"


def self_test():
    files = {
        "lib.rs": "mod a; mod b; mod c;",
        "a.rs": "use crate::c::B; pub struct A;",
        "b.rs": "use std::fmt; pub struct B(super::a::A);",
        "c.rs": "pub(crate) use super::{b::{self, B}};",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text)
        found = list(faults(Path(folder)))
        assert found == ["a.rs -> b.rs -> a.rs"], found
        print("found the circle that was made on purpose:", *found)
        Path(folder, "b.rs").write_text("pub struct B; #[cfg(test)] mod tests { use crate::a::A; }")
        assert list(faults(Path(folder))) == []
        Path(folder, "cache.rs").write_text("pub struct C;")
        Path(folder, "policy.rs").write_text("fn f() -> crate::cache::C { crate::cache::C }")
        found = list(faults(Path(folder)))
        assert found == ["policy.rs imports cache.rs, which lies above policy"], found
        print("found the import that was made to point up:", *found)


if __name__ == "__main__":
    if "--self-test" in sys.argv:
        self_test()
    else:
        src = Path(__file__).parent.parent / "src"
        found = [*faults(src, *sys.argv[1:2]), *faults(src / "bin/larder", *sys.argv[1:2])]
        print("\n".join(found) or "imports point down")
        sys.exit(bool(found))
