"""What every live test shares: the program under test and a place for figures."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "reference"))


class Program:
    """The built gptoss and make-checkpoint, as a person calls them."""

    def __init__(self):
        self.gptoss = os.environ.get("GPTOSS_PROGRAM", "gptoss")
        self.make_checkpoint = os.environ.get("GPTOSS_MAKE_CHECKPOINT", "make-checkpoint")

    def run(self, *arguments: object) -> str:
        command = [str(a) for a in arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        return done.stdout

    def make(self, directory, layout: str, *options: object):
        self.run(self.make_checkpoint, *options, "--layout", layout, "-o", directory)
        return directory

    def dump(self, model, ids: list[int], file, *options: object) -> dict:
        """The tensors of `gptoss dump`, without the ids; the file is removed again."""
        text = ",".join(map(str, ids))
        self.run(self.gptoss, "dump", "-m", model, "--ids", text, "-o", file, *options)
        tensors = load_file(file)
        assert tensors.pop("ids").tolist() == ids
        pathlib.Path(file).unlink()
        return tensors

    def greedy(self, model, ids: list[int], count: int) -> list[int]:
        options = ["--temp", 0, "--ignore-eos", "--json", "-n", count]
        text = ",".join(map(str, ids))
        made = json.loads(self.run(self.gptoss, "generate", "-m", model, "--ids", text, "--precision", "f32", *options))
        return made["ids"]


@pytest.fixture(scope="session")
def program() -> Program:
    return Program()


class Figures:
    """The worst of what was measured, by name; printed when all tests are done."""

    def __init__(self):
        self.values = {}

    def note(self, name: str, value: float) -> None:
        count, worst = self.values.get(name, (0, value))
        self.values[name] = (count + 1, max(worst, value))


_figures = Figures()


@pytest.fixture(scope="session")
def figures() -> Figures:
    return _figures


_lines = []


@pytest.fixture(scope="session")
def tell():
    """Takes a line to print when all tests are done."""
    return _lines.append


def pytest_terminal_summary(terminalreporter):
    for line in _lines:
        terminalreporter.write_line(line)
    for name, (count, worst) in sorted(_figures.values.items()):
        terminalreporter.write_line(f"{name}: worst of {count}: {worst:.3g}")
