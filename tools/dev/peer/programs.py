"""The programs that are compared, as a person calls them."""

import dataclasses
import json
import pathlib
import shlex
import shutil
import subprocess

from checkpoint import Fault


def find(name: str) -> pathlib.Path:
    found = shutil.which(name)
    if not found:
        raise Fault(f"there is no program {name}")
    return pathlib.Path(found).resolve()


@dataclasses.dataclass
class Program:
    """One executable. `before` goes in front of each call: taskset, numactl, a lock. `within` is a
    directory that it may litter with logs."""

    path: pathlib.Path
    before: list[str] = dataclasses.field(default_factory=list)
    within: pathlib.Path | None = None

    def run(self, *arguments: object) -> str:
        """Its standard output; a failure is told with the end of its standard error."""
        command = [*self.before, str(self.path), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", cwd=self.within
        )
        if done.returncode != 0:
            tail = "\n".join(done.stderr.strip().splitlines()[-12:])
            raise Fault(f"{shlex.join(command)}\nended with {done.returncode}:\n{tail}")
        return done.stdout

    def knows(self, flag: str, *command: str) -> bool:
        """Whether its help names the flag. Some programs end with 1 after their help."""
        call = [str(self.path), *command, "--help"]
        done = subprocess.run(call, capture_output=True, text=True, errors="replace")
        return flag in done.stdout + done.stderr

    def run_json(self, *arguments: object):
        """What it prints, from the first line that begins a list on."""
        text = self.run(*arguments)
        lines = text.splitlines(keepends=True)
        start = next((i for i, line in enumerate(lines) if line.startswith(("[", "{"))), len(lines))
        try:
            return json.loads("".join(lines[start:]))
        except ValueError as error:
            raise Fault(f"{self.path} printed no JSON: {error}\n{text[-500:]}") from error


REPACK = "--run-time-repack"  # of ik_llama.cpp: llama-bench takes it with 1, other programs alone


def precision_flags(gptoss: Program, command: str, precision: str) -> list[str]:
    """A gptoss that knows one precision only has no flag for it."""
    if gptoss.knows("--precision", command):
        return ["--precision", precision]
    if precision != "f32":
        raise Fault(f"{gptoss.path} {command} has no --precision; f32 is all it does")
    return []
