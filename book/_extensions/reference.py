"""Sphinx extension: the reference, made of the docstrings and of run times.

Before the book is read, each public module gets its page in book/api/. In its
docstrings "Taught in chapter 2, *Title*, section *Title*." becomes links, and
so do the names of the package's classes among the types.
"""

import functools
import importlib
import inspect
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import yaml
from docutils.statemachine import StringList
from sphinx.ext.autosummary import Autosummary
from sphinx.util.docutils import SphinxDirective

import vae_notes
from vae_notes import _keras

BOOK = Path(__file__).resolve().parent.parent
API = BOOK / "api"
RUN_TIMES = BOOK / "_run-times.json"
TAUGHT = re.compile(
    r"Taught\s+in\s+chapter\s+(\d+),\s+\*([^*]+)\*,\s+section\s+\*([^*]+)\*"
)
TYPED = "Parameters", "Attributes", "Returns"


def without_tensorflow():
    """Give the package as much of Keras as its class statements name.

    To import TensorFlow takes as long as to build all other pages. With
    sphinx.ext.autodoc.mock in its place, classes lose their signatures.
    """
    _keras.ops = _keras.tf = SimpleNamespace()
    _keras.keras = SimpleNamespace(
        Model=object,
        layers=SimpleNamespace(Layer=object),
        callbacks=SimpleNamespace(Callback=object),
        saving=SimpleNamespace(
            register_keras_serializable=lambda package: lambda of: of
        ),
    )


@functools.cache
def public():
    """Return what is public by module and name."""
    without_tensorflow()
    modules = {
        name: importlib.import_module(f"vae_notes.{name}")
        for name in vae_notes._MODULES
    }
    return {
        name: {of: getattr(module, of) for of in module.__all__}
        for name, module in modules.items()
    }


def page(name, members):
    """Return the page of a module: its docstring, a table, and every name."""
    title = f"vae_notes.{name}"
    lines = [title, "=" * len(title), ""]
    lines += [f".. automodule:: {title}", "   :no-members:", ""]
    lines += [".. autosummary::", "   :nosignatures:", ""]
    lines += [f"   {member}" for member in members]
    for member, of in members.items():
        kind = "function" if inspect.isfunction(of) else "data"
        kind = "class" if inspect.isclass(of) else kind
        lines += ["", f".. auto{kind}:: {member}"]
    return "\n".join([*lines, ""])


def write_pages(app, config):
    """Write the pages that have changed; leave none of a module that went."""
    pages = {
        API / f"{name}.rst": page(name, of) for name, of in public().items()
    }
    for path in set(API.glob("*.rst")) - set(pages) - {API / "index.rst"}:
        path.unlink()
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def linked_lesson(match):
    """Return a sentence on where something is taught, with its links."""
    number, title, section = (" ".join(of.split()) for of in match.groups())
    (path,) = BOOK.glob(f"{int(number):02}-*.ipynb")
    return (
        f"Taught in chapter {number}, :doc:`{title} </{path.stem}>`, section "
        f":ref:`{section} <{path.stem}:{section}>`"
    )


def linked_class(match):
    """Return a link to a class of the package; other words as they are."""
    word = match.group()
    for name, members in public().items():
        if inspect.isclass(members.get(word)):
            return f":class:`~vae_notes.{name}.{word}`"
    return word


def link_docstring(app, what, name, thing, options, lines):
    """Add the links to a docstring, before napoleon turns it into fields."""
    section = None
    for i, line in enumerate(lines):
        if lines[i + 1 : i + 2] and re.fullmatch("-{3,}", lines[i + 1]):
            section = line
        elif section in TYPED and not line.startswith((" ", "-")):
            argument, colon, kind = line.rpartition(" : ")
            lines[i] = (
                argument + colon + re.sub(r"\b[A-Z]\w+\b", linked_class, kind)
            )
    lines[:] = TAUGHT.sub(linked_lesson, "\n".join(lines)).split("\n")


class Modules(Autosummary):
    """A table of the public modules, in the order in which they are taught."""

    has_content = False

    def run(self):
        names = [f"vae_notes.{name}" for name in vae_notes._MODULES]
        self.content = StringList(names, "modules")
        return super().run()


def chapters():
    """Return what is executed, in the book's order."""
    parts = yaml.safe_load((BOOK / "_toc.yml").read_text())["parts"]
    files = [of["file"] for part in parts for of in part["chapters"]]
    return [name for name in files if (BOOK / f"{name}.ipynb").exists()]


def run_time_lines(records):
    """Yield Markdown: a table for each machine and set of versions."""

    def setting(name):
        return {
            key: value
            for key, value in records.get(name, {}).items()
            if key != "seconds"
        }

    def order(name):
        return json.dumps(setting(name), sort_keys=True)

    for _, group in itertools.groupby(sorted(chapters(), key=order), order):
        names = sorted(group, key=chapters().index)
        of = setting(names[0])
        if not of:
            yield from ["Not executed since run times are kept:", ""]
        else:
            versions = ", ".join(" ".join(v) for v in of["versions"].items())
            where = f"on {of['date']} on {of['machine']}"
            yield from [f"Executed {where}, with {versions}:", ""]
        yield from ["| Chapter | Seconds |", "|---|--:|"]
        seconds = [records.get(name, {}).get("seconds") for name in names]
        for name, took in zip(names, seconds, strict=True):
            yield f"| {{doc}}`{name}` | {'' if took is None else took} |"
        if of:
            yield f"| All of these | {sum(seconds)} |"
        yield ""


class RunTimes(SphinxDirective):
    """Tables of what `make notebooks` recorded, chapter by chapter."""

    def run(self):
        self.env.note_dependency(str(RUN_TIMES))
        stored = RUN_TIMES.read_text() if RUN_TIMES.exists() else "{}"
        lines = StringList(
            list(run_time_lines(json.loads(stored))), "run-times"
        )
        return self.parse_text_to_nodes(lines)


def setup(app):
    app.connect("config-inited", write_pages, priority=100)  # then the toc
    app.connect("autodoc-process-docstring", link_docstring, priority=100)
    app.add_directive("modules", Modules)
    app.add_directive("run-times", RunTimes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
