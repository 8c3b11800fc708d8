"""The one way to load saved models, encoders, tokenizers and processors, from a folder or the Hugging Face hub.

Nothing that is loaded runs code of its own, is laid out before its size is known, or gets a weight that its file does
not have. What is wrong is a `LoadingError`, whose message is one sentence for the user.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.integrations.fsdp import is_fsdp_enabled
from transformers.utils import logging
from transformers.utils.hub import TRANSFORMERS_DYNAMIC_MODULE_NAME
from typing_extensions import override

from vkood.fields import Optional, Whole, require_fields
from vkood.files import FileProblem, inner_model, open_regular, read_json_object
from vkood.models.card import WithCard
from vkood.models.fields import MAX_IMAGE_SIZE, reason, require_plausible

Source = str | Path

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""In the order in which `from_pretrained` looks for them; it reads the first that is there."""
ADAPTER_CONFIG = "adapter_config.json"
_TOKENIZER_FILES = ("config.json", "tokenizer_config.json")
_IMAGE_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
PROCESSOR_FILES = ("video_preprocessor_config.json", *_TOKENIZER_FILES, *_IMAGE_FILES)
_HUB_FILES: tuple[str, ...] = ("*.json", "*.txt", "*.model", "model*.safetensors")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")

_MAX_CONFIG_BYTES = 64 * 2**20
_MAX_NEW_PARAMETERS = 10**9
"""Weights that are new are few: fusion, gate and heads. 10^9 of them take 4 GB before training begins."""
_UNREAD = re.compile(r"(^|\.)(pooler|head)\.|\.num_batches_tracked$")
"""What an encoder may lack: weights that make one vector of its tokens, and counters, which nothing here uses."""
_COUNTER = re.compile(r"\.num_batches_tracked$")

RENAMED = {"BlipVkoodForQuestionAnswering": "BlipVkoodForVisualQuestionAnswering"}
"""Classes that saved models may name by an earlier name."""


class LoadingError(ValueError):
    """A model, encoder, tokenizer or processor cannot be loaded."""


def load_config(source: Source, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Load the configuration of a model or encoder.

    Args:
        source: Folder, or name on the hub.
        trust_remote_code: Whether code that the folder brings may run.

    Raises:
        LoadingError: If there is none, it is damaged, or it asks for code of its own.
    """
    folder = local_folder(source, weights=False, code=trust_remote_code)
    require_no_code(folder, ("config.json",), trust_remote_code=trust_remote_code)
    with problems(f"The configuration of the model in {str(folder)!r} is damaged"):
        values = _json(folder / "config.json")
        require_plausible(values)
        if values.get("quantization_config"):
            raise ValueError(
                "`quantization_config` must not be there, since vkood loads no quantized weights."
            )
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)


def load_tokenizer(
    source: Source, *, trust_remote_code: bool = False, config: PreTrainedConfig | None = None
) -> Any:
    """Load a tokenizer; arguments as for `load_config`.

    Args:
        source: Folder, or name on the hub.
        trust_remote_code: Whether code that the folder brings may run.
        config: The model's, if it is known already.

    Raises:
        LoadingError: If there is none, it is damaged, or it asks for code of its own.
    """
    folder = local_folder(source, weights=False, code=trust_remote_code)
    require_no_code(folder, _TOKENIZER_FILES, trust_remote_code=trust_remote_code)
    with problems(f"The tokenizer in {str(folder)!r} is missing or damaged"):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=trust_remote_code
        )
        try_tokenizer(tokenizer)
        return tokenizer


def load_image_processor(source: Source, *, trust_remote_code: bool = False) -> Any:
    """Load what prepares images for an image tower; arguments as for `load_config`.

    Raises:
        LoadingError: If there is none, it is damaged, or it asks for code of its own.
    """
    folder = local_folder(source, weights=False, code=trust_remote_code)
    require_no_code(folder, _IMAGE_FILES, trust_remote_code=trust_remote_code)
    with problems(f"The image processor in {str(folder)!r} is missing or damaged"):
        processor = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
        try_image_processor(processor)
        return processor


def try_tokenizer(tokenizer: Any) -> None:
    """Tokenize a batch, which shows what is wrong with a tokenizer's fields, whichever they are.

    Raises:
        Exception: Any, if it cannot; use it within `problems`.
    """
    if tokenizer.pad_token_id is None:
        raise ValueError("it has no padding token.")
    if len(tokenizer) <= len(
        set(tokenizer.all_special_ids)
    ):  # what `transformers` makes of a missing vocabulary
        raise ValueError("it has special tokens alone: its vocabulary is missing.")
    # `transformers` says 10^30 for "without limit".
    require_fields({"model_max_length": tokenizer.model_max_length}, {"model_max_length": Whole(1, 10**31)})
    tokenizer(["a", "a b"], padding=True, truncation=True, max_length=8)


def try_image_processor(processor: Any) -> None:
    """Prepare a blank image, which shows what is wrong with an image processor's fields, whichever they are.

    Raises:
        Exception: Any, if it cannot; use it within `problems`.
    """
    for name in ("size", "crop_size"):
        sides = dict(getattr(processor, name, None) or {})
        require_fields(sides, dict.fromkeys(sides, Optional(Whole(1, MAX_IMAGE_SIZE))), f"{name}.")
    with np.errstate(all="ignore"):
        pixels = processor([Image.new("RGB", (8, 8))], return_tensors="pt")["pixel_values"]
    if not bool(torch.as_tensor(pixels).isfinite().all()):
        raise ValueError("it makes values of a blank image that are NaN or infinite.")


def load_encoder(
    source: Source,
    config: PreTrainedConfig | None = None,
    *,
    trust_remote_code: bool = False,
    kind: Any = AutoModel,
) -> Any:
    """Load a pretrained image or text encoder with all its weights, in eval mode.

    Only the layer that would pool its tokens to one vector may be missing, since nothing here uses it.

    Args:
        source: Folder, or name on the hub.
        config: The encoder's configuration, if another than the one in the folder, or a part of it.
        trust_remote_code: Whether code that the folder brings may run.
        kind: Another of `transformers`' auto classes, for a whole model of that kind: nothing of it may be missing.

    Raises:
        LoadingError: If a weight is missing, of another shape, NaN or infinite, or the folder is otherwise damaged.
    """
    folder = local_folder(source, code=trust_remote_code)
    if config is None:
        config = load_config(folder, trust_remote_code=trust_remote_code)
    require_no_code(folder, ("config.json",), trust_remote_code=trust_remote_code)

    def load(**options: Any) -> Any:
        return kind.from_pretrained(
            folder, config=config, trust_remote_code=trust_remote_code, local_files_only=True, **options
        )

    def lay_out() -> nn.Module:
        return kind.from_config(config, trust_remote_code=trust_remote_code)

    may_lack = (_UNREAD if kind is AutoModel else _COUNTER).search
    model, _ = _strictly_loaded(load, lay_out, folder, may_lack=may_lack)
    return model


def load_model(source: Source) -> PreTrainedModel:
    """Load a saved model of ours, of whatever class it was saved as, with exactly the weights of its folder.

    Args:
        source: Folder, or name on the hub.

    Returns:
        The model, in eval mode.

    Raises:
        LoadingError: If it is no model of ours, or a weight is missing, left over, of another shape, NaN or infinite.
    """
    folder = local_folder(source)
    if hint := inner_model(folder):
        raise LoadingError(f"There is no model in {str(folder)!r}.{hint}")
    names = _json(folder / "config.json").get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    kind = _own_class(name)
    if kind is None:
        raise LoadingError(
            f"The model in {str(folder)!r} is of the class {'unknown' if name is None else repr(name)}, which is "
            "none of vkood's."
        )
    model, report = kind.from_pretrained(folder, output_loading_info=True)
    if left := report["unexpected_keys"]:
        raise LoadingError(
            f"The weights in {str(folder)!r} do not fit its config.json: they have beyond the model's {len(left)} "
            f"tensors, such as {min(left)!r}."
        )
    return model


def _own_class(name: Any) -> type[StrictlyLoadedModel] | None:
    """The class of ours that `architectures` names, if it is one."""
    import vkood.models

    kind: Any = getattr(vkood.models, RENAMED.get(name, name), None) if isinstance(name, str) else None
    return kind if isinstance(kind, type) and issubclass(kind, StrictlyLoadedModel) else None


def _saved_as(config: Any) -> type[StrictlyLoadedModel] | None:
    """The class that a model with this configuration was saved as, if it is one of ours."""
    names = getattr(config, "architectures", None)
    return _own_class(names[0]) if isinstance(names, list) and names else None


class StrictlyLoadedModel(WithCard, PreTrainedModel):
    """A model whose `from_pretrained` makes up no weights."""

    @override
    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - stricter
        cls,
        pretrained_model_name_or_path: Source | None,
        *model_args: Any,
        config: PreTrainedConfig | Source | None = None,
        new_weights: Collection[str] = (),
        output_loading_info: bool = False,
        trust_remote_code: bool | None = False,
        **options: Any,
    ) -> Any:
        """Load a saved model; every weight comes from its folder, or loading fails and names those that do not.

        Args:
            pretrained_model_name_or_path: Folder, or name on the hub.
            model_args: As `transformers` has it.
            config: The configuration, if another than the one in the folder.
            new_weights: Parts that may be new, by name, such as "answer_head" or "vkood.outlier_layer": those of
                their weights that the folder lacks, or has in another shape, are drawn at random.
            output_loading_info: Whether to return also which weights are new or left over.
            trust_remote_code: Whether code that the folder brings may run; none of ours needs any.
            options: As `transformers` has them.

        Raises:
            LoadingError: If a weight is missing, of another shape, NaN or infinite, and its part is not in
                `new_weights`; or if the folder is missing or otherwise damaged.
        """
        new = tuple(new_weights)
        options.pop(
            "ignore_mismatched_sizes", None
        )  # what has another shape is new, and must be in `new_weights`
        folder = pretrained_model_name_or_path
        if folder is not None:
            hub = {key: options.pop(key) for key in ("revision", "token", "cache_dir") if key in options}
            folder = local_folder(folder, **hub)
            require_no_code(folder, PROCESSOR_FILES, trust_remote_code=bool(trust_remote_code))
            if not isinstance(config, PreTrainedConfig):
                config, options = _own_config(cls, folder if config is None else config, options)
        saved_as = _saved_as(config)

        def load(**more: Any) -> Any:
            return super(StrictlyLoadedModel, cls).from_pretrained(
                folder,
                *model_args,
                config=config,
                trust_remote_code=bool(trust_remote_code),
                **options,
                **more,
            )

        def lay_out() -> nn.Module:
            return cls(copy.deepcopy(config), *model_args)  # pyright: ignore[reportArgumentType] - known by now

        model, report = _strictly_loaded(
            load,
            lay_out,
            folder,
            may_lack=lambda name: _is_part(name, new),
            saved_as="" if saved_as is None or issubclass(saved_as, cls) else saved_as.__name__,
        )
        return (model, report) if output_loading_info else model


def local_folder(source: Source, *, weights: bool = True, code: bool = False, **hub: Any) -> Path:
    """The folder that a source is: itself, or where the files of a hub name lie on this machine.

    Args:
        source: Folder, or name on the hub, whose files are downloaded unless they are here already.
        weights: Whether weights are needed too.
        code: Whether Python files are needed too.
        hub: `revision`, `token` and `cache_dir`, as `huggingface_hub` has them.

    Raises:
        LoadingError: If there is no such folder, and it is no name that the hub has.
    """
    name = os.fspath(source)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    if name and folder.exists():
        raise LoadingError(f"{name!r} must be a folder of a model or a name on the hub, but is a file.")
    if not _HUB_NAME.fullmatch(name):
        raise LoadingError(
            f"There is no folder {name!r}; and no model and no encoder on the hub can have this name."
        )
    if "/" in name and folder.parent.is_dir():
        raise LoadingError(f"There is no {folder.name!r} in the folder {str(folder.parent)!r}.")
    from huggingface_hub import snapshot_download

    files = [*(_HUB_FILES if weights else _HUB_FILES[:-1]), *(["*.py"] if code else [])]
    try:
        downloaded = Path(snapshot_download(name, allow_patterns=files, ignore_patterns=["*/*"], **hub))
        if weights and not any((downloaded / file).is_file() for file in WEIGHTS):
            snapshot_download(name, allow_patterns=["pytorch_model*"], ignore_patterns=["*/*"], **hub)
    except Exception as error:  # the network fails in as many ways as there are layers
        raise LoadingError(
            f"There is no folder {name!r}, and no model of this name on this machine or, as far as it can be reached, "
            f"on the hub ({type(error).__name__})."
        ) from error
    return downloaded


def is_remote(config: PreTrainedConfig) -> bool:
    """Whether a configuration is of a class that its folder brought, whose code was trusted when it was loaded."""
    return type(config).__module__.startswith(f"{TRANSFORMERS_DYNAMIC_MODULE_NAME}.")


def require_finite(tensors: Iterable[tuple[str, torch.Tensor]], where: str) -> None:
    """Refuse weights that are NaN or infinite.

    Args:
        tensors: Names and tensors.
        where: Where they come from, for the error.

    Raises:
        LoadingError: It names the first.
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and not tensor.is_meta and not bool(tensor.isfinite().all()):
            raise LoadingError(
                f"The weights in {where} are damaged: {name!r} has {int((~tensor.isfinite()).sum()):,} values "
                f"of {tensor.numel():,} that are NaN or infinite."
            )


def require_size(lay_out: Callable[[], nn.Module], *, known: int = 0, where: str = "") -> None:
    """Refuse a model that is too large, before it takes any memory.

    Args:
        lay_out: Makes the model; called where tensors have shapes alone.
        known: How many weights there are already, in files: as many more may be new.
        where: What describes the model, for the error.

    Raises:
        LoadingError: If it would have many more weights than are known.
    """
    with torch.device("meta"), _quiet():
        parameters = {id(parameter): parameter.numel() for parameter in lay_out().parameters()}
    if (total := sum(parameters.values())) > 2 * known + _MAX_NEW_PARAMETERS:
        raise LoadingError(
            f"{where or 'The configuration'} describes a model of {total:,} weights, of which "
            f"{f'its files have {known:,}' if known else 'all are new'}; at most {_MAX_NEW_PARAMETERS:,} may be new."
        )


def _strictly_loaded(
    load: Callable[..., Any],
    lay_out: Callable[[], nn.Module],
    folder: Path | None,
    *,
    may_lack: Callable[[str], Any],
    saved_as: str = "",
) -> tuple[Any, dict[str, Any]]:
    """A model and the report on its weights, after every check; `saved_as` is the class of the weights, if another."""
    where = "the state dict" if folder is None else repr(str(folder))
    stored: dict[str, torch.Tensor] = {}
    if folder is not None:
        _require_no_adapter(folder)
        stored = _stored(folder)
        known = sum(tensor.numel() for tensor in stored.values())
        with problems(f"The configuration of the model in {where} is damaged"):
            require_size(lay_out, known=known, where=f"The configuration in {where}")
    with problems(f"The weights in {where} are missing or damaged"), _quiet():
        model, report = load(output_loading_info=True, ignore_mismatched_sizes=True)
    mismatch = f"The weights in {where} do not fit its config.json"
    if saved_as:
        mismatch = (
            f"The model in {where} was saved as a {saved_as}: load it by `vkood.load_model({where})`, which takes that "
            f"class. Its weights do not fit {type(model).__name__}"
        )
    _require_complete(report, mismatch, may_lack)
    _require_floating(model, stored, where)
    # Under FSDP other processes than the first get their weights later, from it.
    if not (is_fsdp_enabled() and os.environ.get("LOCAL_RANK", "0") != "0"):
        require_finite(model.state_dict().items(), where)
    return model, report


def _require_complete(report: Mapping[str, Any], mismatch: str, may_lack: Callable[[str], Any]) -> None:
    missing = sorted(name for name in report["missing_keys"] if not may_lack(name))
    others = sorted(
        (name, tuple(stored), tuple(expected)) for name, stored, expected in report["mismatched_keys"]
    )
    others = [mismatch for mismatch in others if not may_lack(mismatch[0])]
    if missing:
        more = "" if len(missing) == 1 else f" and {len(missing) - 1:,} more"
        raise LoadingError(
            f"{mismatch}: they lack {len(missing):,} of the model's tensors, {missing[0]!r}{more}."
        )
    if others:
        name, stored, expected = others[0]
        more = "" if len(others) == 1 else f", and {len(others) - 1:,} more are of another shape too"
        raise LoadingError(f"{mismatch}: {name!r} is {stored} where the model has {expected}{more}.")


def _own_config(cls: Any, source: Source, options: dict[str, Any]) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The configuration of a model of a class of ours, changed by those options that are fields; and the others."""
    config = load_config(source)
    if not isinstance(config, cls.config_class):
        raise LoadingError(
            f"The model in {str(source)!r} is a {config.model_type!r}, not a {cls.config_class.model_type!r} as "
            f"{cls.__name__} is."
        )
    with problems(f"The configuration of the model in {str(source)!r} is damaged"):
        return cls.config_class.from_pretrained(
            source, return_unused_kwargs=True, local_files_only=True, **options
        )


def _is_part(name: str, parts: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def number_of_weights(source: Source) -> int:
    """How many numbers the weights' files of a folder or hub name hold, by their headers.

    Raises:
        LoadingError: If there are none, or they are damaged or outside the folder.
    """
    return sum(tensor.numel() for tensor in _stored(local_folder(source)).values())


def _stored(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a folder's weights by name, with shapes and types alone."""
    first = next((name for name in WEIGHTS if (folder / name).exists()), None)
    if first is None:
        raise LoadingError(
            f"The weights in {str(folder)!r} are missing or damaged: there is none of {', '.join(WEIGHTS)}."
        )
    files = {first}
    with problems(f"The weights in {str(folder)!r} are missing or damaged"):
        if first.endswith(".index.json"):
            files = set(_json(folder / first)["weight_map"].values())
            if outside := sorted(str(name) for name in files if Path(str(name)).name != name):
                raise ValueError(f"{first} names {outside[0]!r}, which is not a file beside it.")
        stored: dict[str, torch.Tensor] = {}
        for name in files:
            open_regular(folder / name, what="weights").close()
            stored |= (_headers if name.endswith(".safetensors") else _pickled)(folder / name)
    return stored


def _headers(file: Path) -> dict[str, torch.Tensor]:
    def empty(part: Any) -> torch.Tensor:
        # BF16, F32, F8_E4M3, ... are floating-point; BOOL, I64, U8, ... are not.
        floating = part.get_dtype().startswith(("BF", "F"))
        return torch.empty(part.get_shape(), device="meta", dtype=torch.float32 if floating else torch.int64)

    with safe_open(file, framework="pt") as opened:
        return {name: empty(opened.get_slice(name)) for name in opened.keys()}  # noqa: SIM118 - not a mapping


def _pickled(file: Path) -> dict[str, torch.Tensor]:
    from vkood.models.convert.reading import read_checkpoint

    content = read_checkpoint(file).items()
    return {name: value.to("meta") for name, value in content if isinstance(value, torch.Tensor)}


def _require_floating(model: nn.Module, stored: Mapping[str, torch.Tensor], where: str) -> None:
    """Refuse weights that the file has as whole numbers, which loading would convert."""
    integers = [name for name, tensor in stored.items() if not tensor.is_floating_point()]
    if not integers:
        return
    weights = [name for name, tensor in model.state_dict().items() if tensor.is_floating_point()]
    for name in integers:
        # `transformers` renames some towers' weights as it loads them: their last part remains.
        is_weight = name.endswith((".weight", ".bias")) or any(
            # With or without the name of the part that a model is of, such as "bert."
            f".{name}".endswith(f".{weight}") or f".{weight}".endswith(f".{name}")
            for weight in weights
        )
        if is_weight:
            raise LoadingError(
                f"The weights in {where} are damaged: {name!r} holds whole numbers or truth values, which no "
                "layer here takes."
            )


def _json(file: Path) -> dict[str, Any]:
    try:
        return read_json_object(file, what="configuration", max_bytes=_MAX_CONFIG_BYTES)
    except FileProblem as error:
        raise LoadingError(str(error)) from None


def require_no_code(folder: Path, files: Iterable[str], *, trust_remote_code: bool) -> None:
    """Refuse a folder that wants code run which is not `transformers`' own, in whatever part of a configuration."""
    if trust_remote_code:
        return
    for name in dict.fromkeys(files):
        if not (folder / name).exists():
            continue
        for key, value in _items(_json(folder / name)):
            kernel = key.endswith(("attn_implementation", "experts_implementation")) and "/" in str(value)
            if kernel or (key == "auto_map" and value and not isinstance(value, int | float)):
                raise LoadingError(
                    f"{str(folder / name)!r} asks for code of its own (`{key}`), which vkood does not run: take a "
                    "model that `transformers` itself knows, or load it in Python with `trust_remote_code=True` if "
                    "you have read that code."
                )


def _items(values: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values, at whatever depth."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key, value
            yield from _items(value)
    elif isinstance(values, list):
        for value in values:
            yield from _items(value)


def _require_no_adapter(folder: Path) -> None:
    if (folder / ADAPTER_CONFIG).exists():
        raise LoadingError(
            f"{str(folder)!r} holds an adapter ({ADAPTER_CONFIG}), not a whole model: merge it into its model "
            "(`merge_and_unload` of peft) and save that."
        )


@contextmanager
def problems(what: str) -> Iterator[None]:
    """Turn whatever a foreign file causes into one sentence: damage shows in as many ways as there are fields."""
    try:
        yield
    except LoadingError:
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the tokenizers library is no Exception
        raise LoadingError(f"{what}: {reason(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep `transformers`' reports and bars away: what matters in a report is an error here, and loading is short."""
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
