"""Content of a page that never was: complete suites with many methods, whose figures are known."""

import math

from analysis.page.rows import Cell, Content, Curve, Estimate, Overall, Published, Run, Setting

METHODS = (
    "real", "binaryconnect", "ste", "ste_shift", "bnnplus", "bop", "bop2nd", "pbop", "pbnet", "bayesbinn", "bernoulli",
    "irnet", "recu", "reste",
)  # fmt: skip
REFERENCES = ("real", "binaryconnect", "bayesbinn")
SUITES = {
    "digits": ("digits", "mlp 256×3", 10),
    "mnist": ("MNIST", "mlp 256×2", 5),
    "mnist_bernoulli": ("MNIST", "bernoulli_cnn width 8, pixels ±1, crop 24", 5),
    "svhn_subset": ("SVHN subset 4434/1952", "vgg width 16", 8),
    "cifar10_small": ("CIFAR-10", "vgg width 16", 6),
}
COMMAND = (
    "python run.py method={method} dataset=mnist net=mlp epochs=5 batch_size=100 loss=cross_entropy precision=32 "
    "gradient_clip=0.0 limit_train=0 net.width=256 net.depth=2 split_seed={replicate} seed={seed} "
    "method.lr=0.0{replicate}45 method.gamma_schedule=exponential method.threshold=1.{replicate}2e-05 "
    "method.sigma=2.{replicate}4e-06 results_dir=outputs/again"
)


def error_of(place: int, number: int) -> float:
    """The error of the method at this place in setting `number`, in %."""
    return 3 * number + 2 + 0.137 * ((place + 4 * number) % 11 if place > 2 else place)


def cell(method: str, suite: str, number: int, epochs: int, replicates: int = 6, runs: int = 2) -> Cell:
    place = METHODS.index(method)
    error = error_of(place, number)
    gap = error - error_of(METHODS.index("ste"), number)
    word = "not distinguishable" if abs(gap) < 0.4 else "better than ste" if gap < 0 else "worse than ste"
    tested = method not in (*REFERENCES, "ste")
    mean = [error * (1 + 4 / (epoch + 1.37)) for epoch in range(epochs)]
    flips = [10 ** -(1.5 + epoch / 3 + place / 9) for epoch in range(epochs)]
    curves = [Curve(range(1, epochs + 1), m, [0.9 * v for v in m], [1.1 * v for v in m]) for m in (mean, flips)]
    return Cell(
        key=method,
        method=method,
        note="reconstruction" if method == "pbop" else "",
        competitor=method not in REFERENCES,
        error=Estimate(error, error - 0.21, error + 0.21),
        count=replicates,
        unit="replicates",
        failed=place % 2,
        packed_bytes=35832.0 + place,
        float32_bytes=1074216.0,
        images_per_second=9000.0 - 137 * place,
        beside_others=place % 2 == 0,
        difference=Estimate(gap, gap - 0.4, gap + 0.4) if tested else None,
        word=word if tested else "",
        config={f"method.setting_{i}": 0.1234 * i for i in range(15)},
        runs=[
            Run(f"{suite}-s{1000 * r + j}-0123456789", r, 1000 * r + j, error + 0.01 * j,
                COMMAND.format(method=method, replicate=r, seed=1000 * r + j))
            for r in range(1, replicates + 1) for j in range(1, runs + 1)
        ],
        error_curve=curves[0],
        flip_curve=curves[1],
        search_curve=Curve(range(1, 9), [error + 1 / k for k in range(1, 9)]),
    )  # fmt: skip


def setting(suite: str, number: int) -> Setting:
    dataset, net, epochs = SUITES[suite]
    cells = sorted((cell(method, suite, number, epochs) for method in METHODS), key=lambda c: c.error.value)
    config = {f"net.setting_{i}": i for i in range(20)}
    return Setting(dataset, net, epochs, cells, suite=suite, complete=True, config=config)


def content(suites=tuple(SUITES)) -> Content:
    return Content(
        settings=[setting(suite, number) for number, suite in enumerate(suites)],
        overall=[
            Overall(
                method,
                ratio=Estimate(0.8 + 0.05 * place, 0.7 + 0.05 * place, 0.9 + 0.05 * place),
                better=Estimate(1 - place / 14, max(0, 0.9 - place / 14), min(1, 1.1 - place / 14)),
                profile=[(0.8 + 0.05 * k, 1 / (1 + math.exp(place - k))) for k in range(15)],
            )
            for place, method in enumerate(METHODS)
            if method not in REFERENCES
        ],
        methods={method: f"how {method} trains <binary> weights & activations" for method in METHODS},
        published=[
            Published(
                "paper",
                "MNIST",
                f"Method {i}",
                1.0 + i / 10,
                math.nan,
                "yes",
                "MLP 3x2048",
                "500",
                "A & B 2016, Table 1",
            )
            for i in range(60)
        ],
        sources={method: ["paper"] for method in METHODS},
        interval_note="The intervals hold together.",
        unfinished=[("cifar10_medium", "not complete: 3 of 42 runs")],
    )
