"""A gpt-oss checkpoint in the hub's layout with MXFP4 experts: its tensors as they are stored."""

import hashlib
import json
import pathlib

import numpy as np

STORED = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "U8": np.uint8}
SAMPLE = 1 << 16  # bytes at a place of a file that go into its identity
SAMPLES = 64


class Fault(Exception):
    """What is wrong, in a sentence for the person who called."""


def widen(stored: np.ndarray) -> np.ndarray:
    """Float32 from BF16 (which numpy lacks, so that it is held as uint16), F16 or F32; exact."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def read_header(file: pathlib.Path) -> tuple[dict, int]:
    """The entries of a safetensors file and the offset that theirs count from."""
    try:
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            entries = json.loads(opened.read(length))
    except (OSError, ValueError) as error:
        raise Fault(f"{file} cannot be read as safetensors: {error}") from error
    entries.pop("__metadata__", None)
    return entries, 8 + length


def tensor(file: pathlib.Path, entry: dict, base: int) -> np.ndarray:
    """A read-only mapping of one tensor; BF16 comes as uint16."""
    if entry["dtype"] not in STORED:
        raise Fault(f"{file}: expected tensors of {', '.join(STORED)}, found {entry['dtype']}")
    begin = base + entry["data_offsets"][0]
    shape = tuple(entry["shape"])
    return np.memmap(file, STORED[entry["dtype"]], "r", begin, shape)


class Checkpoint:
    """Tensors by name, mapped when asked for, and config.json."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        self.config_text = self._read_config()
        self.config = json.loads(self.config_text)
        self.files = self._weight_files()
        self._entries = {}
        for file in self.files:
            entries, base = read_header(file)
            self._entries |= {name: (file, entry, base) for name, entry in entries.items()}

    def _read_config(self) -> str:
        path = self.directory / "config.json"
        try:
            text = path.read_text()
            json.loads(text)
        except (OSError, ValueError) as error:
            raise Fault(f"expected a checkpoint with config.json: {error}") from error
        return text

    def _weight_files(self) -> list[pathlib.Path]:
        index = self.directory / "model.safetensors.index.json"
        if index.exists():
            names = set(json.loads(index.read_text())["weight_map"].values())
        else:
            names = {path.name for path in self.directory.glob("*.safetensors")}
        if not names:
            raise Fault(f"{self.directory} has no *.safetensors")
        return [self.directory / name for name in sorted(names)]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            raise Fault(f"{self.directory} has no tensor {name}: expected the hub's layout with"
                        " MXFP4 experts (make-checkpoint --layout hf-mxfp4)")
        return tensor(*self._entries[name])

    @property
    def rope(self) -> dict:
        """The rotary parameters in either spelling, the base among them."""
        rope = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        return {"rope_theta": self.config.get("rope_theta", 150000.0)} | rope

    def identity(self) -> str:
        """Changes with the configuration, the headers or the sampled parts of the weights."""
        digest = hashlib.sha256(self.config_text.encode())
        for file in self.files:
            size = file.stat().st_size
            digest.update(f"{file.name} {size}".encode())
            with open(file, "rb") as opened:
                for i in range(SAMPLES):
                    opened.seek(max(size - SAMPLE, 0) * i // (SAMPLES - 1))
                    digest.update(opened.read(SAMPLE))
        return digest.hexdigest()

    def warm(self) -> None:
        """Reads the weights once, so that they lie in the page cache where it has room."""
        warm(self.files)


def warm(files) -> None:
    for file in files:
        with open(file, "rb", buffering=0) as opened:
            while opened.read(1 << 24):
                pass


def truncating_twin(checkpoint: Checkpoint, directory: pathlib.Path) -> pathlib.Path:
    """The same weights, by links, with YaRN's bounds rounded to whole dimensions, as ggml rounds
    them whatever the file says. Both engines then rotate by the same angles."""
    config = json.loads(checkpoint.config_text)
    for key in ("rope_parameters", "rope_scaling"):
        if config.get(key):
            config[key]["truncate"] = True
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for file in checkpoint.directory.iterdir():
        # An index may not lead out of its directory; without it every file counts.
        if file.name != "config.json" and not file.name.endswith(".index.json"):
            (directory / file.name).symlink_to(file)
    return directory
