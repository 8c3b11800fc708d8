"""What contrastive training needs: a queue of features, soft targets, and hard negatives.

Legend: B examples, Q queued features, D width of the features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

_NO_IMAGE = -100


@dataclass(frozen=True, slots=True)
class Features:
    """Features of pairs, each of length 1.

    Args:
        image: (batch, D).
        text: (batch, D).
    """

    image: Float[Tensor, "batch features"]
    text: Float[Tensor, "batch features"]


class Queue(nn.Module):
    """The features of the latest batches, of all ranks, in a ring.

    Args:
        width: Of the features.
        size: Number of pairs kept.
    """

    image: Tensor
    text: Tensor
    image_ids: Tensor
    place: Tensor

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.register_buffer("image", functional.normalize(torch.randn(width, size), dim=0))
        self.register_buffer("text", functional.normalize(torch.randn(width, size), dim=0))
        self.register_buffer("image_ids", torch.full((1, size), _NO_IMAGE))
        self.register_buffer("place", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def add(self, features: Features, image_ids: Int[Tensor, " batch"]) -> None:
        """Put pairs in the place of the oldest."""
        image, text, ids = (_of_all_ranks(part) for part in (features.image, features.text, image_ids))
        size = self.image.shape[1]
        places = (self.place + torch.arange(len(ids), device=ids.device)) % size
        self.image[:, places], self.text[:, places] = image.T.to(self.image.dtype), text.T.to(self.text.dtype)
        self.image_ids[0, places] = ids
        self.place.copy_((self.place + len(ids)) % size)


def contrastive_loss(
    features: Features,
    momentum: Features,
    queue: Queue,
    image_ids: Int[Tensor, " batch"],
    temperature: Float[Tensor, ""],
    alpha: float,
) -> Float[Tensor, ""]:
    """BLIP's image-text contrastive loss (Li et al., 2022, after ALBEF, 2021).

    Every image is compared with the momentum encoder's features of all texts, of this batch and of the queue, and every
    text likewise. The targets are, for a share of `alpha`, what the momentum encoder itself finds, and for the rest all
    pairs with the same image alike.

    Args:
        features: Of the batch, by the encoder that is trained.
        momentum: The same by the momentum encoder.
        queue: Earlier ones by the momentum encoder.
        image_ids: (batch,) numbers of the images.
        temperature: By which similarities are divided.
        alpha: Share of the momentum encoder's own opinion.
    """
    text = torch.cat([momentum.text.T, queue.text.clone()], dim=1)  # (D, B + Q)
    image = torch.cat([momentum.image.T, queue.image.clone()], dim=1)
    ids = torch.cat([image_ids, queue.image_ids[0]])
    same = (image_ids[:, None] == ids).to(text.dtype)
    alike = same / same.sum(1, keepdim=True)
    losses: list[Tensor] = []
    for query, slow, keys in ((features.image, momentum.image, text), (features.text, momentum.text, image)):
        with torch.no_grad():
            targets = alpha * (slow @ keys / temperature).softmax(1) + (1 - alpha) * alike
        losses.append(-((query @ keys / temperature).log_softmax(1) * targets).sum(1).mean())
    return (losses[0] + losses[1]) / 2


@torch.no_grad()
def hard_negatives(
    similarity: Float[Tensor, "batch batch"],
    image_ids: Int[Tensor, " batch"],
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """Draw a false image for each text, and a false text for each image: the more alike, the likelier.

    Args:
        similarity: (images, texts) over the temperature.
        image_ids: (batch,) numbers of the images; pairs with the same one are not false.
        generator: Source of randomness.

    Returns:
        (batch,) a row's false image; (batch,) a row's false text.

    Raises:
        ValueError: If all pairs have the same image, so that nothing is false.
    """
    same = image_ids[:, None] == image_ids
    # looking at values would break a graph
    if not torch.compiler.is_compiling() and bool(same.all(1).any()):
        raise ValueError(
            "a batch must have at least two different images, since false pairs are drawn from it; got "
            f"`image_ids` {image_ids.tolist()}."
        )
    texts = similarity.softmax(1).masked_fill(same, 0.0)
    images = similarity.T.softmax(1).masked_fill(same, 0.0)
    # Where all false ones are so unlike that their chances vanish, each is as good as another.
    texts, images = (
        torch.where(chances.sum(1, keepdim=True) > 0, chances, (~same).to(chances.dtype))
        for chances in (texts, images)
    )
    return (
        torch.multinomial(images, 1, generator=generator)[:, 0],
        torch.multinomial(texts, 1, generator=generator)[:, 0],
    )


def _of_all_ranks(part: Tensor) -> Tensor:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return part
    parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts)
