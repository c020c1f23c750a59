"""Two layers of the published models' width, in MXFP4, against transformers in float32."""

import random

import numpy as np

import oracles

OPTIONS = ["--preset", "20b", "--layers", 2, "--shards", 2, "--seed", 2880]
TOKENS = 32
LOGITS_LIMIT = 1.9e-5  # absolute, for logits up to 10; in proportion beyond
HIDDEN_LIMIT = 1.5e-4  # relative to the root mean square


def test_real_width(tmp_path, program, figures):
    model = program.make(tmp_path / "model", "hf-mxfp4", *OPTIONS)
    ids = [random.Random(1).randrange(201088) for _ in range(TOKENS)]
    ours = program.dump(model, ids, tmp_path / "dump.safetensors")
    other = program.dump(model, ids, tmp_path / "dump.safetensors", "--chunk", 7, "-t", 1)
    for name in ours:
        assert np.array_equal(ours[name].view(np.uint32), other[name].view(np.uint32)), name
    del other

    truth = oracles.Transformers(model, stream=True).run(ids)
    for path in model.iterdir():  # 3 GB
        path.unlink()
    assert ours.keys() == truth.keys()
    for name, wanted in truth.items():
        worst = float(np.abs(ours[name] - wanted).max())
        if name == "logits":
            limit = LOGITS_LIMIT * max(1.0, float(np.abs(wanted).max()) / 10)
        else:
            limit = HIDDEN_LIMIT * float(np.sqrt(np.square(wanted, dtype=np.float64).mean()))
        figures.note(f"largest difference of {name} in units of its limit", worst / limit)
        figures.note(f"NMSE of {name}", oracles.nmse(ours[name], wanted))
        assert worst <= limit, f"{name} differs by {worst:.2e}, more than {limit:.2e}"
