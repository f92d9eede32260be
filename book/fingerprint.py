"""What decides the outputs stored in a notebook, as one number.

That is its own code, the modules of the package which this code reaches
through imports, and the versions of what computes and draws. Of a module the
syntax tree counts, without what changes no number: comments, docstrings,
layout and type hints. Where imports cannot be followed, too much counts
rather than too little.
"""

import ast
import functools
import hashlib
import importlib
from collections import defaultdict
from importlib.util import resolve_name
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "vae_notes"
EVERYTHING = f"from {PACKAGE} import *"
DECISIVE = {  # of what the lock pins
    "keras",
    "kiwisolver",  # lays figures out
    "matplotlib",
    "matplotlib-inline",  # crops them
    "numpy",
    "pillow",
    "scikit-learn",
    "scipy",  # computes for scikit-learn
    "tensorflow",
}
HINTS = {"__future__", "collections.abc", "numpy.typing", "typing"}  # modules
FOR_HINTS = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
NO_ASSETS = {".py", ".pyc", ".pyi", ".typed"}
IMPORTED = ""  # how a name is used that an import statement has


class Module(NamedTuple):
    """A file of the package, by content: what is found out of it is kept."""

    source: str
    package: str
    is_package: bool


def fingerprint(notebook, root=ROOT):
    """Return the sha256 of what decides a notebook's outputs."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    counts = [code, sorted(reach(code, root)), decisive_versions(root)]
    return hashlib.sha256(ascii(counts).encode()).hexdigest()


def decisive_versions(root):
    """Return the lines of the lock that count."""
    lock = (root / "requirements.txt").read_text("utf-8").splitlines()
    pins = [" ".join(line.partition("#")[0].split()) for line in lock]
    return [pin for pin in pins if pin.partition("==")[0].lower() in DECISIVE]


# The graph of imports.


def reach(code, root):
    """Return pairs: what some pieces of code reach, and what it is."""
    modules = modules_of(root)
    reached, pairs = set(), set()
    waiting = [("\n".join(map(followed, code)), "")]
    while waiting:
        for use in uses(*waiting.pop()):
            names, meaning = targets(*use, modules)
            new = [modules[name] for name in names - reached]
            waiting += [(module.source, module.package) for module in new]
            reached |= names
            pairs |= meaning
    pairs |= {(name, text_of_module(modules[name])) for name in reached}
    for package, name, content in assets(modules, root):
        if package in reached:
            pairs.add((name, content))
    return pairs


def modules_of(root):
    """Return the package's modules by their names."""
    modules = {}
    for path in (root / PACKAGE).rglob("*.py"):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        package, _, last = name.rpartition(".")
        is_package = last == "__init__"
        module = Module(path.read_text("utf-8"), package, is_package)
        modules[package if is_package else name] = module
    return modules


def assets(modules, root):
    """Yield what packages may read: package, name, content of each file."""
    for path in (root / PACKAGE).rglob("*"):
        name = path.relative_to(root)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and path.suffix not in NO_ASSETS and not hidden:
            package = ".".join(name.parent.parts)
            while package and package not in modules:
                package = package.rpartition(".")[0]
            yield package, name.as_posix(), path.read_bytes().hex()


def followed(source):
    """Return a cell's code; where its imports are computed, import all."""
    try:
        computed = computes_imports(source)
    except SyntaxError:  # a magic command may run anything
        return EVERYTHING
    return f"{source}\n{EVERYTHING}" if computed else source


@functools.cache
def uses(source, package):
    """Return pairs: a name of the package in some code, and how it is used.

    That is IMPORTED, or the constant that it is called with first, or None.
    """
    nodes = list(ast.walk(tree_of(source)))  # what contains comes first
    # resources.files("vae_notes.interactive") needs that package, too.
    found = {(text, IMPORTED) for text in texts(source)}
    bound, seen = defaultdict(set), set()
    for node in nodes:
        if isinstance(node, ast.Import):
            for of in node.names:
                top = of.name.partition(".")[0]
                bound[of.asname or top].add(of.name if of.asname else top)
                found.add((of.name, IMPORTED))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = resolve_name("." * node.level + base, package)
            for of in node.names:
                name = f"{base}.{of.name}"
                bound[of.asname or of.name].add(name)
                found.add((name, IMPORTED))
    for node in nodes:
        argument, rest = None, []
        if isinstance(node, ast.Call):
            if node.args and isinstance(node.args[0], ast.Constant):
                argument = node.args[0].value
            node = node.func
        while isinstance(node, ast.Attribute) and node not in seen:
            seen.add(node)
            rest.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node not in seen:
            seen.add(node)
            for name in bound[node.id]:
                found.add((".".join([name, *rest]), argument))
    return {use for use in found if use[0].partition(".")[0] == PACKAGE}


@functools.cache
def texts(source):
    """Return the strings in some code."""
    constants = [
        node.value
        for node in ast.walk(tree_of(source))
        if isinstance(node, ast.Constant)
    ]
    return {value for value in constants if isinstance(value, str)}


def targets(name, argument, modules):
    """Return the modules that a use reaches, and what a lazy name means."""
    home = name
    while home and home not in modules:
        home = home.rpartition(".")[0]
    if not home:
        return set(), set()
    module = modules[home]
    wanted = name.removeprefix(home)[1:].partition(".")[0]
    outer = home.rpartition(".")[0]
    reached = {home} | targets(outer, IMPORTED, modules)[0]
    if wanted == "*":
        return set(modules), set()
    if not is_lazy(module):
        return reached | listed(module, argument, modules), set()
    if not wanted:
        whole = argument is None  # passed on, to be asked for any name
        return set(modules) if whole else reached, set()
    asked, meant = f"{home}.{wanted}", meaning_of(wanted, module)
    if meant != asked:  # else it means a module, and there is none
        reached |= targets(meant, IMPORTED, modules)[0]
    return reached, {(asked, meant)}


# What a package imports when it is first used: the package is asked.


class Named:
    """Stands for what would be imported; only its name is known."""

    def __init__(self, name):
        self.dotted_name = name

    def __getattr__(self, name):
        return Named(f"{self.dotted_name}.{name}")


def defined(module):
    """Return what a package with a __getattr__ defines; of others nothing.

    Where its functions ask importlib for a module, they get only its name.
    """
    space = {}
    if module.is_package and "__getattr__" in module.source:
        space["__name__"] = space["__package__"] = module.package
        exec(module.source, space)

        def import_module(name, package=None):
            return Named(resolve_name(name, package))

        instead = {"import_module": import_module}
        space["importlib"] = SimpleNamespace(**vars(importlib) | instead)
        space["import_module"] = import_module
    return space


@functools.cache
def is_lazy(module):
    """Say whether a module is a package with a __getattr__."""
    return "__getattr__" in defined(module)


@functools.cache
def meaning_of(name, module):
    """Return the dotted name of what a lazy package has by some name."""
    space = defined(module)
    if name in space:
        return ""  # not lazy
    try:
        meant = space["__getattr__"](name)
    except AttributeError:
        return ""  # there is none
    known = isinstance(meant, Named)
    return meant.dotted_name if known else f"{PACKAGE}.*"


# Imports with a computed name: all that is listed beside them may be meant.


@functools.cache
def computes_imports(source):
    """Say whether some code may import what no statement names."""
    text = text_of(tree_of(source))
    return "'import_module'" in text or "'__import__'" in text


def listed(module, argument, modules):
    """Return the modules that a module may import by names it computes.

    Among the checks of exercises only those of the exercise asked for.
    """
    if not computes_imports(module.source):
        return set()
    words = {text.rstrip(".") for text in texts(module.source)}
    packages = {module.package} | words & set(modules)
    names = {f"{package}.{word}" for package in packages for word in words}
    found = {
        name: exercises(modules[name].source) for name in names & set(modules)
    }
    if argument != IMPORTED and argument not in set().union(*found.values()):
        return set(found)
    return {name for name, of in found.items() if not of or argument in of}


@functools.cache
def exercises(source):
    """Return the numbers of the exercises that a module checks, if any."""
    for node in tree_of(source).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Dict)
            and ast.unparse(node.targets[0]) == "EXERCISES"
            and all(isinstance(key, ast.Constant) for key in node.value.keys)
        ):
            return {key.value for key in node.value.keys}
    return set()


# What counts of a module.


@functools.cache
def text_of_module(module):
    """Return the text of its tree; of a lazy package without the tables.

    What these say counts where it is used: as the modules that are reached.
    """
    tree = tree_of(module.source)
    if is_lazy(module):
        names = {"__all__", "__version__"}
        for node in tree.body:
            if getattr(node, "name", "") == "__getattr__":
                names |= {getattr(of, "id", "") for of in ast.walk(node)}
        tree = ast.Module([of for of in tree.body if not is_table(of, names)])
    return text_of(tree)


def is_table(node, names):
    """Say whether a statement only gives one of some names its content."""
    kinds = ast.Constant | ast.Dict | ast.List | ast.Tuple
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, kinds)
        and names.issuperset(map(ast.unparse, node.targets))
    )


@functools.cache
def tree_of(source):
    """Return the syntax tree of some code, without what changes no number."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                parts = [of for part in value for of in bare(part, node)]
                setattr(node, field, parts)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not any(map(reads_hints, node.decorator_list)):
                node.returns = None
                for argument in ast.walk(node.args):
                    if isinstance(argument, ast.arg):
                        argument.annotation = None
    return tree


def bare(part, parent):
    """Yield what counts of a part of a tree: the part, less, or nothing."""
    word = isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
    hint = isinstance(part, ast.ImportFrom) and part.module in HINTS
    # Python 3.12 ends f"{x:{width}}" with an empty text, others do not.
    empty = isinstance(parent, ast.JoinedStr) and part.value == ""
    in_class = isinstance(parent, ast.ClassDef)  # a field of a dataclass
    if word or hint or empty or isinstance(part, ast.Pass):
        return
    if isinstance(part, ast.If) and ast.unparse(part.test) in FOR_HINTS:
        for other in part.orelse:
            yield from bare(other, parent)
    elif isinstance(part, ast.AnnAssign) and not in_class:
        if part.value:
            yield ast.Assign([part.target], part.value)
    else:
        yield part


def reads_hints(decorator):
    """Say whether it is functools.singledispatch's, which reads types."""
    return ast.unparse(decorator).endswith(".register")


def text_of(node):
    """Return a tree as text, the same under each Python: no empty fields."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={text_of(value)}"
            for name, value in ast.iter_fields(node)
            if name != "kind" and value is not None and value != []
        ]
        return f"{type(node).__name__}({', '.join(fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(text_of, node))}]"
    return ascii(node)
