"""A deployment of parts, written flat."""

from __future__ import annotations

import pytest

import rooflab as rl
from rooflab.errors import InputError
from rooflab.scenario.deployment import DEPLOYMENT_READERS, PART_OF, Deployment, held, priced, read_deployment


def test_every_field_has_one_part_and_one_reader() -> None:
    assert set(PART_OF) == set(DEPLOYMENT_READERS) == set(Deployment().flat())
    assert set(PART_OF.values()) == {"runtime", "split", "formats", "limits", "cluster"}


def test_flat_names_make_and_change_parts() -> None:
    made = Deployment.of(engine="vllm", tp=4, weights="fp8", max_num_seqs=64, replicas=2)
    assert made == read_deployment({"engine": "vLLM", "tp": 4, "weights": "fp8", "max_num_seqs": 64, "replicas": 2})
    assert (made.split.tp, made.limits.max_num_seqs, made.devices) == (4, 64, 8)
    changed = made.changed(tp=2, kv="fp8")
    assert Deployment.of(**changed.flat()) == changed
    assert (changed.split.tp, changed.formats.weights, changed.formats.kv) == (2, "fp8", "fp8")
    assert changed.limits is made.limits
    with pytest.raises(TypeError, match="no field 'tpp'"):
        made.changed(tpp=2)


def test_errors_name_the_flat_field() -> None:
    with pytest.raises(InputError, match=r"deployment.tp: 0 is too small"):
        read_deployment({"tp": 0})
    with pytest.raises(InputError, match="max_num_seqs"):
        read_deployment({"max_num_seq": 1})


def test_a_price_knows_nothing_of_scheduler_and_cluster_and_an_account_nothing_of_the_cluster() -> None:
    made = Deployment.of(engine="vllm", tp=4)
    assert priced(made) == priced(made.changed(max_num_seqs=1, policy="lifo", replicas=3))
    assert held(made) == held(made.changed(router="least-loaded", replicas=3))
    assert held(made) != held(made.changed(max_num_seqs=1))


def test_more_devices_than_layers_can_use_cost_no_time() -> None:
    """No list as long as the hardware is made."""
    s = rl.load({"model": "Llama-3.1-8B", "hardware": {"device": "h100-sxm", "count": 10**20}, "workload": {"rate": 1}})
    assert rl.estimate(s).scenario.deployment.split.pp == 1
