"""What holds the modules apart: where flags are known, names, and how long things are."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = {
    path: ast.parse(path.read_text())
    for folder in ("vie_tf", "data_prep")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
# What is run as a command, and so reads flags.
COMMANDS = [ROOT / "vie_tf" / "commands", ROOT / "vie_tf" / "main.py", ROOT / "data_prep"]


# What starts commands, which nothing else is to know: the demo, and a data service's processes.
STARTS = [ROOT / "vie_tf" / "demo.py", ROOT / "vie_tf" / "data" / "service.py"]


def below_the_commands():
    for path, tree in SOURCES.items():
        if not any(path == place or place in path.parents for place in COMMANDS):
            yield path, tree


def functions(tree):
    return [x for x in ast.walk(tree) if isinstance(x, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_nothing_below_the_commands_knows_flags():
    for path, tree in below_the_commands():
        for node in ast.walk(tree):
            modules = []
            if isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module]
                modules += [f"{node.module}.{name.name}" for name in node.names]
            assert not any(name.split(".")[0] == "absl" for name in modules), path
            known = [name for name in modules if f"{name}.".startswith("vie_tf.commands.")]
            assert not known or path in STARTS, (path, known)
        for function in functions(tree):
            every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            every += [x for x in (function.args.vararg, function.args.kwarg) if x]
            names = {argument.arg.lower() for argument in every}
            assert "flags" not in names, (path, function.name)


def test_no_two_modules_have_one_name():
    """Of the package; `python -m data_prep.videos` and other commands keep their names."""
    names = Counter(path.name for path in SOURCES if path.parts[-2] != "data_prep")
    assert [name for name, count in names.items() if count > 1] == ["__init__.py"]


def test_functions_and_files_are_short():
    others = [path for x in ("benchmarks", "tests") for path in sorted((ROOT / x).glob("*.py"))]
    for path, tree in {**SOURCES, **{x: ast.parse(x.read_text()) for x in others}}.items():
        assert len(path.read_text().splitlines()) < 400, path
        for function in functions(tree):
            assert function.end_lineno - function.lineno + 1 < 60, (path, function.name)
