"""Muon for matrices and AdamW for the rest, in the few lines that this model needs."""

import torch

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic iteration that drives singular values to ~1
MUON_STEPS = 5


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Replaces the singular values of each [rows, cols] matrix of a batch by about 1."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(MUON_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon:
    """Nesterov momentum, orthogonalised; matrices of one shape are processed as one batch."""

    def __init__(self, params: dict, rate: float, decay: float, pool, momentum: float = 0.95):
        self.pool = pool
        self.rate, self.decay, self.momentum = rate, decay, momentum
        self.params = params
        self.average = {n: torch.zeros_like(p) for n, p in params.items()}
        self.groups: dict[tuple, list] = {}
        for n, p in params.items():
            self.groups.setdefault(p.shape[-2:], []).append(n)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update; `factor` is the schedule, it scales rate and decay alike."""
        for shape, names in self.groups.items():
            grads = []
            for n in names:
                grad = self.params[n].grad
                self.average[n].lerp_(grad, 1 - self.momentum)
                grads.append(grad.lerp(self.average[n], self.momentum).view(-1, *shape))
            update = torch.cat(list(self.pool.map(orthogonalise, torch.cat(grads).chunk(2))))
            update *= 0.2 * max(shape) ** 0.5
            for n, u in zip(names, update.split([g.shape[0] for g in grads]), strict=True):
                self.params[n].mul_(1 - factor * self.rate * self.decay)
                self.params[n].sub_(u.view_as(self.params[n]), alpha=factor * self.rate)


class Optimizer:
    """Muon and AdamW under one schedule."""

    def __init__(self, params: dict, matrix_names: list[str], rate: float, decay: float, pool):
        names = set(matrix_names)
        self.params = params
        self.muon = Muon({n: p for n, p in params.items() if n in names}, rate, decay, pool)
        rest = {n: p for n, p in params.items() if n not in names}
        is_table = lambda n: rest[n].dim() == 2 and not n.endswith("bias")
        tables = [p for n, p in rest.items() if is_table(n)]
        vectors = [p for n, p in rest.items() if not is_table(n)]
        self.adam = torch.optim.AdamW(
            [{"params": tables, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=rate, betas=(0.9, 0.97), eps=1e-9,
        )  # fmt: skip

    def step(self, factor: float) -> None:
        """One update of everything; also clears the gradients."""
        for group in self.adam.param_groups:
            group["lr"] = self.muon.rate * factor
        self.muon.step(factor)
        self.adam.step()
        for p in self.params.values():
            p.grad = None

    def state(self) -> dict:
        return {"muon": self.muon.average, "adam": self.adam.state_dict()}

    def restore(self, state: dict) -> None:
        for n, value in state["muon"].items():
            self.muon.average[n].copy_(value)
        self.adam.load_state_dict(state["adam"])
