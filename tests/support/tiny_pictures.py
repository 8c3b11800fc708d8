"""A small image processor, and pictures to try it with."""

import numpy as np
from PIL import Image
from transformers import CLIPImageProcessorPil


def image_processor(size=32):
    return CLIPImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def picture(width=40, height=30, mode="RGB"):
    values = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    return Image.fromarray(values).convert(mode)
