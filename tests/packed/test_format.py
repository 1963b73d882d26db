"""What packed/FORMAT.md says is what the files are: a reader written from it predicts the same."""

import numpy as np
import pytest

import packed
from packed.fold import fold
from packed.net import PackedNet
from packed.operations import Dense, Flatten, Input, Norm, Threshold
from tests.packed import reader
from tests.packed.conftest import SHAPES, scaled


@pytest.mark.parametrize("scaling", ["symmetric", "binary"])
@pytest.mark.parametrize("net", ["mlp", "tiny", "vgg"])
def test_a_reader_of_the_page_gives_the_trained_nets_logits(net, scaling, make, images, tmp_path):
    trained = make("ste", net, seed=1, **({"width": 9} if net == "mlp" else {"width": 2})).net
    path = tmp_path / "net.safetensors"
    packed.save(fold(trained, SHAPES[net], scaling), path)
    x = images(SHAPES[net], 2)
    expected = trained(scaled(x, scaling)).detach().numpy()
    for image, logits in zip(x, expected, strict=True):
        found, values = reader.predict(path, image)
        assert values == logits.tolist()
        assert found == logits.argmax()


def test_the_example_of_the_page(tmp_path):
    two = np.zeros(2, np.float32)
    net = PackedNet(
        (1, 1, 2),
        2,
        Input("bytes"),
        (
            Flatten(),
            Dense(2, np.array([[1]], np.uint8)),
            Threshold(np.array([4], np.int32), np.array([0], np.uint8)),
            Dense(1, np.array([[1], [0]], np.uint8)),
            Norm(two, two + 1, np.array([0, 0.5], np.float32)),
        ),
    )
    path = tmp_path / "net.safetensors"
    packed.save(net, path)
    for pixels, logits in (([200, 100], [1, -0.5]), ([100, 200], [-1, 1.5])):
        image = np.array(pixels, np.uint8).reshape(1, 1, 2)
        assert reader.predict(path, image)[1] == logits
        for name in ("fast", "reference"):
            assert packed.engine(packed.load(path), name).logits(image[None]).tolist() == [logits]
