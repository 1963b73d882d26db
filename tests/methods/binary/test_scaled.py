"""Gradients of scaled signs: against scalar formulas, and against a net that does scale its weights."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.binary.scaled import WEIGHT_GRADIENTS
from methods.binary.sign import sign

KINDS = ("xnor", "xnor_exact", "birealnet")
LATENT = np.array([[0.5, -1.0, 0.0, -0.25], [1.0, 1.5, -0.0, -2.0], [1e-3, -2e-3, 3e-3, 4e-3]])
UPSTREAM = np.array([[1.0, -2.0, 3.0, 0.5], [-1.0, 2.0, 0.25, 4.0], [0.125, 1.0, -3.0, 2.0]])


def restated(kind: str, W: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The sources' formulas for w = α·sign(W), one filter and weight at a time; ∂L/∂(α·sign W) is g/α."""
    result = np.zeros_like(W)
    for c, row in enumerate(W):
        n, alpha = len(row), np.mean(np.abs(row))
        to_scaled = g[c] / alpha
        signs = [1.0 if w >= 0 else -1.0 for w in row]
        for i, w in enumerate(row):
            if kind == "xnor":
                result[c, i] = to_scaled[i] * (1 / n + alpha * (1.0 if -1 < w < 1 else 0.0))
            elif kind == "xnor_exact":
                inner = alpha * to_scaled[i] if -1 < w < 1 else 0.0
                result[c, i] = inner + signs[i] / n * sum(to_scaled[j] * signs[j] for j in range(n))
            else:
                result[c, i] = to_scaled[i] if -1 <= w <= 1 else 0.0
    return result


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 2, 2)])
def test_gradients_are_those_of_the_sources(kind, shape):
    W = torch.tensor(LATENT).view(shape).requires_grad_()
    w = WEIGHT_GRADIENTS[kind]()(W)
    w.backward(torch.tensor(UPSTREAM).view(shape))
    assert w.view(3, 4).tolist() == [[1, -1, 1, -1], [1, 1, 1, -1], [1, -1, 1, 1]]
    np.testing.assert_allclose(W.grad.view(3, 4).numpy(), restated(kind, LATENT, UPSTREAM), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_of_zeros_does_no_harm_to_others(kind):
    W = torch.tensor([[0.0, 0.0], [0.5, -0.5]], requires_grad=True)
    WEIGHT_GRADIENTS[kind]()(W).backward(torch.tensor([[1.0, -2.0], [1.0, 3.0]]))
    assert W.grad[0].tolist() == {"birealnet": [0.0, 0.0]}.get(kind, [1.0, -2.0])  # nothing is divided by its α of 0
    assert (W.grad[1] != 0).any()


class PaperGradient(torch.autograd.Function):
    """Forward: α·sign(W), which XNOR-Net computes with. Backward: `g(1/n + α·1{|W| < 1})`, g the gradient to that."""

    @staticmethod
    def forward(ctx, W):
        ctx.save_for_backward(W)
        return W.abs().mean((1, 2, 3), keepdim=True) * sign(W)

    @staticmethod
    def backward(ctx, g):
        (W,) = ctx.saved_tensors
        return g * (1 / W[0].numel() + W.abs().mean((1, 2, 3), keepdim=True) * (W.abs() < 1))


def scaled_by_alpha(kind: str, W: torch.Tensor) -> torch.Tensor:
    """The weight that the sources' nets compute with, α·sign(W), with their gradient."""
    alpha = W.abs().mean((1, 2, 3), keepdim=True)
    if kind == "xnor":
        return PaperGradient.apply(W)
    clipped = W.clamp(-1, 1)
    straight = sign(W) - clipped.detach() + clipped
    if kind == "xnor_exact":
        return alpha * straight  # α is differentiated, too
    scaled = alpha.detach() * sign(W)
    return scaled - clipped.detach() + clipped  # Bi-Real Net's PyTorch code


@pytest.mark.parametrize("kind", KINDS)
def test_before_batch_norm_a_scaled_net_has_the_same_output_and_gradients(kind):
    torch.manual_seed(0)
    latent = torch.empty(5, 3, 3, 3, dtype=torch.float64).uniform_(-1.3, 1.3) * torch.rand(5, 1, 1, 1) + 1e-3
    x = torch.randn(8, 3, 6, 6, dtype=torch.float64)
    target = torch.randn(8, 5, 6, 6, dtype=torch.float64)
    norm = nn.BatchNorm2d(5, eps=1e-20).double()

    def run(weight_of):
        W = latent.clone().requires_grad_()
        y = norm(F.conv2d(x, weight_of(W), padding=1)).relu()
        (y * target).sum().backward()
        return y.detach(), W.grad

    (y, gradient), (y_scaled, gradient_scaled) = run(WEIGHT_GRADIENTS[kind]()), run(lambda W: scaled_by_alpha(kind, W))
    torch.testing.assert_close(y, y_scaled, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, gradient_scaled, rtol=1e-8, atol=1e-9)
    _, plain = run(WEIGHT_GRADIENTS["hardtanh"]())
    assert torch.allclose(gradient, plain, rtol=1e-8, atol=1e-9) == (kind == "xnor_exact")
