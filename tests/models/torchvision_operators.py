"""Pytest plugin: lets torchvision for CUDA be imported beside torch for CPUs.

The package index has torchvision for CUDA only. Its library of operators does not load beside torch for CPUs, and the
import then fails because two operators are unknown. They are declared here and never called: networks for segmentation
use none of them. Users whose torch and torchvision are of one build need nothing of this.
"""

import torch

#: Kept, because the operators go with it.
OPERATORS = torch.library.Library("torchvision", "DEF")
# beside torch for CUDA the library loads, and a second declaration ends the process
for _name in ("nms", "qnms") if torch.version.cuda is None else ():
    OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
