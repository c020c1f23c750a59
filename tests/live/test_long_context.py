"""A prompt beyond YaRN's original context and many windows long, with the published rotary
parameters, window and head width: slow frequencies and the cache's ring only show there."""

import random

import numpy as np

import oracles

OPTIONS = ["--layers", 2, "--hidden", 128, "--intermediate", 64, "--vocab", 160, "--heads", 6,
           "--kv-heads", 2, "--head-dim", 64, "--experts", 4, "--window", 128]  # fmt: skip
TOKENS = 4096 + 404
NMSE_LIMIT = 1e-10


def test_long_context(tmp_path, program, figures):
    model = program.make(tmp_path / "model", "hf-mxfp4", *OPTIONS)
    ids = [random.Random(4096).randrange(160) for _ in range(TOKENS)]
    ours = program.dump(model, ids, tmp_path / "dump.safetensors")
    other = program.dump(model, ids, tmp_path / "dump.safetensors", "--chunk", 97)
    truth = oracles.Transformers(model).run(ids)
    assert ours.keys() == truth.keys()
    for name, wanted in truth.items():
        assert np.array_equal(ours[name].view(np.uint32), other[name].view(np.uint32)), name
        figures.note("NMSE, any tensor", oracles.nmse(ours[name], wanted))
        figures.note("NMSE, last 100 rows", oracles.nmse(ours[name][-100:], wanted[-100:]))
        assert oracles.nmse(ours[name][-100:], wanted[-100:]) <= NMSE_LIMIT
        assert oracles.nmse(ours[name], wanted) <= NMSE_LIMIT
