"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.core.errors import SaqEvalError
from saq_eval.data import Dataset
from saq_eval.networks.modules import channels_last
from saq_eval.quantization import ACTIVATION_QUANTIZERS, PACTActivation, SignedPACT
from saq_eval.training.checkpoints import Checkpoint, Epoch
from saq_eval.training.precision import fast_precision
from saq_eval.training.recipes import Recipe
from saq_eval.training.saliency_guided import saliency_guided_loss


def fit(
    network: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    on_step: Callable[[int], object] = lambda steps: None,
    checkpoint: Checkpoint | None = None,
) -> list[Epoch]:
    """Train a network in place and leave it in eval mode.

    The order of the images, augmentation, masking noise and dropout depend only on `seed` and the epoch's
    number. So a run resumed from a checkpoint gives the same network as an uninterrupted run.

    Args:
        network: a network in training form.
        dataset: the training split.
        recipe: the recipe; for its precision "auto", the precision that is fast on the processor is used.
        on_step: called with the number of batches since the last call; the numbers add up to `recipe.epochs ·
            steps_per_epoch(dataset, recipe)`. A resumed run first reports all batches of the earlier run.
        checkpoint: the file that keeps the progress after each epoch; `None` keeps no progress.

    Returns:
        One record per epoch.

    Raises:
        SaqEvalError: if the loss is no longer finite, or a clip is no longer above 0.
    """
    if recipe.precision == "auto":
        recipe = replace(recipe, precision=fast_precision(device))
    steps = steps_per_epoch(dataset, recipe)
    channels_last(network.to(device))
    optimizer = torch.optim.SGD(
        _parameter_groups(network, recipe), lr=recipe.learning_rate, momentum=0.9, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=steps * recipe.epochs, pct_start=0.2
    )
    stateful = {"network": network, "optimizer": optimizer, "schedule": schedule}
    history = checkpoint.restore(stateful, device) if checkpoint else []
    if not history:
        _start_clips(network, dataset.images[:1024].to(device), recipe)
    on_step(steps * len(history))
    with torch.random.fork_rng():
        for epoch in range(len(history), recipe.epochs):
            history.append(_epoch(network, dataset, recipe, seed, epoch, optimizer, schedule, on_step))
            if checkpoint:
                checkpoint.save(stateful, history)
    network.eval()
    return history


def _epoch(
    network: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    on_step: Callable[[int], object],
) -> Epoch:
    torch.manual_seed(seed * 1_000_003 + epoch)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    device = next(network.parameters()).device
    network.train()
    total_loss, correct, seen = 0.0, 0, 0
    for images, labels in _batches(dataset, recipe, generator):
        images, labels = images.to(device), labels.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            if recipe.saliency_guided:
                loss, logits = saliency_guided_loss(network, images, labels, recipe.saliency_guided, generator)
            else:
                logits = network(images).float()
                loss = F.cross_entropy(logits, labels)
        if not torch.isfinite(loss):
            raise SaqEvalError(
                f"the training loss became {loss.item()} in epoch {epoch + 1}; try a lower learning rate"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total_loss += loss.item() * len(labels)
        correct += int((logits.argmax(dim=1) == labels).sum())
        seen += len(labels)
        on_step(1)
    _check_clips(network, epoch)
    return Epoch(round(total_loss / seen, 5), round(correct / seen, 5))


def steps_per_epoch(dataset: Dataset, recipe: Recipe) -> int:
    """Return the number of whole batches in the dataset; raises `SaqEvalError` if all epochs have fewer than 10 together."""
    steps = len(dataset) // recipe.batch_size
    if not steps:
        raise SaqEvalError(f"the batch size {recipe.batch_size} is above the training set's {len(dataset)} images")
    if steps * recipe.epochs < 10:
        raise SaqEvalError(
            f"the recipe makes {steps * recipe.epochs} steps on {len(dataset)} images; at least 10 are needed"
        )
    return steps


@torch.no_grad()
def start_clips_at_quantile(network: nn.Module, images: Tensor, quantile: float = 0.99) -> None:
    """Set each clip, in order of execution, to a quantile of its rectified input over `images`.

    For a `SignedPACT`, it is the quantile of the input's magnitude.
    """

    def set_clip(activation: PACTActivation | SignedPACT, inputs: tuple[Tensor]) -> None:
        if not inputs[0].isfinite().all():
            raise SaqEvalError("a clip cannot start at a quantile of activations that are not finite")
        # `torch.quantile` is not used, because it refuses more than 2^24 values.
        values = inputs[0].abs() if isinstance(activation, SignedPACT) else inputs[0].clamp(min=0)
        kth = max(1, round(quantile * values.numel()))
        activation.alpha.copy_(values.flatten().kthvalue(kth).values.clamp(min=1e-3))

    was_training = network.training
    network.eval()
    hooks = [activation.register_forward_pre_hook(set_clip) for activation in _clips(network)]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)


def _start_clips(network: nn.Module, images: Tensor, recipe: Recipe) -> None:
    if recipe.alpha_init == "quantile":
        start_clips_at_quantile(network, images)
    elif recipe.alpha_init != "calibrated":
        for activation in _clips(network):
            nn.init.constant_(activation.alpha, recipe.alpha_init)


def _check_clips(network: nn.Module, epoch: int) -> None:
    for name, module in network.named_modules():
        if isinstance(module, ACTIVATION_QUANTIZERS) and not 0 < module.alpha.item() < float("inf"):
            raise SaqEvalError(
                f"the clip of {name} became {module.alpha.item():.4g} in epoch {epoch + 1}, and is to stay above 0; try a "
                "lower learning rate or alpha_decay"
            )


def _clips(network: nn.Module) -> list[PACTActivation | SignedPACT]:
    return [module for module in network.modules() if isinstance(module, ACTIVATION_QUANTIZERS)]


def _parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict]:
    clips = [activation.alpha for activation in _clips(network)]
    others = [p for p in network.parameters() if not any(p is clip for clip in clips)]
    groups = [
        {"params": [p for p in others if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
        {"params": clips, "weight_decay": recipe.alpha_decay},
    ]
    return [group for group in groups if group["params"]]


def _batches(dataset: Dataset, recipe: Recipe, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(dataset), generator=generator)
    for chosen in order[: steps_per_epoch(dataset, recipe) * recipe.batch_size].split(recipe.batch_size):
        yield _augment(dataset.images[chosen], recipe, generator), dataset.labels[chosen]


def _augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    if recipe.flip:
        flipped = torch.rand(count, generator=generator) < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    if recipe.shift:
        padded = F.pad(images, (recipe.shift,) * 4)
        down, right = torch.randint(0, 2 * recipe.shift + 1, (2, count, 1), generator=generator)
        rows = (down + torch.arange(height))[:, None, :, None]
        columns = (right + torch.arange(width))[:, None, None, :]
        channel = torch.arange(images.shape[1])[None, :, None, None]
        images = padded[torch.arange(count)[:, None, None, None], channel, rows, columns]
    return images
