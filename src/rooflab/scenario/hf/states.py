"""State-space mixers under the key names of the families that have them."""

from __future__ import annotations

from rooflab.scenario.hf.config import HIDDEN, Config
from rooflab.scenario.model import StateSpace

__all__ = ["mamba1", "mamba2"]


def mamba2(c: Config) -> StateSpace:
    """A Mamba-2 mixer under the key names of Nemotron-H, Mamba-2, Bamba and Falcon-H1."""
    heads = c.count("mamba_num_heads", "mamba_n_heads", "num_heads")
    if c.data.get("mamba_d_head") == "auto":
        head_dim = c.count("mamba_expand", default=2) * c.count(*HIDDEN) // heads
    else:
        head_dim = c.count("mamba_head_dim", "mamba_d_head", "head_dim")
    return StateSpace(
        heads=heads,
        head_dim=head_dim,
        state=c.count("ssm_state_size", "mamba_d_state", "state_size"),
        groups=c.count("n_groups", "mamba_n_groups", default=1),
        conv=c.count("conv_kernel", "mamba_d_conv", default=4),
        conv_bias=c.flag("use_conv_bias", c.flag("mamba_conv_bias", True)),
        gated_norm=c.flag("mamba_rms_norm", True),
        bias=c.flag("mamba_proj_bias", c.flag("use_bias")),
    )


def mamba1(c: Config) -> StateSpace:
    """A Mamba-1 mixer under the key names of Mamba and Jamba."""
    hidden = c.count(*HIDDEN)
    inner = c.count("d_inner", "mamba_inner", default=c.count("expand", "mamba_expand", default=2) * hidden)
    named = c.value("time_step_rank", "mamba_dt_rank")[1]
    rank = -(-hidden // 16) if named in (None, "auto") else c.count("time_step_rank", "mamba_dt_rank")
    return StateSpace(
        heads=inner,
        head_dim=1,
        state=c.count("state_size", "mamba_d_state", default=16),
        groups=1,
        conv=c.count("conv_kernel", "mamba_d_conv", default=4),
        conv_bias=c.flag("use_conv_bias", c.flag("mamba_conv_bias", True)),
        bias=c.flag("mamba_proj_bias", c.flag("use_bias")),
        dt_rank=rank,
        inner_norms=c.text("model_type") == "jamba",
    )
