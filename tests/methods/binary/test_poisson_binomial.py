"""P(S ≥ 0) and its gradients against enumeration, convolution and the distribution of a sum that lacks a term."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from methods.binary import poisson_binomial
from methods.binary.poisson_binomial import GRADIENTS, clt_error, distribution, prob_sum_nonnegative, variance_of
from methods.binary.poisson_binomial_gradient import CLOSURES, deciding_mass

SIZES = [1, 2, 3, 4, 5, 8, 11, 12]


def enumerated(mu: np.ndarray) -> tuple[float, np.ndarray]:
    """(z, ∂z/∂μ) over all 2^N outcomes; ∂/∂μ_i of an outcome's probability replaces factor (1 ± μ_i)/2 by ±1/2."""
    z, gradient = 0.0, np.zeros_like(mu)
    for outcome in itertools.product((1, -1), repeat=len(mu)):
        if sum(outcome) >= 0:
            factors = [(1 + s * m) / 2 for s, m in zip(outcome, mu, strict=True)]
            z += math.prod(factors)
            for i, s in enumerate(outcome):
                gradient[i] += s / 2 * math.prod(factors[:i] + factors[i + 1 :])
    return z, gradient


def convolved(mu: np.ndarray) -> np.ndarray:
    """Probabilities of S = −N, −N + 2, …, N."""
    p = np.ones(1)
    for m in mu:
        p = np.convolve(p, [(1 - m) / 2, (1 + m) / 2])
    return p


def means(N: int, rows: int, kind: str) -> np.ndarray:
    """`random`: uniform. `certain`: all terms but about 3 are ±1 exactly or nearly, in sums around 0. `zero`: as many
    +1 as −1 (for odd N and one 0). `skewed`: many terms with a mean near −1, made up for by certain ones."""
    rng = np.random.default_rng(N)
    mu = rng.uniform(-1, 1, (rows, N))
    if kind == "certain":
        size = np.where(rng.random((rows, N)) < 0.5, 1, 1 - 1e-3 * rng.random((rows, N)))
        mu = np.where(rng.random((rows, N)) < 3 / N, mu, size * np.where(np.arange(N) % 2, 1, -1))
    elif kind == "zero":
        mu[:] = np.where(np.arange(N) % 2, 1, -1)
        mu[:, N - 1] *= (N + 1) % 2
    elif kind == "skewed":
        k = N // 2
        mu = np.where(np.arange(N) < k, -1 + 0.3 * rng.random((rows, N)), 1.0)
        for i, row in enumerate(mu):  # sums from far below 0 to far above
            row[k : k + max(0, min(N - k, N // 27 + 2 * (i - rows // 2)))] = -1
    return mu


def computed(mu, how="exact", dtype=torch.float64, **options):
    """(z, ∂z/∂μ) as float64 arrays."""
    mu = torch.as_tensor(mu, dtype=dtype).clone().requires_grad_()
    z = prob_sum_nonnegative(mu, how, **options)
    assert z.dtype == mu.dtype
    z.sum().backward()
    assert mu.grad.dtype == dtype
    assert z.isfinite().all()
    assert mu.grad.isfinite().all()
    return z.detach().double().numpy(), mu.grad.double().numpy()


@pytest.mark.parametrize("how", ["exact", "adaptive"])
@pytest.mark.parametrize("N", SIZES)
def test_enumeration_of_all_outcomes(N, how):
    rows = np.concatenate([means(N, 2, kind) for kind in ("random", "certain", "zero")])
    z, gradient = computed(rows, how)
    for i, mu in enumerate(rows):
        expected_z, expected_gradient = enumerated(mu)
        assert z[i] == pytest.approx(expected_z, abs=1e-14)
        np.testing.assert_allclose(gradient[i], expected_gradient, rtol=0, atol=1e-13)


@pytest.mark.parametrize("how", ["exact", "adaptive", "clt"])
def test_sums_that_are_certain(how):
    """Each side of the threshold by one step, and S = 0 on it, which only an even number of terms can reach."""
    for N in (1, 2, 3, 10, 31, 32, 800):
        least = 0 if N % 2 == 0 else 1
        rows = [[1.0] * ((N + s) // 2) + [-1.0] * ((N - s) // 2) for s in (least, least - 2)]
        z, _ = computed(rows, how)
        assert z.tolist() == pytest.approx([1, 0], abs=1e-14)


@pytest.mark.parametrize(("mu", "z"), [([0.0], 0.5), ([0.4], 0.7), ([0.0, 0.0], 0.75), ([1.0, 0.0], 1.0)])
def test_one_and_two_terms(mu, z):
    for how in ("exact", "adaptive"):
        assert computed(mu, how)[0] == pytest.approx(z, abs=1e-15)


@pytest.mark.parametrize("kind", ["random", "certain", "zero", "skewed"])
@pytest.mark.parametrize("N", [31, 32, 201, 800])
def test_every_way_within_its_documented_error(N, kind):
    mu = means(N, 9, kind)
    variance = variance_of(torch.from_numpy(mu))
    z = np.array([convolved(row)[(N + 1) // 2 :].sum() for row in mu])
    np.testing.assert_allclose(computed(mu, "exact")[0], z, rtol=0, atol=1e-13)
    np.testing.assert_allclose(computed(mu, "adaptive")[0], z, rtol=0, atol=1e-8)
    single = mu.astype(np.float32)
    z_single = np.array([convolved(row)[(N + 1) // 2 :].sum() for row in single.astype(np.float64)])
    np.testing.assert_allclose(computed(single, "adaptive", torch.float32)[0], z_single, rtol=0, atol=3e-5)
    np.testing.assert_allclose(computed(single, "exact", torch.float32)[0], z_single, rtol=0, atol=1e-5)
    assert (np.abs(computed(mu, "clt")[0] - z) <= clt_error(variance).numpy() + 1e-12).all()
    if kind == "skewed":
        assert ((z > 1e-3) & (z < 1 - 1e-3)).any()


def test_the_adaptive_lattice_where_it_gives_up():
    """Sums on either side of the distance from which z counts as 0 or 1, skewed towards the threshold and away."""
    rows = []
    for k, bias, side, offset in itertools.product((160, 400, 720), (0.5, 0.8), (1, -1), (-3, -1, 1)):
        mean = side * (5.5 * math.sqrt(k * (1 - bias**2)) + 12 + offset)
        minus = round((800 - k + k * bias - mean) / 2)
        if 0 <= minus <= 800 - k:
            rows.append(np.repeat([bias, -1, 1], [k, minus, 800 - k - minus]))
    rows = np.array(rows)
    z, z_mirrored = (np.array([convolved(row)[400:].sum() for row in s * rows]) for s in (1, -1))
    assert len(rows) > 20
    np.testing.assert_allclose(computed(rows, "adaptive")[0], z, rtol=0, atol=1e-8)
    np.testing.assert_allclose(computed(-rows, "adaptive")[0], z_mirrored, rtol=0, atol=1e-8)


def test_the_documented_error_of_the_clt_is_neither_passed_nor_idle():
    worst = 0.0
    for n, p in itertools.product((1, 2, 3, 10, 40, 150, 800), (0.0005, 0.003, 0.01, 0.05, 0.2, 0.5)):
        k, sd = np.arange(n + 1), math.sqrt(n * p * (1 - p))
        error = np.abs(binom.sf(k - 1, n, p) - norm.sf((k - 0.5 - n * p) / sd)).max()
        bound = clt_error(torch.tensor(4 * sd**2)).item()  # S = 2K − n has four times K's variance
        assert error <= bound
        worst = max(worst, error / bound)
    assert worst > 0.9


def test_nominal_is_the_normal_of_as_many_fair_coins():
    mu = means(12, 5, "random")
    z, gradient = computed(mu, "nominal")
    np.testing.assert_allclose(z, norm.cdf((mu.sum(1) + 1) / math.sqrt(12)), atol=1e-14)
    slope = norm.pdf((mu.sum(1) + 1) / math.sqrt(12)) / math.sqrt(12)
    np.testing.assert_allclose(gradient, np.repeat(slope[:, None], 12, 1), atol=1e-14)
    odd = means(11, 5, "random")
    np.testing.assert_allclose(computed(odd, "nominal")[0], norm.cdf(odd.sum(1) / math.sqrt(11)), atol=1e-14)
    fair = np.zeros((1, 800))
    assert computed(fair, "nominal")[0] == pytest.approx(computed(fair, "clt")[0], abs=1e-14)


@pytest.mark.parametrize("kind", ["random", "certain", "zero", "skewed"])
@pytest.mark.parametrize("N", [1, 2, 31, 32, 200])
def test_the_stable_solve_is_autograd_through_the_dynamic_programming(N, kind):
    mu = means(N, 4, kind)
    solved, through = computed(mu, "exact")[1], computed(mu, "exact", gradient="autograd")[1]
    np.testing.assert_allclose(solved, through, rtol=0, atol=1e-12)
    np.testing.assert_allclose(computed(mu, "adaptive")[1], through, rtol=0, atol=1e-8)
    np.testing.assert_allclose(computed(mu, "exact", torch.float32)[1], through, rtol=0, atol=1e-6)
    assert through.max() > 0


@pytest.mark.parametrize("N", [31, 32, 800])
def test_the_stable_solve_is_the_mass_of_the_other_terms(N):
    """At −1 for even N, at 0 for odd N; also for the terms at p = 0, ½ and 1 and with p just on either side of ½."""
    mu = means(N, 1, "random")
    mu[0, :7] = [0, 1, -1, 1e-9, -1e-9, 1e-300, 1 - 1e-12]
    gradient = computed(mu)[1]
    for i in (*range(7), N // 2, N - 1):
        p = convolved(np.delete(mu[0], i))  # of S = −(N − 1), …, N − 1
        at = p[N // 2 - 1] if N % 2 == 0 else p[(N - 1) // 2]
        assert 2 * gradient[0, i] == pytest.approx(at, abs=1e-14)


def system_of(p: float, N: int, h: int) -> tuple[np.ndarray, np.ndarray, range]:
    """The normal equations t − h … t + h of `q x_k + p x_{k−1} = y_k`, from that matrix itself."""
    bidiagonal = np.zeros((N + 1, N))
    for k in range(N):
        bidiagonal[k, k], bidiagonal[k + 1, k] = 1 - p, p
    t = math.ceil(N / 2) - 1
    return bidiagonal.T @ bidiagonal, bidiagonal.T, range(t - h, t + h + 1)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize(("name", "h"), [("three", 1), ("five", 2)])
@pytest.mark.parametrize("N", [16, 17])
def test_central_equations_against_a_dense_solve(N, name, h, closure):
    mu = means(N, 3, "random")
    mu[0, :3] = [0, 1, -1]
    y = distribution(torch.from_numpy(mu))
    found = deciding_mass(torch.from_numpy(mu), y, name, closure).numpy()
    for row, i in itertools.product(range(3), range(N)):
        normal, transposed, window = system_of((1 + mu[row, i]) / 2, N, h)
        right = transposed @ y[:, row].numpy()
        inside, outside = list(window), [window[0] - 1, window[-1] + 1]
        A, B, b = normal[np.ix_(inside, inside)], normal[np.ix_(inside, outside)], right[inside]
        if closure == "minimum_norm":
            x = (np.linalg.pinv(normal[np.ix_(inside, [outside[0], *inside, outside[1]])]) @ b)[1:-1]
        else:
            if closure == "constant":
                A[0, 0] += B[0, 0]
                A[-1, -1] += B[-1, 1]
            elif closure == "neighbour":
                b = b - B @ right[outside]
            x = np.linalg.solve(A, b)
        assert found[row, i] == pytest.approx(x[h], abs=1e-12)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize("name", ["three", "five"])
def test_central_equations_come_near_the_gradient(name, closure):
    """The largest errors of a gradient of .18, rounded up; with few terms, and with certain ones, all is finite."""
    mu = means(31, 8, "random")
    bound = {"zero": 0.13, "constant": 0.03, "neighbour": 0.006, "minimum_norm": 0.03}[closure]
    error = np.abs(computed(mu, gradient=name, closure=closure)[1] - computed(mu)[1]).max() * 2
    assert bound / 6 < error < bound
    for N in (1, 2, 3, 31):
        for kind in ("certain", "zero"):
            computed(means(N, 3, kind), gradient=name, closure=closure)


def test_a_step_of_gradient_is_weighed_by_what_comes_back():
    mu = torch.from_numpy(means(6, 8, "random").reshape(2, 2, 2, 6))
    weights = torch.tensor([[[1.0, -2.0], [0.0, 3.0]], [[0.5, 1.0], [2.0, -1.0]]], dtype=torch.float64)
    _, gradient = computed(mu)
    for how in ("exact", "adaptive"):
        x = mu.clone().requires_grad_()
        z = prob_sum_nonnegative(x, how)
        assert z.shape == (2, 2, 2)
        (z * weights).sum().backward()
        np.testing.assert_allclose(x.grad, gradient * weights[..., None].numpy(), atol=1e-13)


@pytest.mark.parametrize(("how", "gradient"), [*(("exact", g) for g in GRADIENTS), ("adaptive", "solve")])
def test_chunks_change_nothing(how, gradient, monkeypatch):
    mu = np.concatenate([means(20, 15, kind) for kind in ("random", "certain", "zero", "skewed")])
    mu[7] = 1.0  # one that is no lattice's
    whole = computed(mu, how, gradient=gradient)
    monkeypatch.setattr(poisson_binomial, "CHUNK", 130)  # a few rows, or one
    parts = computed(mu, how, gradient=gradient)
    np.testing.assert_allclose(parts[0], whole[0], atol=1e-14)
    np.testing.assert_allclose(parts[1], whole[1], atol=1e-14)


@pytest.mark.parametrize("how", ["exact", "adaptive", "clt", "nominal"])
def test_half_precision_no_rows_and_nan(how):
    mu = torch.from_numpy(means(9, 4, "random")).bfloat16()
    z = prob_sum_nonnegative(mu, how)
    assert z.dtype == torch.bfloat16
    torch.testing.assert_close(z.double(), prob_sum_nonnegative(mu.double(), how), rtol=0, atol=4e-3)
    assert prob_sum_nonnegative(torch.empty(0, 3, 5), how).shape == (0, 3)
    mu = torch.tensor([[math.nan, 0.5, 0.5], [0.5, 0.5, 0.5]])
    assert prob_sum_nonnegative(mu, how).isnan().tolist() == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"how": "sharp"}, r"unknown how 'sharp' \(valid: exact, adaptive, clt, nominal\)"),
        ({"gradient": "two"}, r"unknown gradient 'two' \(valid: solve, three, five, autograd\)"),
        ({"closure": "open"}, r"unknown closure 'open' \(valid: zero, constant, neighbour, minimum_norm\)"),
        ({"mu": torch.zeros(3, 0)}, r"N ≥ 1, not \(3, 0\)"),
        ({"mu": torch.tensor(0.5)}, r"N ≥ 1, not \(\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        prob_sum_nonnegative(**{"mu": torch.zeros(2, 3), **arguments})
