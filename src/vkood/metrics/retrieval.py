"""Recall of image-text retrieval, both ways."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vkood.fields import Whole, require_kind


def recall_at(
    scores: Float[Tensor, "images texts"],
    image_of_text: Int[Tensor, " texts"],
    ranks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Recall at each k, both ways.

    In text retrieval an image counts if any of its texts is among the first k; in image retrieval a text counts if its
    image is. Of equal scores the first ranks higher.

    Args:
        scores: (images, texts) larger = a better match.
        image_of_text: (texts,) which image each text belongs to.
        ranks: The ks.

    Returns:
        "text_recall@k" and "image_recall@k", from 0 to 1, for each k.

    Raises:
        ValueError: If a score is NaN, a shape does not fit, a text belongs to no image, an image has no text, or a k is
            not positive.

    Example:
        >>> recall_at(torch.tensor([[0.9, 0.1, 0.3], [0.8, 0.2, 0.4]]), torch.tensor([0, 1, 1]), ranks=(1, 2))
        {'text_recall@1': 0.5, 'image_recall@1': 1.0, 'text_recall@2': 1.0, 'image_recall@2': 1.0}
    """
    require_kind("scores", scores, Tensor)
    require_kind("image_of_text", image_of_text, Tensor)
    if scores.dim() != 2 or image_of_text.shape != scores.shape[1:]:
        raise ValueError(
            "`scores` must be (images, texts), and `image_of_text` (texts,); "
            f"got {tuple(scores.shape)} and {tuple(image_of_text.shape)}."
        )
    if image_of_text.is_floating_point() or image_of_text.dtype == torch.bool:
        raise ValueError(f"`image_of_text` must be whole numbers; got {image_of_text.dtype}.")
    if bool(scores.isnan().any()):
        image, text = scores.isnan().nonzero()[0].tolist()
        raise ValueError(f"`scores` must be numbers; that of image {image} and text {text} is NaN.")
    if not (len(ranks) and all(Whole().accepts(k) for k in ranks)):
        raise ValueError(f"`ranks` must be whole numbers from 1 up; got {list(ranks)}.")
    num_images = len(scores)
    if not bool(((image_of_text >= 0) & (image_of_text < num_images)).all()):
        raise ValueError(
            f"`image_of_text` must be from 0 to {num_images - 1}; some texts belong to no image."
        )
    belongs = image_of_text == torch.arange(num_images, device=scores.device)[:, None]  # (images, texts)
    if not bool(belongs.any(1).all()):
        raise ValueError("every image must have a text in `image_of_text`; some have none.")
    text_order = scores.argsort(dim=1, descending=True, stable=True)
    image_order = scores.argsort(dim=0, descending=True, stable=True)
    recall: dict[str, float] = {}
    for k in ranks:
        texts = belongs.gather(1, text_order[:, :k]).any(1)
        images = belongs.gather(0, image_order[:k]).any(0)
        recall[f"text_recall@{k}"] = float(texts.double().mean())
        recall[f"image_recall@{k}"] = float(images.double().mean())
    return recall
