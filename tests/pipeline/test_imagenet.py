"""ImageNet's path, from image files in its layout to a record with a packed net, with the nets of the literature."""

import numpy as np
import pytest
from PIL import Image

from results.record import load

CLASSES = ("n01440764", "n02099601", "n15075141")


@pytest.fixture
def images(tmp_path):
    random = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4)):
        for wnid in CLASSES:
            folder = tmp_path / "images" / part / wnid
            folder.mkdir(parents=True)
            for k in range(count):
                picture = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
                picture.resize((70 + k, 80 - k)).save(folder / f"{wnid}_{k}.JPEG")
    return tmp_path / "images"


@pytest.mark.parametrize(("net", "side", "method"), [("birealnet18", 32, "bop2nd"), ("xnornet", 64, "ste")])
def test_from_files_to_a_packed_net(net, side, method, command, configure, images):
    settings = [
        "dataset=imagenet",
        f"data_dir={images}",
        "dataset.classes=3",
        f"dataset.size={side}",
        "dataset.workers=1",
        f"net={net}",
        "net.width=4",
        f"method={method}",
        "epochs=1",
        "batch_size=8",
    ]
    outcome = command(*settings)
    assert outcome.status == 0, outcome.err
    record = load(configure(*settings).record_path)
    assert record.data["label"] == "folders of 3 classes 36/12"
    assert record.data["sizes"] == {"train": 33, "validation": 3, "test": 12}
    assert record.data["input_shape"] == [3, side, side]
    assert record.packed["test"]["images"] == 12
    assert record.packed["test"]["differ"] == record.packed["validation"]["differ"] == 0
    assert record.packed["test"]["error"] == record.test["error"]
    assert set(record.test["corrupted"]) == {"noise", "blur", "contrast"}
