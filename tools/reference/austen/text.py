"""The six novels as clean chapters, read from Debian's r-cran-janeaustenr.

The package stores one R character vector per novel (one element per printed line) in R's lazy-load
format: a chain of records, each a 4-byte big-endian length and a zlib stream of R's XDR
serialisation. A vector of strings needs only a few lines to read, so no R package is needed.
"""

import re
import struct
import zlib
from pathlib import Path

CHARACTER_VECTOR = struct.pack(">i", 16)  # R type code of a vector of strings
CHAPTER = re.compile(r"^\s*chapter\s+([ivxl]+|\d+)\.?\s*$", re.IGNORECASE)
LAST_LINE = re.compile(r"^\s*(the end|finis|\*vide .*|a note on the text)\s*$", re.IGNORECASE)
NOT_PROSE = re.compile(r"^\s*(volume\s+[ivx]+|[*\s]+)\s*$", re.IGNORECASE)
HELD_OUT_EVERY, HELD_OUT_FIRST = 30, 20  # chapters 20, 50, 80, ... of 269, counted over all novels


def read_novels(package: Path) -> list[list[str]]:
    """Returns the lines of each novel; `package` is where the .deb was unpacked (dpkg -x)."""
    data = next(package.rglob("janeaustenr/data/Rdata.rdb")).read_bytes()
    novels = []
    while data:
        stream = zlib.decompressobj()
        record = stream.decompress(data[4:])
        data = stream.unused_data
        novels.append(_strings(record))
    return novels


def _strings(record: bytes) -> list[str]:
    """Decodes one serialised R character vector."""
    at = record.index(CHARACTER_VECTOR) + 4
    (count,) = struct.unpack_from(">i", record, at)
    at += 4
    lines = []
    for _ in range(count):
        _, size = struct.unpack_from(">ii", record, at)  # flags, length (-1 for a missing string)
        at += 8
        size = max(size, 0)
        lines.append(record[at : at + size].decode("utf-8"))
        at += size
    return lines


def paragraphs(lines: list[str]) -> list[str]:
    """Joins hard-wrapped lines; drops underscores (italics), volume headings, rows of stars."""
    result, open_lines = [], []
    for line in [*lines, ""]:
        if line.strip() and not NOT_PROSE.match(line):
            open_lines.append(line.replace("_", "").strip())
        elif open_lines:
            text = re.sub(r"\s+", " ", " ".join(open_lines))
            result.append(re.sub(r"\s*--\s*", "--", text))
            open_lines = []
    return result


def chapters(novel: list[str]) -> list[str]:
    """Splits one novel; each chapter is 'Chapter N' and its paragraphs, blank lines between."""
    result, lines = [], None
    for line in [*novel, "THE END"]:
        if CHAPTER.match(line) or LAST_LINE.match(line):
            if lines:
                result.append("\n\n".join([f"Chapter {len(result) + 1}", *paragraphs(lines)]))
            lines = [] if CHAPTER.match(line) else None
        elif lines is not None:  # what stands before the first chapter is title and preface
            lines.append(line)
    return result


def split(package: Path) -> tuple[list[str], list[str]]:
    """Returns (training chapters, held-out chapters)."""
    everything = [c for novel in read_novels(package) for c in chapters(novel)]
    is_held_out = lambda i: i % HELD_OUT_EVERY == HELD_OUT_FIRST
    train = [c for i, c in enumerate(everything) if not is_held_out(i)]
    held_out = [c for i, c in enumerate(everything) if is_held_out(i)]
    return train, held_out
