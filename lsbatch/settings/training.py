"""Settings of the training."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from lsbatch.settings.survey import Place, Section

#: A name in segmentation-models-pytorch.
SmpName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,80}$")]


class TrainSettings(Section):
    """Training of the U-Net. The paper does not give depth, width and loss: these defaults are ours."""

    chip_px: int = Field(128, ge=32, le=512, description="side of a chip")
    stride_px: int = Field(64, ge=16, le=512, description="step between chips")
    block_px: int = Field(
        512, ge=128, description="side of the spatial blocks that are assigned to training, validation and test"
    )
    validation_share: float = Field(0.2, gt=0, lt=0.5, description="share of the blocks for validation")
    test_share: float = Field(0.2, ge=0, lt=0.5, description="share of the blocks for the test score")
    depth: int = Field(4, ge=1, le=6, description="pooling steps of the U-Net")
    width: int = Field(16, ge=4, le=128, description="channels of its first level")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout at the deepest level")
    loss: Literal["dice_bce", "focal", "dice", "bce"] = Field(
        "dice_bce",
        description="dice_bce: Dice plus weighted cross-entropy; focal: weighted focal loss; dice: Dice; bce: weighted "
        "cross-entropy",
    )
    # from here on, settings marked so are not dumped at their defaults: digests of older trainings stay what they were
    positive_weight: float | None = Field(
        None,
        gt=0,
        le=1000,
        exclude_if=lambda weight: weight is None,
        description="weight of a landslide pixel in the cross-entropy and the focal loss; empty: measured from the "
        "training chips, 1 to 10",
    )
    batch: int = Field(32, ge=1, le=1024, description="chips a batch, on each device")
    accumulate: int = Field(
        1,
        ge=1,
        le=1024,
        exclude_if=lambda batches: batches == 1,
        description="batches a step: their gradients are averaged, as one larger batch for which there is no memory",
    )
    epochs: int = Field(30, ge=1, le=1000, description="maximum number of passes over the chips")
    patience: int = Field(8, ge=1, le=100, description="epochs without a better validation score before training stops")
    learning_rate: float = Field(4e-3, gt=0, le=1, description="peak of the one-cycle schedule")
    empty_share: float = Field(1.0, ge=0, le=100, description="chips without a landslide for each chip with one")
    symmetries: bool = Field(
        True,
        description="augment with the eight symmetries of the square; with bands that depend on the look direction, "
        "with the east-west mirror image and ascending and descending passes exchanged",
    )
    max_minutes: float | None = Field(None, gt=0, description="stop after this time; empty: no limit")
    freeze_levels: int = Field(
        0,
        ge=0,
        exclude_if=lambda levels: levels == 0,
        description="levels of the encoder, from the first, that keep the weights of lsbatch train --from",
    )
    devices: int = Field(
        1,
        ge=0,
        le=64,
        exclude_if=lambda devices: devices == 1,
        description="GPUs of the training, each with its own batches; 0: all; without a GPU: processes on the CPU",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        exclude_if=lambda precision: precision == "auto",
        description="number format of the training; auto: bfloat16 on a GPU and on a CPU with amx, else float32",
    )
    log: Literal["csv", "tensorboard"] = Field(
        "csv",
        exclude_if=lambda log: log == "csv",
        description="csv: log.csv and log.png in the folder of the training; tensorboard: also a log for TensorBoard",
    )
    seed: int = Field(0, ge=0, description="random seed of the split, the initial weights and the order of chips")
    # the settings below are not dumped at their defaults: digests of older trainings stay what they were
    members: int = Field(
        1,
        ge=1,
        le=10,
        exclude_if=lambda members: members == 1,
        description="unet, smp: networks of an ensemble, which are trained one after another with the seeds seed, "
        "seed + 1, ... on the same chips and share max_minutes; the result is their mean probability, and their "
        "spread is a measure of uncertainty; takes that many times as long, also for predictions",
    )
    architecture: SmpName = Field(
        "Unet",
        exclude_if=lambda name: name == "Unet",
        description="smp: class of segmentation-models-pytorch, e.g. Unet, UnetPlusPlus, FPN, DeepLabV3Plus",
    )
    encoder: SmpName = Field(
        "resnet18",
        exclude_if=lambda name: name == "resnet18",
        description="smp: name of its encoder, e.g. resnet18, efficientnet-b0, tu-convnext_tiny",
    )
    encoder_weights: Place | None = Field(
        None,
        exclude_if=lambda path: path is None,
        description="smp: file of pretrained weights of the encoder (.safetensors, .pth or .pt), for three bands or "
        "for the bands of the survey; empty: random weights; nothing is downloaded",
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return the fields of the text form, which is part of digests: those that are dumped."""
        dumped = self.model_dump()
        return [(name, value) for name, value in super().__repr_args__() if name in dumped]
