"""Masked pretraining: masks, what stays hidden, the decoder's size, the loss, and weights that go on to the network."""

from pathlib import Path

import pytest
import torch
from torch import nn

from nas.modules import TRAINING, Mode, NetworkModule, execute
from nas.pretrain.decoder import LightDecoder, hidden_loss
from nas.pretrain.masking import kept_cells, mask_at, random_masks
from nas.pretrain.training import PretrainSettings, load_pretrained, pretrain, save_pretrained
from nas.pretrain.visible import leak_test, pyramid_of, visible_maps
from nas.tasks.classification import classification
from nas.tasks.data import load_data
from search_spaces.catalog import mobile, resnet
from search_spaces.errors import NasError
from search_spaces.network import Network


def small(size: int = 8) -> Network:
    space = mobile(
        (1, size, size),
        10,
        resolutions=(size,),
        stem_width=8,
        widths=((8,), (16,)),
        depths=((1,), (2,)),
        strides=(2, 2),
        sparsities=(0.0,),
        se_ratio=0.25,
    )
    return space.build(space.repair({"stage0.block0.expand": 3, "stage1.block1.dilation": 2}))


def test_as_many_cells_stay_as_published() -> None:
    assert kept_cells(49, 0.6) == 20
    masks = random_masks(30, (7, 7), ratio=0.6, generator=torch.Generator().manual_seed(0))
    assert masks.shape == (30, 1, 7, 7)
    assert set(masks.flatten(1).sum(1).tolist()) == {20}
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 30
    wide = mask_at(masks, (56, 56))
    assert torch.equal(wide[:, :, ::8, ::8], masks)
    assert float(wide.float().mean()) == pytest.approx(20 / 49)
    with pytest.raises(NasError, match=r"a mask ratio of 0\.9 leaves 0 of 4 cells visible"):
        kept_cells(4, 0.9)


def test_the_pattern_dissolves_without_masking_again() -> None:
    layers = (1, 2, 4, 8)
    assert [leak_test(n, again=True) for n in layers] == [pytest.approx(20 / 49)] * 4
    dissolved = [leak_test(n, again=False) for n in layers]
    assert dissolved == pytest.approx([0.519, 0.624, 0.811, 1.0], abs=5e-4)


def test_hidden_positions_are_zero_at_every_resolution_and_tell_nothing() -> None:
    network = small(16)
    module = NetworkModule(network, seed=1)
    pyramid = pyramid_of(network)
    sizes = [network.nodes[i].shape[1:] for i in pyramid.nodes]
    assert sizes == [(8, 8), (4, 4)]
    generator = torch.Generator().manual_seed(0)
    mask = random_masks(6, (4, 4), ratio=0.6, generator=generator)
    x = torch.randn(6, 1, 16, 16, generator=generator)
    other = torch.where(mask_at(mask, (16, 16)), x, 7.0)
    found = []
    for images in (x, other):
        masked = images * mask_at(mask, (16, 16))
        found.append(visible_maps(network, module.weights(), masked, mask, pyramid, mode=Mode(batch_statistics=True)))
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)
        hidden = ~mask_at(mask, tuple(one.shape[2:])).expand_as(one)
        assert not one[hidden].any()
        assert one[~hidden].any()


def test_every_convolution_sees_zeros_where_hidden() -> None:
    network = small(16)
    module = NetworkModule(network, seed=1)
    generator = torch.Generator().manual_seed(0)
    mask = random_masks(3, (4, 4), ratio=0.6, generator=generator)
    x = torch.randn(3, 1, 16, 16, generator=generator) * mask_at(mask, (16, 16))
    from nas.pretrain.visible import Pyramid

    for index in range(pyramid_of(network).last + 1):
        if len(network.nodes[index].shape) == 3 and min(network.nodes[index].shape[1:]) > 1:
            (out,) = visible_maps(network, module.weights(), x, mask, Pyramid((index,)), mode=TRAINING)
            assert not out[~mask_at(mask, tuple(out.shape[2:])).expand_as(out)].any()


def test_statistics_are_those_of_visible_positions() -> None:
    from search_spaces import NetworkBuilder

    net = NetworkBuilder(lambda name, options: options[0])
    x = net.input(3, 8, 8)
    y = net.batch_norm(net.conv(x, 4, kernel=2, stride=2, padding=0, name="conv"), name="norm")
    network = net.finish(net.linear(net.flatten(net.global_pool(y)), 2))
    module = NetworkModule(network, seed=0)
    generator = torch.Generator().manual_seed(0)
    mask = random_masks(5, (4, 4), ratio=0.5, generator=generator)
    images = torch.randn(5, 3, 8, 8, generator=generator) * mask_at(mask, (8, 8))
    (map_,) = visible_maps(network, module.weights(), images, mask, pyramid_of(network), mode=TRAINING)
    rows = nn.functional.conv2d(images, module.weights()["conv"]["weight"], stride=2).movedim(1, -1)[mask[:, 0]]
    expected = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(map_.movedim(1, -1)[mask[:, 0]], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module.weights()["norm"]["running_mean"], 0.1 * rows.mean(0))


def test_without_a_mask_it_is_the_network_itself() -> None:
    network = small(16)
    module = NetworkModule(network, seed=1)
    pyramid = pyramid_of(network)
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    whole = Network(network.nodes, tuple((str(i), i) for i in pyramid.nodes), network.scopes)
    plain = execute(whole, module.weights(), x, mode=Mode(batch_statistics=True))
    for found, wanted in zip(
        visible_maps(network, module.weights(), x, mask, pyramid, mode=Mode(batch_statistics=True)),
        plain.values(),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("width", "millions"), [(256, 2.577), (512, 10.305), (768, 23.183)])
def test_the_decoder_is_as_large_as_published(width: int, millions: float) -> None:
    with torch.device("meta"):
        decoder = LightDecoder(width, 5, 3)
    assert sum(p.numel() for p in decoder.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


def test_only_hidden_patches_count() -> None:
    generator = torch.Generator().manual_seed(0)
    target, image = (torch.randn(2, 3, 8, 8, generator=generator) for _ in range(2))
    mask = random_masks(2, (2, 2), ratio=0.5, generator=generator)
    loss = hidden_loss(image, target, mask)
    visible = mask_at(mask, (8, 8))
    torch.testing.assert_close(hidden_loss(torch.where(visible, 5.0, image), target, mask), loss)
    torch.testing.assert_close(hidden_loss(image, 3 * target + 2, mask), loss, rtol=1e-3, atol=1e-4)
    by_hand = []
    for n in range(2):
        for cell in range(4):
            if not mask[n].flatten()[cell]:
                rows, columns = (slice(4 * k, 4 * k + 4) for k in divmod(cell, 2))
                wanted = target[n, :, rows, columns]
                wanted = (wanted - wanted.mean()) / (wanted.var() + 1e-6).sqrt()
                by_hand.append((image[n, :, rows, columns] - wanted).square().mean())
    torch.testing.assert_close(loss, torch.stack(by_hand).mean())


def test_pretrained_weights_fit_the_network_and_its_export(tmp_path: Path) -> None:
    from nas.export.load import dropped, fill, fresh_model, python_module
    from nas.export.source import model_source

    task = classification(load_data("digits"), validation_share=0.2)
    network = small()
    settings = PretrainSettings(epochs=2, batch_size=64, decoder_width=16, warmup_epochs=0.5)
    done = pretrain(network, task, settings)
    assert done.losses[1] < done.losses[0]
    again = pretrain(network, task, settings)
    assert all(torch.equal(t, again.weights[p][n]) for p, of in done.weights.items() for n, t in of.items())
    save_pretrained(tmp_path / "encoder.safetensors", done)
    loaded = load_pretrained(tmp_path / "encoder.safetensors", network)
    assert set(network.weights) - set(loaded) == {"classifier.linear"}
    module = NetworkModule(network)
    module.load_weights(loaded)
    weights = module.weights()
    source = model_source(network)
    with python_module(source.text) as python:
        model = fresh_model(python)
        fill(model, source, network, dropped(network, weights))
        fresh = fresh_model(python)
        fresh.load_state_dict(model.state_dict(), strict=True)
        x = torch.randn(2, *network.input.shape)
        with torch.no_grad():
            torch.testing.assert_close(fresh(x), execute(network, weights, x)["output"])
    other = mobile((1, 8, 8), 10).build(mobile((1, 8, 8), 10).repair({}))
    with pytest.raises(NasError, match="holds the weights of another network"):
        load_pretrained(tmp_path / "encoder.safetensors", other)


def test_networks_without_a_coarser_map_are_refused() -> None:
    from search_spaces import NetworkBuilder

    net = NetworkBuilder(lambda name, options: options[0])
    x = net.conv(net.input(1, 8, 8), 4)
    network = net.finish(net.linear(net.flatten(net.global_pool(x)), 2))
    with pytest.raises(NasError, match="whose maps get smaller"):
        pyramid_of(network)
    space = resnet((3, 32, 32), 10, layers=18)
    assert len(pyramid_of(space.build(space.repair({}))).nodes) >= 3
