"""The hub's chat template, rendered by Jinja2, against `gptoss render`.

GPTOSS_CHAT_TEMPLATE names the chat_template.jinja of openai/gpt-oss-20b; the test is skipped without
it. The seed is fixed; GPTOSS_LIVE_SEED draws others, GPTOSS_LIVE_CHATS sets how many.
"""

import json
import os
import pathlib
import random
import subprocess

import hub_chats
import jinja2.sandbox
import o200k
import openai_harmony
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("GPTOSS_LIVE_SEED", 1))
CHATS = int(os.environ.get("GPTOSS_LIVE_CHATS", 500))
TEMPLATE = os.environ.get("GPTOSS_CHAT_TEMPLATE")

pytestmark = pytest.mark.skipif(not TEMPLATE, reason="GPTOSS_CHAT_TEMPLATE names no template")


def raise_exception(message: str):
    raise jinja2.TemplateError(message)


@pytest.fixture(scope="module")
def template():
    """Set up as transformers does it."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])  # fmt: skip
    environment.filters["tojson"] = lambda x: json.dumps(x, ensure_ascii=False)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: hub_chats.DATE
    return environment.from_string(pathlib.Path(TEMPLATE).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def spaces() -> dict:
    return {name: getattr(openai_harmony.ToolNamespaceConfig, name)().model_dump()
            for name in ("browser", "python")}  # fmt: skip


@pytest.fixture(scope="module")
def encoding():
    return o200k.load_encoding()


@pytest.fixture
def render(program, tmp_path):
    ranks = tmp_path / "o200k_base.tiktoken"
    ranks.write_bytes(o200k.read_ranks_file())

    def run(conversations: list[dict], ending: str) -> list:
        done = subprocess.run(
            [program.gptoss, "render", "--tokenizer", ranks, "--null", "-f", "-",
             "--ending", ending],
            input="".join(json.dumps(c) + "\0" for c in conversations).encode(), capture_output=True)  # fmt: skip
        assert not done.stderr, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def theirs(template, encoding, keywords: dict):
    """The ids of the template's text, control tokens read in all of it, as transformers does."""
    try:
        text = template.render(**keywords)
    except (jinja2.TemplateError, TypeError) as error:
        return str(error)
    return encoding.encode(text, allowed_special="all")


def differences(template, encoding, render, spaces, features: set[str], count: int) -> list:
    """The chats in which the two differ."""
    rng = random.Random(f"{SEED} chats {sorted(features)}")
    made = [hub_chats.chat(rng, features, spaces) for _ in range(count)]
    found = render([conversation for _, conversation, _ in made], made[0][2])
    return [(keywords, ours, expected) for (keywords, _, _), ours in zip(made, found)
            if ours != (expected := theirs(template, encoding, keywords))]  # fmt: skip


def test_agree_otherwise(template, encoding, render, spaces, tell):
    """Chats without any of the features are rendered the same."""
    wrong = differences(template, encoding, render, spaces, set(), CHATS)
    for keywords, ours, expected in wrong[:2]:
        print(json.dumps(keywords, ensure_ascii=False))
        print(ours if isinstance(ours, dict) else encoding.decode(ours))
        print(expected if isinstance(expected, str) else encoding.decode(expected))
    assert not wrong, f"{len(wrong)} of {CHATS}"
    tell(f"chat template: {CHATS} chats without a documented difference, 0 differ")


@pytest.mark.parametrize("feature", hub_chats.FEATURES)
def test_documented(template, encoding, render, spaces, feature, tell):
    """Each feature alone makes a difference, and docs/HARMONY.md explains it."""
    rows = (ROOT / "docs" / "HARMONY.md").read_text(encoding="utf-8").splitlines()
    assert sum(row.startswith(f"| `{feature}` |") for row in rows) == 1
    count = max(CHATS // 10, 20)
    wrong = differences(template, encoding, render, spaces, {feature}, count)
    assert wrong
    tell(f"chat template: {feature}: {len(wrong)} of {count} chats differ")
