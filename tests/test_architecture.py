"""What may import what, as a test: the rules read the source, they do not run it."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("app", "raftgroups", "engine")  # each may import those to its right

# Deciding, apart from doing: no file, socket, clock, chance or thread in these.
PURE = {
    *("raftgroups/" + name for name in ("ids.py", "ring.py", "topology.py", "command.py")),
    *("raftgroups/" + name for name in ("idempotency.py", "replication.py", "votes.py")),
    *("raftgroups/" + name for name in ("readindex.py", "membership.py", "lease.py", "reign.py")),
    *("raftgroups/" + name for name in ("placements.py", "wallclocks.py", "leaderclock.py", "grouptime.py")),
    *("raftgroups/" + name for name in ("placements.py", "pulse.py", "vigil.py", "alarms.py", "leaderships.py")),
    *("engine/" + name for name in ("record.py", "coding.py", "bloom.py", "block.py")),
    *("engine/" + name for name in ("memtable.py", "merge.py", "version.py")),
    *("engine/" + name for name in ("compaction.py", "cache.py", "openblock.py", "rowcache.py", "sortedkeys.py")),
    *("engine/" + name for name in ("footer.py", "section.py", "sections.py", "keyspan.py", "ages.py", "show.py")),
}
DOING = {
    *("asyncio", "concurrent", "datetime", "io", "mmap", "multiprocessing", "os", "pathlib"),
    *("secrets", "select", "selectors", "shutil", "signal", "socket", "subprocess", "tempfile"),
    *("threading", "time", "uvloop"),
}
# Shared by readers of any thread, so they hold a lock and are otherwise pure.
LOCKING = {"engine/cache.py", "engine/rowcache.py", "engine/sortedkeys.py"}
FILE_MODULES = {"os", "pathlib", "shutil", "tempfile", "mmap", "fcntl"}

# Who else may touch the file system, or the process environment, and why.
FILE_ACCESS = {
    "engine/files.py": "the FileSystem that everyone else goes through",
    "engine/process.py": "starts the worker process, and forgets it in a fork",
    "engine/forks.py": "hears of forks",
    "engine/descriptors.py": "opens and closes every file",
    "engine/worker.py": "a process of its own: it sets its priority, and ends without ceremony",
    "app/forks.py": "lets a child process go of its parent's sockets",
    "app/cli/keys.py": "takes keys and values as the shell passed them",
    "app/cli/files.py": "reads and writes the files that the user named",
    "app/cli/loading.py": "takes a delimiter as the shell passed it",
    "app/cli/nodes.py": "hands the environment to Settings",
    "app/cli/offline.py": "names the files that the user named",
    "app/cli/output.py": "takes stdout away when nobody reads it",
    "app/cli/scanning.py": "takes keys as the shell passed them",
    "app/cli/shell.py": "keeps what was typed for the next time",
    "app/cli/simulating.py": "counts processors",
    "app/cli/talking.py": "takes keys as the shell passed them",
    "app/offline.py": "looks which kind of data directory the user named",
    "app/server.py": "knows its process id and says it in node.pid",
    "app/settings.py": "reads the environment and the secret file",
    "app/supervisor.py": "starts processes and makes their directories",
}
ENVIRONMENT = {
    "app/settings.py": "its only reader",
    "app/cli/nodes.py": "hands it to Settings",
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, `a.b` for both `import a.b` and `from a import b`."""

    line: int
    module: str
    name: str
    only_for_types: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


class Module:
    """One source file, by its path from the root, parsed and walked once."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.layer = path.partition("/")[0]
        self.nodes = list(ast.walk(ast.parse(source)))

    @cached_property
    def imports(self) -> list[Import]:
        for_types = {
            id(child)
            for node in self.nodes
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for child in ast.walk(node)
        }
        found = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [Import(node.lineno, alias.name, "", id(node) in for_types) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                found += [Import(node.lineno, module, alias.name, id(node) in for_types) for alias in node.names]
        return found

    @cached_property
    def calls(self) -> list[tuple[int, str, ast.Call]]:
        """Line, dotted name and node of every call; a call of anything but a name has the name ''."""
        return [(node.lineno, _dotted(node.func), node) for node in self.nodes if isinstance(node, ast.Call)]


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


Rule = Callable[[Module], Iterator[str]]


def imports_point_one_way(module: Module) -> Iterator[str]:
    """app imports raftgroups imports engine, never up, and tests are imported by nobody."""
    if module.layer not in LAYERS:
        return
    above = {*LAYERS[: LAYERS.index(module.layer)], "tests"}
    for item in module.imports:
        if item.top in above:
            yield f"{module.path}:{item.line} imports {item.module}, a layer above it"


def packages_are_entered_by_the_front_door(module: Module) -> Iterator[str]:
    """Another package's names come from its __init__, so that its modules may move."""
    if module.layer not in LAYERS:
        return
    for item in module.imports:
        if item.top in LAYERS and item.top != module.layer and item.module != item.top:
            yield f"{module.path}:{item.line} reaches into {item.module}"


def one_file_imports_pysyncobj(module: Module) -> Iterator[str]:
    allowed = module.path == "raftgroups/consensus.py" or module.path.startswith("tests/raftgroups/")
    for item in module.imports:
        if item.top == "pysyncobj" and not allowed:
            yield f"{module.path}:{item.line} imports pysyncobj"


def only_app_knows_the_web(module: Module) -> Iterator[str]:
    if module.layer in {"app", "tests"}:
        return
    for item in module.imports:
        if item.top in {"fastapi", "starlette", "uvicorn", "httptools", "httpx", "click"}:
            yield f"{module.path}:{item.line} imports {item.module}"


def no_code_comes_from_data(module: Module) -> Iterator[str]:
    """Neither the network nor a file is ever trusted with code: no pickle, eval or marshal."""
    if module.layer == "tests":
        return
    for item in module.imports:
        if item.top in {"pickle", "cPickle", "dill", "marshal", "shelve", "yaml"}:
            yield f"{module.path}:{item.line} imports {item.module}"
    for line, name, _ in module.calls:
        if name in {"eval", "exec", "compile", "__import__"}:
            yield f"{module.path}:{line} calls {name}()"


def files_are_reached_through_one_door(module: Module) -> Iterator[str]:
    """Crash tests replace the FileSystem; what goes around it would not be tested."""
    if module.layer == "tests" or module.path in FILE_ACCESS:
        return
    for item in module.imports:
        if item.top in FILE_MODULES and not item.only_for_types:
            yield f"{module.path}:{item.line} imports {item.module}"
    for line, name, _ in module.calls:
        if name in {"open", "io.open", "codecs.open"}:
            yield f"{module.path}:{line} calls {name}()"


def settings_alone_read_the_environment(module: Module) -> Iterator[str]:
    if module.layer == "tests" or module.path in ENVIRONMENT:
        return
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}:
            yield f"{module.path}:{node.lineno} reads the environment"
    for item in module.imports:
        if item.module == "os" and item.name in {"environ", "environb", "getenv"}:
            yield f"{module.path}:{item.line} reads the environment"


def time_and_chance_are_arguments(module: Module) -> Iterator[str]:
    """A pure module repeats exactly; of `random` it may know the type Random alone."""
    if module.path not in PURE:
        return
    for item in module.imports:
        if item.only_for_types:
            continue
        if module.path in LOCKING and item.module == "threading" and item.name in {"", "Lock"}:
            continue
        if item.top in DOING or (item.top == "random" and item.name != "Random"):
            yield f"{module.path}:{item.line} imports {item.module}"
    for line, name, call in module.calls:
        if name in {"Random", "random.Random"} and not call.args:
            yield f"{module.path}:{line} makes a Random without a seed"
        if name in {"open", "print", "input"}:
            yield f"{module.path}:{line} calls {name}()"


def asserts_stay_on(module: Module) -> Iterator[str]:
    """A node is never started with -O: its asserts guard the data."""
    if module.path == "tests/test_architecture.py":
        return
    for node in module.nodes:
        if isinstance(node, ast.Constant) and node.value in {"-O", "-OO", "PYTHONOPTIMIZE"}:
            yield f"{module.path}:{node.lineno} switches asserts off"


RULES: list[Rule] = [
    imports_point_one_way,
    packages_are_entered_by_the_front_door,
    one_file_imports_pysyncobj,
    only_app_knows_the_web,
    no_code_comes_from_data,
    files_are_reached_through_one_door,
    settings_alone_read_the_environment,
    time_and_chance_are_arguments,
    asserts_stay_on,
]


@cache
def source_files() -> list[Module]:
    return [
        Module(str(path.relative_to(ROOT)), path.read_text())
        for layer in (*LAYERS, "tests")
        for path in sorted((ROOT / layer).rglob("*.py"))
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps(rule: Rule) -> None:
    assert [found for module in source_files() for found in rule(module)] == []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (imports_point_one_way, "engine/x.py", "import raftgroups"),
        (imports_point_one_way, "raftgroups/x.py", "from app.kv import put"),
        (imports_point_one_way, "engine/x.py", "from tests.models import Model"),
        (packages_are_entered_by_the_front_door, "app/x.py", "from raftgroups.host import Host"),
        (packages_are_entered_by_the_front_door, "app/x.py", "import engine.files"),
        (one_file_imports_pysyncobj, "raftgroups/host.py", "import pysyncobj.node"),
        (one_file_imports_pysyncobj, "tests/app/test_x.py", "from pysyncobj import SyncObj"),
        (only_app_knows_the_web, "raftgroups/host.py", "from fastapi import FastAPI"),
        (no_code_comes_from_data, "raftgroups/link.py", "import pickle"),
        (no_code_comes_from_data, "engine/x.py", "def f(x):\n    return eval(x)"),
        (files_are_reached_through_one_door, "engine/sstable.py", "import os"),
        (files_are_reached_through_one_door, "raftgroups/x.py", "open('x')"),
        (settings_alone_read_the_environment, "app/kv.py", "import os\nos.environ['X']"),
        (settings_alone_read_the_environment, "app/kv.py", "from os import getenv"),
        (time_and_chance_are_arguments, "raftgroups/votes.py", "import time"),
        (time_and_chance_are_arguments, "raftgroups/votes.py", "import random"),
        (time_and_chance_are_arguments, "raftgroups/ring.py", "def f():\n    return Random()"),
        (asserts_stay_on, "app/supervisor.py", "arguments = ['python', '-O']"),
    ],
)
def test_a_rule_finds(rule: Rule, path: str, source: str) -> None:
    """Each rule can fail: a rule that never does would prove nothing."""
    assert list(rule(Module(path, source)))


def test_a_pure_module_may_name_random_as_a_type() -> None:
    source = "from random import Random\ndef delay(rng: Random) -> float: return rng.random()"

    assert not list(time_and_chance_are_arguments(Module("raftgroups/votes.py", source)))


def test_every_exception_is_still_needed() -> None:
    """A file that no longer exists, or no longer needs its exception, loses it."""
    modules = {module.path: module for module in source_files()}

    assert [path for path in (*FILE_ACCESS, *ENVIRONMENT) if path not in modules] == []
    for path in FILE_ACCESS:
        calls = {name for _, name, _ in modules[path].calls}
        assert FILE_MODULES & {i.top for i in modules[path].imports} or "open" in calls, path


@pytest.mark.parametrize("layer", LAYERS)
def test_every_package_is_typed_and_names_its_front_door(layer: str) -> None:
    front = ast.parse((ROOT / layer / "__init__.py").read_text())
    assigned = [node.targets[0] for node in front.body if isinstance(node, ast.Assign)]
    assigned += [node.target for node in front.body if isinstance(node, ast.AnnAssign)]

    assert (ROOT / layer / "py.typed").exists()
    assert ast.get_docstring(front)
    assert "__all__" in map(ast.unparse, assigned)


@pytest.mark.parametrize("path", ["Makefile", ".ci/run"])
def test_no_command_switches_asserts_off(path: str) -> None:
    words = (ROOT / path).read_text().split()

    assert not {"-O", "-OO"} & set(words)
    assert not [word for word in words if word.startswith("PYTHONOPTIMIZE")]
