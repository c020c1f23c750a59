"""MXFP4 for training and export: groups of 32 along the input dimension, E2M1 codes, E8M0 scales.

One function decides the codes; the fake-quantised weights of the last epochs and the bytes in the
file both come from it, so the exported model is the trained one.
"""

import torch

MAGNITUDES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
SMALLEST_EXPONENT = -40


def round_e2m1(x: torch.Tensor) -> torch.Tensor:
    """Rounds to the nearest value of +-MAGNITUDES, saturating at 6."""
    size = x.abs()
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return (x / step).round().mul(step).clamp(-6, 6)


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[experts, in, out] -> (values [experts, out, in/32, 32] on the E2M1 grid, exponents).

    Of the two power-of-two scales around max/6 (the larger one never saturates) each group takes
    the one with the smaller squared error.
    """
    experts, inputs, outputs = weight.shape
    groups = weight.transpose(1, 2).reshape(experts, outputs, inputs // 32, 32)
    mantissa, exponent = torch.frexp(groups.abs().amax(-1, keepdim=True) / 6)
    wide = torch.where(mantissa == 0.5, exponent - 1, exponent).clamp(min=SMALLEST_EXPONENT)
    best, best_error, best_exponent = None, None, None
    for candidate in (wide, (wide - 1).clamp(min=SMALLEST_EXPONENT)):
        scale = torch.exp2(candidate)
        values = round_e2m1(groups / scale)
        error = (values * scale - groups).square().sum(-1, keepdim=True)
        if best is None:
            best, best_error, best_exponent = values, error, candidate
        else:
            better = error < best_error
            best = torch.where(better, values, best)
            best_exponent = torch.where(better, candidate, best_exponent)
    return best, best_exponent.squeeze(-1)


def dequantise(values: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """Inverse of `quantise`, exact: back to [experts, in, out]."""
    experts, outputs = values.shape[:2]
    scale = torch.exp2(exponents)[..., None]
    return (values * scale).reshape(experts, outputs, -1).transpose(1, 2)


def pack(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[experts, in, out] -> blocks U8 [experts, out, in/32, 16], scales U8 [experts, out, in/32].

    Byte j of a block holds column 2j in its low nibble and column 2j+1 in its high nibble.
    """
    values, exponents = quantise(weight)
    codes = torch.bucketize(values.abs(), MAGNITUDES) + 8 * (values < 0)
    codes = codes.to(torch.uint8)
    blocks = codes[..., 0::2] | (codes[..., 1::2] << 4)
    return blocks.contiguous(), (exponents + 127).to(torch.uint8).contiguous()


def stored(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The values that the file will hold: experts through MXFP4, everything else through BF16."""
    return {n: dequantise(*quantise(w)) if n.endswith("experts.gate_up_proj")
            or n.endswith("experts.down_proj") else w.bfloat16().float()
            for n, w in weights.items()}  # fmt: skip
