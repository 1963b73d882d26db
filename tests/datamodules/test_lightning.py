"""The loaders inside Lightning's Trainer: an epoch set as it starts reaches them, after a resume too."""

import pytorch_lightning as pl
import torch

from datamodules.digits import Config, Digits


class Reader(pl.LightningModule):
    """A net of one number that writes down the labels that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.epochs: list[list[int]] = []
        self.validated = 0
        self.tested = 0

    def on_train_epoch_start(self):
        self.trainer.datamodule.train_dataloader().set_epoch(self.current_epoch)
        self.epochs.append([])

    def training_step(self, batch, batch_idx):
        x, y = batch
        self.epochs[-1] += y.tolist()
        return self.weight * x.mean()

    def validation_step(self, batch, batch_idx):
        self.validated += len(batch[1])

    def test_step(self, batch, batch_idx):
        self.tested += len(batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(epochs, checkpoint=None):
    data = Digits(Config(augment="crop"), "unused", batch_size=100, seed=0, split_seed=0, limit=300)
    net = Reader()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(net, datamodule=data, ckpt_path=checkpoint)
    return trainer, net, data


def test_epochs_differ_and_a_resumed_run_sees_what_an_uninterrupted_one_sees(tmp_path):
    _, whole, data = fit(3)
    assert [len(epoch) for epoch in whole.epochs] == [300, 300, 300]
    assert len({tuple(epoch) for epoch in whole.epochs}) == 3
    assert whole.validated == 3 * 287
    for epoch, labels in enumerate(whole.epochs):
        loader = data.train_dataloader()
        loader.set_epoch(epoch)
        assert torch.cat([y for _, y in loader]).tolist() == labels

    trainer, _, _ = fit(2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    _, resumed, _ = fit(3, tmp_path / "two.ckpt")
    assert resumed.epochs == whole.epochs[2:]


def test_the_trainer_tests_on_the_whole_test_set():
    trainer, net, data = fit(1)
    assert data.sizes["test"] is None
    trainer.test(net, datamodule=data, verbose=False)
    assert net.tested == data.sizes["test"] == 359
