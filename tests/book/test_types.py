"""Type hints: on everything public, and seen by editors although the package is lazy.

The sources are parsed rather than imported, so that nothing here waits for TensorFlow.
"""

import ast
import os
import sys

import pytest
from helpers import ROOT, refuse, run

import vae_notes

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def parse(module):
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def exported(tree):
    """The names in ``__all__``, a list of strings."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)


def imported(nodes):
    """Module and name of what is imported from a module, by the name it has here."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def definitions(tree, name):
    """What defines a name: one node, or several of a function with overloads."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "name", None) == name:
            yield node
        elif any(isinstance(target, ast.Name) and target.id == name for target in targets):
            yield node  # a name for a type
        elif name in imported([node]):
            module, of = imported([node])[name]
            yield from definitions(parse(module), of)


def function_problems(node, bound=False):
    """The parameters without a hint, but for ``self`` or ``cls``, and a missing return."""
    parameters = [*node.args.posonlyargs, *node.args.args][bound:]
    parameters += [*node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    missing = [of.arg for of in parameters if of is not None and of.annotation is None]
    if missing:
        yield f"{node.name} has no type for {', '.join(missing)}"
    if node.returns is None:
        yield f"{node.name} does not say what it returns"


def problems(node):
    """What a public function or class lacks."""
    if isinstance(node, FUNCTIONS):
        yield from function_problems(node)
    for method in node.body if isinstance(node, ast.ClassDef) else ():
        special = getattr(method, "name", "").endswith("__")  # such as __init__
        if isinstance(method, FUNCTIONS) and (special or method.name[0] != "_"):
            decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
            yield from function_problems(method, bound="staticmethod" not in decorators)


NAMES = [
    pytest.param(module, name, id=f"{module}.{name}")
    for module in vae_notes._MODULES
    for name in exported(parse(f"vae_notes.{module}"))
]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_public_names_have_hints(module, name):
    found = list(definitions(parse(f"vae_notes.{module}"), name))
    assert found, "__all__ names it, but nothing defines it"
    refuse(problem for node in found for problem in problems(node))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(a: int, *b: int, c: int = 0, **d: int) -> None: ...", []),
        ("def f(a, /, b, *c, d=0, **e) -> None: ...", ["f has no type for a, b, d, c, e"]),
        ("def f(): ...", ["f does not say what it returns"]),
        ("class f:\n def _g(self, x): ...\n def _repr_html_(self): ...", []),
        ("class f:\n def __init__(self, x) -> None: ...", ["__init__ has no type for x"]),
        ("class f:\n @property\n def g(self): ...", ["g does not say what it returns"]),
        ("class f:\n @staticmethod\n def g(x) -> int: ...", ["g has no type for x"]),
        ("@overload\ndef f(a: int) -> int: ...\ndef f(a) -> int: ...", ["f has no type for a"]),
        ("f = Callable[[float], float]", []),
    ],
)
def test_missing_hints_are_found(code, expected):
    found = list(definitions(ast.parse(code), "f"))
    assert found and [problem for node in found for problem in problems(node)] == expected


def test_a_name_is_followed_to_where_it_is_defined():
    (found,) = definitions(parse("vae_notes.figures"), "curves")
    assert isinstance(found, ast.FunctionDef)
    assert not list(definitions(parse("vae_notes.figures"), "nothing"))


def test_editors_are_told_what_is_imported_when_used():
    tree = parse("vae_notes")
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    modules = {name: ("vae_notes", name) for name in vae_notes._MODULES}
    homes = {name: (f"vae_notes.{home}", name) for name, home in vae_notes._HOME.items()}
    assert imported(block.body) == modules | homes
    assert sorted(exported(tree)) == sorted(modules | homes)


def test_a_type_checker_sees_it(tmp_path):
    """As in a program that uses the package: what is lazy has its type, and a wrong name none."""
    program = tmp_path / "program.py"
    program.write_text(
        "import typing, numpy, numpy.typing, vae_notes\n"
        "typing.assert_type(vae_notes.data.digits(), numpy.typing.NDArray[numpy.float32])\n"
        "reveal_type(vae_notes.VAE)\n"
        "vae_notes.Vae\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"]
    options = ["--follow-imports", "silent", "--no-pretty", "--cache-dir", tmp_path / "cache"]
    found = run(*command, *options, program, env=os.environ | {"MYPYPATH": str(ROOT)})
    assert len(found.stdout.splitlines()) == 3, found
    vae, wrong, _ = found.stdout.splitlines()
    assert "vae_notes.model.VAE" in vae
    assert 'Module has no attribute "Vae"' in wrong
