"""Runs one test file, or says what is missing and exits with 77, which ctest reports as skipped.

python run.py FILE [pytest's arguments]
"""

import importlib.util
import pathlib
import re
import sys
import tempfile

SKIPPED_WITHOUT = {"gguf"}  # by the one file that needs it


def missing() -> list[str]:
    lines = pathlib.Path(__file__).with_name("requirements.txt").read_text().splitlines()
    names = [re.split(r"[=<>]", line)[0].strip() for line in lines if line[:1] not in ("", "#")]
    names.append("gpt_oss")
    names = [n for n in names if n not in SKIPPED_WITHOUT]
    return [n for n in names if importlib.util.find_spec(n.replace("-", "_")) is None]


absent = missing()
if absent:
    print(f"SKIPPED: {sys.executable} lacks {', '.join(absent)}; tools/test --live installs them")
    sys.exit(77)

import pytest  # noqa: E402

with tempfile.TemporaryDirectory(prefix="gptoss-live-") as scratch:
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--basetemp", scratch + "/tests"]
    status = pytest.main([*options, *sys.argv[1:]])
sys.exit(77 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status)  # the file skipped itself
