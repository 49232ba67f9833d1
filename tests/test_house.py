"""The plan of the house (docs/architecture.md): rooms, doors, arrows, and what loads when."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mnist_cnn"


def planned() -> dict[str, set[str]]:
    """What each room may import of ours, by the table in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text.partition("## Sketch to digit")[0], re.M)
    return {
        room: set() if others.startswith("nothing") else set(re.findall(r"`(\w+)`", others))
        for room, others in rows
    }


MAY_IMPORT = planned()
TOP = {"__main__"}  # the command line imports any room
COMMANDS = {"app": "web", "train": "training"}  # front doors in the checkout


def room_of(module: str) -> str:
    """`mnist_cnn.web.server.guard` lies in `web`."""
    return module.split(".")[1] if "." in module else ""


def modules() -> dict[str, Path]:
    files = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


MODULES = modules()


def is_package(module: str) -> bool:
    return MODULES[module].name == "__init__.py"


def imports(file: Path) -> Iterator[tuple[str, str, int]]:
    """Module, name and line of each import of ours, at any depth of the code."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("mnist_cnn")]
            yield from ((name, "", node.lineno) for name in names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are written in full"
            if (node.module or "").split(".")[0] == "mnist_cnn":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    is_module = whole in MODULES
                    yield (
                        (whole, "", node.lineno)
                        if is_module
                        else (
                            node.module or "",
                            alias.name,
                            node.lineno,
                        )
                    )


def test_every_room_is_on_the_plan():
    rooms = {room_of(module) for module in MODULES} - {""}
    assert rooms == MAY_IMPORT.keys() | TOP


def test_the_plan_has_no_cycle():
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    assert set(order) == MAY_IMPORT.keys()


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_point_downwards(room):
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {target}"
        for module, file in MODULES.items()
        if room_of(module) == room
        for target, _, line in imports(file)
        if room_of(target) not in MAY_IMPORT[room] | {room, "lazy"}
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_of_a_room_have_no_cycle():
    graph: dict[str, set[str]] = {}
    for module, file in MODULES.items():
        targets = {target for target, _, _ in imports(file) if target in MODULES}
        if not is_package(module):  # a door imports its own room, which does not use the door
            graph[module] = {target for target in targets if not is_package(target)}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError with the cycle


def test_rooms_are_entered_by_their_doors():
    """Outside a room only its `__init__` is imported, and of that what `__all__` names."""
    wrong = []
    outside = [(front, ROOT / f"{front}.py") for front in COMMANDS]
    for module, file in [*MODULES.items(), *outside]:
        home = module if module in MODULES and is_package(module) else module.rpartition(".")[0]
        for target, name, line in imports(file):
            where = f"{file.relative_to(ROOT)}:{line}"
            door = target if is_package(target) else target.rpartition(".")[0]
            if door == "mnist_cnn":
                if room_of(target) == "" and home.startswith("mnist_cnn"):
                    wrong.append(f"{where} imports the package's own door")
                continue  # rooms of one file are their own doors
            if (home + ".").startswith(door + "."):
                if target == door and home == door:
                    wrong.append(f"{where} comes in by its own room's door")
                continue
            if not is_package(target) and name:
                wrong.append(f"{where} goes around the door of {door} to {target}")
            elif (name or target.rpartition(".")[2]) not in exported(door) and target != door:
                wrong.append(f"{where}: {door} does not offer {target}")
            elif name and name not in exported(door):
                wrong.append(f"{where}: {door} does not offer {name}")
    assert not wrong, "\n".join(wrong)


def exported(door: str) -> set[str]:
    tree = ast.parse(MODULES[door].read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_no_module_has_the_name_of_what_its_door_offers():
    clashes = [
        f"{door}.{name}"
        for door in MODULES
        if is_package(door)
        for name in exported(door)
        if f"{door}.{name}" in MODULES and not is_offered_module(door, name)
    ]
    assert not clashes


def is_offered_module(door: str, name: str) -> bool:
    return any(target == f"{door}.{name}" for target, _, _ in imports(MODULES[door]))


def test_numbers_have_owners():
    """Thresholds are fields of a rule set; few names stand alone (150 at most in the house)."""
    names = [
        f"{module}.{target.id}"
        for module, file in MODULES.items()
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        for target in (
            node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
        )
        if isinstance(target, ast.Name) and target.id.isupper()
    ]
    assert len(names) <= 150, f"{len(names)} module constants: " + ", ".join(names)


def loaded_by(*command: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *sys.modules))\n"
        f"sys.argv = {list(command)!r}\n"
        "import runpy\n"
        f"{_run(command)}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("LOADED")]
    return set(line.split()[1:])


def _run(command: tuple[str, ...]) -> str:
    if command[0].endswith(".py"):
        return f"runpy.run_path({command[0]!r}, run_name='__main__')"
    return f"runpy.run_module({command[0]!r}, run_name='__main__')"


NEEDED = {"torch", "cv2", "numpy"}  # for a prediction
HEAVY = NEEDED | {"gradio", "albumentations", "matplotlib", "torchvision", "accelerate"}


@pytest.mark.parametrize("command", ["train.py", "app.py", "mnist_cnn"])
def test_help_loads_nothing_heavy(command):
    loaded = loaded_by(command, "--help")
    assert "tyro" in loaded
    assert not loaded & HEAVY


OF_A_PREDICTION = MAY_IMPORT.keys() - {"data", "training", "run", "publish", "web"}


def test_one_prediction_loads_what_it_needs():
    code = (
        "import sys, mnist_cnn\n"
        "mnist_cnn.load_model().predict('tests/files/frames.png')\n"
        "print(*(name for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    rooms = {room_of(name) for name in loaded if name.split(".")[0] == "mnist_cnn"} - {""}
    assert rooms == OF_A_PREDICTION
    assert not loaded & (HEAVY - NEEDED)
    assert not loaded & {"jinja2", "tyro", "uvicorn", "fastapi"}
