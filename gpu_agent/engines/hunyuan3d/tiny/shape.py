"""Tiny shape checkpoints: DiT, DINOv2 and VAE in one bundle, and a VAE of its own.

Random weights would give noise without a surface. The VAE's decoder is arranged so that its field
is ``4 * (cos pi x + cos pi y + cos pi z - 1.6)`` and a small term that depends on the latents:
positive in the middle, negative on the whole border, so exactly one closed blob, whose form still
follows picture, seed, steps and guidance. At 1.3 that term, larger with FlashVDM, reached the
border for 17 of 40 seeds, and the blob was cut open there; at 1.6 for none. The factor keeps the
field away from zero off the surface, which FlashVDM's search for cells near the surface relies on.
"""

import math
from pathlib import Path
from typing import Any

from gpu_agent.engines.hunyuan3d import libraries

_DIT = {
    "in_channels": 8,
    "context_in_dim": 32,
    "hidden_size": 32,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [16],
    "theta": 10_000,
    "qkv_bias": True,
}
_DINO = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "mlp_ratio": 4,
    "image_size": 28,
    "patch_size": 14,
    "num_channels": 3,
    "qkv_bias": True,
    "use_swiglu_ffn": True,
    "layerscale_value": 1.0,
}
_VAE = {
    "num_latents": 12,
    "embed_dim": 8,
    "width": 64,
    "heads": 2,
    "num_decoder_layers": 1,
    "num_freqs": 1,
    "include_pi": True,
    "qkv_bias": False,
    "qk_norm": True,
    "geo_decoder_ln_post": False,
    "scale_factor": 1.0,
}
_BASE_SCHEDULER = {
    "target": "hy3dgen.shapegen.schedulers.FlowMatchEulerDiscreteScheduler",
    "params": {"num_train_timesteps": 1000},
}
_TURBO_SCHEDULER = {
    "target": "hy3dgen.shapegen.schedulers.ConsistencyFlowMatchEulerDiscreteScheduler",
    "params": {"num_train_timesteps": 1000, "pcm_timesteps": 100},
}
_SHRINK = 1.6
"""Of the three cosines; larger is a smaller blob."""
_STEEPNESS = 4.0
_WOBBLE = 0.15
_CARRIED = slice(40, 64)
"""Channels of the decoder that hold nothing but what the latents say."""


def write_bundle(folder: Path, *, turbo: bool, seed: int) -> None:
    """Write a checkpoint as `from_pretrained` expects it.

    Args:
        folder: The subfolder of a published repository; made if need be.
        turbo: Few steps with embedded guidance, or many with classifier-free guidance.
        seed: Of the weights.
    """
    shapegen = libraries.shapegen()
    torch = libraries.torch()
    models = shapegen.pipelines.get_obj_from_str
    dit = _DIT | {"guidance_embed": turbo}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models("hy3dgen.shapegen.models.Hunyuan3DDiT")(**dit)
        parts = {
            "model": model.state_dict(),
            "vae": _vae_state(),
            "conditioner": {
                f"main_image_encoder.model.{name}": tensor
                for name, tensor in _dino_state().items()
            },
        }
    config = {
        "model": {"target": "hy3dgen.shapegen.models.Hunyuan3DDiT", "params": dit},
        "vae": {"target": "hy3dgen.shapegen.models.ShapeVAE", "params": _VAE},
        "conditioner": {
            "target": "hy3dgen.shapegen.models.SingleImageEncoder",
            "params": {
                "main_image_encoder": {
                    "type": "DinoImageEncoder",
                    "kwargs": {"config": _DINO, "image_size": _DINO["image_size"]},
                }
            },
        },
        "image_processor": {
            "target": "hy3dgen.shapegen.preprocessors.ImageProcessorV2",
            "params": {"size": 64},
        },
        "scheduler": _TURBO_SCHEDULER if turbo else _BASE_SCHEDULER,
    }
    tensors = {
        f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()
    }
    _write(folder, config, tensors)


def write_vae(folder: Path, *, seed: int) -> None:
    """Write a VAE of its own, as `enable_flashvdm` would fetch it.

    Args:
        folder: As for `write_bundle`.
        seed: Of the weights.
    """
    torch = libraries.torch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _write(folder, {"params": _VAE}, _vae_state())


def _vae_state() -> dict[str, Any]:
    torch = libraries.torch()
    model = libraries.shapegen().pipelines.ShapeVAE(**_VAE)
    decoder = model.geo_decoder
    block = decoder.cross_attn_decoder
    with torch.no_grad():
        # The embedding of a query is x, sin(pi x), cos(pi x); channel 0 sums up the cosines.
        project = decoder.query_proj
        project.weight[0] = torch.tensor([0.0] * 6 + [1.0] * 3)
        project.bias[0] = -_SHRINK
        project.weight[_CARRIED] = 0
        project.bias[_CARRIED] = 0
        # Nothing else may reach channel 0, and only the latents the carried channels.
        block.attn.c_proj.weight[0] = 0
        block.attn.c_proj.bias[0] = 0
        block.mlp.c_proj.weight.zero_()
        block.mlp.c_proj.bias.zero_()
        head = decoder.output_proj
        carried = head.weight[0, _CARRIED] * (_WOBBLE * math.sqrt(head.weight.shape[1]))
        head.weight.zero_()
        head.bias.zero_()
        head.weight[0, 0] = _STEEPNESS
        head.weight[0, _CARRIED] = carried * _STEEPNESS
    state: dict[str, Any] = model.state_dict()
    return state


def _dino_state() -> dict[str, Any]:
    """Give DINOv2's weights under the names that they were published with.

    Written by hand and not taken from the installed transformers: 5.18 renamed them, and a
    checkpoint with its names would hide that it can't load the published ones.
    """
    torch = libraries.torch()
    width = int(_DINO["hidden_size"])
    patches = (int(_DINO["image_size"]) // 14) ** 2
    hidden = (int(width * int(_DINO["mlp_ratio"]) * 2 / 3) + 7) // 8 * 8

    def linear(name: str, outward: int, inward: int) -> dict[str, Any]:
        weight = torch.randn(outward, inward) / math.sqrt(inward)
        return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(outward)}

    def norm(name: str) -> dict[str, Any]:
        return {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}

    state = {
        "embeddings.cls_token": torch.randn(1, 1, width),
        "embeddings.mask_token": torch.zeros(1, width),
        "embeddings.position_embeddings": torch.randn(1, patches + 1, width) * 0.1,
        "embeddings.patch_embeddings.projection.weight": torch.randn(width, 3, 14, 14) * 0.2,
        "embeddings.patch_embeddings.projection.bias": torch.zeros(width),
        **norm("layernorm"),
    }
    for number in range(int(_DINO["num_hidden_layers"])):
        layer = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            state |= linear(f"{layer}.attention.attention.{part}", width, width)
        state |= linear(f"{layer}.attention.output.dense", width, width)
        state |= linear(f"{layer}.mlp.weights_in", 2 * hidden, width)
        state |= linear(f"{layer}.mlp.weights_out", width, hidden)
        state |= norm(f"{layer}.norm1") | norm(f"{layer}.norm2")
        state[f"{layer}.layer_scale1.lambda1"] = torch.ones(width)
        state[f"{layer}.layer_scale2.lambda1"] = torch.ones(width)
    return state


def _write(folder: Path, config: dict[str, Any], tensors: dict[str, Any]) -> None:
    # Both come with the engine alone, and this module is imported without it too.
    import yaml
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    file = folder / "model.fp16.safetensors"
    save_file({name: t.half().contiguous() for name, t in tensors.items()}, file)
    # save_file makes it readable to its owner alone; the agent runs as another user.
    file.chmod(0o644)
