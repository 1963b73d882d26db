"""Missing, damaged and half-downloaded files: one line that names the file and says what to do. Needs no network."""

import http.server
import shutil
import threading

import pytest
from torchvision.datasets import CIFAR10, MNIST, SVHN

from configs.settings import UserError
from datamodules import DATASETS

NOWHERE = "http://127.0.0.1:9/"  # the discard port: nobody listens


@pytest.fixture
def no_network(monkeypatch):
    _serve_all_from(monkeypatch, NOWHERE)


@pytest.fixture
def breaking_off(monkeypatch):
    """A server that promises a large file and ends after 1,000 bytes of it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(bytes(1000))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _serve_all_from(monkeypatch, f"http://127.0.0.1:{server.server_port}/")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def _serve_all_from(monkeypatch, url):
    monkeypatch.setattr(MNIST, "mirrors", [url])
    monkeypatch.setattr(CIFAR10, "url", url + CIFAR10.filename)
    parts = {part: [url + file, file, md5] for part, (_, file, md5) in SVHN.split_list.items()}
    monkeypatch.setattr(SVHN, "split_list", parts)


def load(name, folder, stage, settings):
    module = DATASETS[name]
    data = module(module.Config(**settings), folder, batch_size=10, seed=0, split_seed=0)
    data.prepare_data()
    data.setup(stage)


def refusal(name, folder, stage="fit", **settings):
    """The one line with which a data set refuses what is in `folder`."""
    with pytest.raises(UserError) as caught:
        load(name, folder, stage, settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "part"), [("mnist", "MNIST/raw"), ("cifar10", "cifar-10-batches-py"), ("svhn", "svhn")]
)
def test_absent_and_no_network(name, part, tmp_path):
    line = refusal(name, tmp_path / "data")
    assert f"is not in {tmp_path / 'data' / part} and could not be downloaded" in line
    assert "refused" in line
    assert "BNN_DATA" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("breaking_off")
@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn"])
def test_a_download_that_breaks_off_never_counts_as_data(name, tmp_path):
    assert "could not be downloaded" in refusal(name, tmp_path)
    again = refusal(name, tmp_path)
    assert "could not be downloaded" in again or "train_32x32.mat is damaged" in again


@pytest.mark.usefixtures("no_network")
def test_svhn_names_the_setting_that_reads_the_subset(tmp_path):
    (tmp_path / "svhn_subset").mkdir()
    assert "dataset.subset=true reads the part" in refusal("svhn", tmp_path)
    assert "dataset.subset=true has no extra" in refusal("svhn", tmp_path, subset=True, extra=True)


def test_a_missing_subset(tmp_path):
    line = refusal("svhn", tmp_path, subset=True)
    assert f"{tmp_path / 'svhn_subset' / 'train_32x32.mat'} is missing" in line


def linked(source, target, broken):
    """`target`: links to the files in `source`, and a copy of the one called `broken`, whose path is returned."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).symlink_to(path.resolve())
    (target / broken).unlink()
    shutil.copyfile(source / broken, target / broken)
    return target / broken


def truncate(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def alter(path):
    """Changes one bit in the middle of the file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("damage", [truncate, alter, empty])
@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
)
def test_damaged_mnist(name, damage, mnist_dir, tmp_path):
    path = linked(mnist_dir / "MNIST" / "raw", tmp_path / "MNIST" / "raw", name)
    damage(path)
    assert refusal("mnist", tmp_path).startswith(f"{path} is damaged or not the published file: delete it")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("damage", [truncate, alter, empty])
@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_damaged_cifar10(name, damage, cifar10_dir, tmp_path):
    path = linked(cifar10_dir / CIFAR10.base_folder, tmp_path / CIFAR10.base_folder, name)
    damage(path)
    assert refusal("cifar10", tmp_path).startswith(f"{path} is damaged or not the published file: delete it")


@pytest.mark.usefixtures("no_network")
def test_a_missing_file_of_cifar10(cifar10_dir, tmp_path):
    linked(cifar10_dir / CIFAR10.base_folder, tmp_path / CIFAR10.base_folder, "data_batch_2").unlink()
    assert "could not be downloaded" in refusal("cifar10", tmp_path)


@pytest.mark.parametrize("damage", [truncate, empty])
@pytest.mark.parametrize("name", ["train_32x32.mat", "test_32x32.mat"])
def test_damaged_subset(name, damage, svhn_subset_dir, tmp_path):
    path = linked(svhn_subset_dir / "svhn_subset", tmp_path / "svhn_subset", name)
    damage(path)
    line = refusal("svhn", tmp_path, "test", subset=True)
    assert line == f"{path} is damaged or not the published file: put a file of SVHN's format there"


@pytest.mark.parametrize("folder", [".", "svhn"])
def test_a_subset_in_the_place_of_svhn_is_refused(folder, svhn_subset_dir, tmp_path):
    target = tmp_path / folder
    target.mkdir(exist_ok=True)
    for path in (svhn_subset_dir / "svhn_subset").iterdir():
        (target / path.name).symlink_to(path.resolve())
    assert refusal("svhn", tmp_path).startswith(f"{target / 'train_32x32.mat'} is damaged or not the published file")
