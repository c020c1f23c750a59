"""A safetensors file of known shapes whose tensors come in any order, some rows at a time.

The header is planned and written first; rows then go to their place with plain file I/O, so that
memory holds no more than what is being written. The file appears under its name when it is
complete, compressed when that ends in .gz.
"""

import contextlib
import gzip
import json
import os
import shutil
import struct

import torch

TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.int32: "I32",
}  # fmt: skip
_CHUNK = 1 << 22  # bytes


class DumpFile:
    def __init__(self, path: str, tensors: dict[str, tuple], metadata: dict[str, str]):
        """`tensors`: name -> (dtype, shape). Wide types lie first, so that all are aligned."""
        self.path = str(path)
        self._rows_left = {}
        self._place = {}  # name -> (offset in the file, dtype, bytes of a row)
        header, end = {"__metadata__": metadata}, 0
        for name, (dtype, shape) in sorted(tensors.items(), key=lambda t: -t[1][0].itemsize):
            row = dtype.itemsize * torch.Size(shape[1:]).numel()
            offsets = [end, end + shape[0] * row]
            header[name] = {"dtype": TYPES[dtype], "shape": list(shape), "data_offsets": offsets}
            self._place[name] = (end, dtype, row)
            self._rows_left[name] = shape[0]
            end = offsets[1]
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._data = 8 + len(text)
        self._temporary = f"{self.path}.{os.getpid()}.partial"
        self._file = open(self._temporary, "wb", buffering=0)
        self._write(struct.pack("<Q", len(text)) + text, 0)
        self._file.truncate(self._data + end)

    def put(self, name: str, first_row: int, rows: torch.Tensor) -> None:
        offset, dtype, row = self._place[name]
        assert rows.dtype == dtype, f"{name} is {rows.dtype}, not {dtype}"
        self._rows_left[name] -= len(rows)
        raw = rows.contiguous().reshape(-1).view(torch.uint8)
        assert len(raw) == len(rows) * row, f"{name} has rows of another size"
        self._write(memoryview(raw.numpy()), self._data + offset + first_row * row)

    def _write(self, data, offset: int) -> None:
        data = memoryview(data)
        while data:
            written = os.pwrite(self._file.fileno(), data, offset)
            data, offset = data[written:], offset + written

    def close(self) -> None:
        self._file.close()
        missing = [name for name, rows in self._rows_left.items() if rows != 0]
        assert not missing, f"not seen in the run: {', '.join(missing)}"
        if self.path.endswith(".gz"):
            self._compress()
        else:
            os.replace(self._temporary, self.path)

    def _compress(self) -> None:
        compressed = self._temporary + ".gz"
        try:
            with open(self._temporary, "rb") as source, open(compressed, "wb") as file:
                # No name and no time in it: the same dump gives the same bytes.
                with gzip.GzipFile("", "wb", 6, file, mtime=0) as target:
                    shutil.copyfileobj(source, target, _CHUNK)
            os.replace(compressed, self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(compressed)
        os.unlink(self._temporary)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._file.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)
