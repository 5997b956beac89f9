"""Published checkpoints: read without running them, every layer mapped or named, equal pictures."""

import json
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from torch_files import Storage, Tensor, save_torch, tensors

from elsr_paddle.commands.import_ import main
from elsr_paddle.errors import InputError
from elsr_paddle.networks import NETWORKS, build
from elsr_paddle.networks.graph import outputs
from elsr_paddle.networks.pickles import load_torch
from elsr_paddle.networks.published import translated
from elsr_paddle.networks.weights import read, read_metadata

# Layers as their authors name them: EDSR-PyTorch (src/model/edsr.py, mdsr.py), the models.py of
# yjn870's ESPCN-, FSRCNN- and SRCNN-pytorch, and ETDS (core/archs/ir/ECBSR/arch.py).


def conv(name, inputs, outputs, side=3):
    return {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}


def edsr_shapes(scale, width, depth):
    shapes = {"sub_mean.weight": (3, 3, 1, 1), "sub_mean.bias": (3,),
              "add_mean.weight": (3, 3, 1, 1), "add_mean.bias": (3,), **conv("head.0", 3, width)}
    for block in range(depth):
        shapes |= conv(f"body.{block}.body.0", width, width)
        shapes |= conv(f"body.{block}.body.2", width, width)
    shapes |= conv(f"body.{depth}", width, width)
    for place, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[scale]):
        shapes |= conv(f"tail.0.{2 * place}", width, width * factor**2)
    return {**shapes, **conv("tail.1", width, 3)}


def mdsr_shapes(width, depth):
    shapes = {"sub_mean.weight": (3, 3, 1, 1), "sub_mean.bias": (3,),
              "add_mean.weight": (3, 3, 1, 1), "add_mean.bias": (3,), **conv("head.0", 3, width)}
    for place, scale in enumerate((2, 3, 4)):
        for block in range(2):
            for layer in (0, 2):
                shapes |= conv(f"pre_process.{place}.{block}.body.{layer}", width, width, 5)
        for step, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[scale]):
            shapes |= conv(f"upsample.{place}.{2 * step}", width, width * factor**2)
    for block in range(depth):
        shapes |= conv(f"body.{block}.body.0", width, width)
        shapes |= conv(f"body.{block}.body.2", width, width)
    return {**shapes, **conv(f"body.{depth}", width, width), **conv("tail.0", width, 3)}


def fsrcnn_shapes(d, s, m):
    shapes = {**conv("first_part.0", 1, d, 5), "first_part.1.weight": (d,)}
    layers = [(d, s, 1), *[(s, s, 3)] * m, (s, d, 1)]
    for place, (inputs, channels, side) in enumerate(layers):
        shapes |= conv(f"mid_part.{2 * place}", inputs, channels, side)
        shapes[f"mid_part.{2 * place + 1}.weight"] = (channels,)
    return {**shapes, "last_part.weight": (d, 1, 9, 9), "last_part.bias": (1,)}


def ecb(name, inputs, outputs, activated=True):
    shapes = {**conv(f"{name}.conv3x3", inputs, outputs),
              f"{name}.conv1x1_3x3.k0": (2 * outputs, inputs, 1, 1),
              f"{name}.conv1x1_3x3.b0": (2 * outputs,),
              f"{name}.conv1x1_3x3.k1": (outputs, 2 * outputs, 3, 3),
              f"{name}.conv1x1_3x3.b1": (outputs,)}
    for branch in ("sbx", "sby", "lpl"):
        shapes |= {f"{name}.conv1x1_{branch}.{part}": shape for part, shape in (
            ("k0", (outputs, inputs, 1, 1)), ("b0", (outputs,)), ("scale", (outputs, 1, 1, 1)),
            ("bias", (outputs,)), ("mask", (outputs, 1, 3, 3)))}
    return {**shapes, f"{name}.act.weight": (outputs,)} if activated else shapes


def ecbsr_shapes(width, depth, scale):
    shapes = ecb("backbone.0", 1, width)
    for layer in range(1, depth + 1):
        shapes |= ecb(f"backbone.{layer}", width, width)
    return {**shapes, **ecb(f"backbone.{depth + 1}", width, scale**2, activated=False)}


def plain_ecbsr_shapes(width, depth, scale):
    shapes = {**conv("backbone.0.0", 1, width), "backbone.0.1.weight": (width,)}
    for layer in range(1, depth + 1):
        shapes |= {**conv(f"backbone.{layer}.0", width, width),
                   f"backbone.{layer}.1.weight": (width,)}
    return {**shapes, **conv(f"backbone.{depth + 1}.0", width, scale**2)}


ESPCN = {**conv("first_part.0", 1, 64, 5), **conv("first_part.2", 64, 32),
         **conv("last_part.0", 32, 9)}
SRCNN = {**conv("conv1", 1, 64, 9), **conv("conv2", 64, 32, 5), **conv("conv3", 32, 1, 5)}
ELSR = {**conv("layer1", 3, 6), **conv("layer2_4.conv1", 6, 6), "layer2_4.prelu.weight": (1,),
        **conv("layer2_4.conv2", 6, 6), **conv("layer5", 6, 48)}
CHECKPOINTS = {
    "espcn": ("espcn", {"scale": 3}, ESPCN),
    "srcnn": ("srcnn", {"scale": 2, "sides": "9-5-5"}, SRCNN),
    "fsrcnn": ("fsrcnn", {"scale": 3, "width": 8, "shrunk": 4, "depth": 2},
               fsrcnn_shapes(8, 4, 2)),
    "edsr x4": ("edsr-baseline", {"scale": 4, "width": 6, "depth": 2}, edsr_shapes(4, 6, 2)),
    "edsr x3": ("edsr", {"scale": 3, "width": 6, "depth": 1}, edsr_shapes(3, 6, 1)),
    "mdsr": ("mdsr-baseline", {"scale": 3, "width": 4, "depth": 1}, mdsr_shapes(4, 1)),
    "ecbsr": ("ecbsr", {"scale": 2, "width": 4, "depth": 2}, ecbsr_shapes(4, 2, 2)),
    "plain ecbsr": ("ecbsr", {"scale": 2, "width": 4, "depth": 2}, plain_ecbsr_shapes(4, 2, 2)),
    "elsr": ("elsr", {"scale": 4, "prelu": "shared"}, ELSR),
}
EDGES = {"sbx": [[1, 0, -1], [2, 0, -2], [1, 0, -1]], "sby": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
         "lpl": [[0, 1, 0], [1, -4, 1], [0, 1, 0]]}
MEAN = np.float32([0.4488, 0.4371, 0.4040])


def filled(shapes):
    """Arrays in which each one matters; the constants among them as they are published."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes.items():
        spread = 0.7 / np.sqrt(np.prod(shape[1:])) if len(shape) == 4 else 0.3
        spread *= 0.3 if ".conv1x1" in name else 1.0  # one of five branches
        arrays[name] = rng.normal(0, spread, shape).astype(np.float32)
        if name.endswith(".mask"):
            edge = np.float32(EDGES[name.split("_")[-1].split(".")[0]])
            arrays[name] = np.broadcast_to(edge, shape).copy()
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        if f"{name}.bias" in arrays:
            arrays[f"{name}.weight"] = np.eye(3, dtype=np.float32)[:, :, None, None]
            arrays[f"{name}.bias"] = sign * 255 * MEAN
    return arrays


def flags(config):
    return [text for name, value in config.items() for text in (f"--{name}", str(value))]


each_checkpoint = pytest.mark.parametrize("model, config, shapes", CHECKPOINTS.values(),
                                          ids=CHECKPOINTS)


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_of_either_format_come_back_as_they_were(tmp_path, legacy):
    rng = np.random.default_rng(0)
    arrays = {"a.weight": rng.normal(size=(3, 2, 1, 1)).astype(np.float32),
              "b": rng.normal(size=5).astype(np.float16), "c": rng.normal(size=()),
              "norm.num_batches_tracked": np.int64(7)}
    path = tmp_path / "file.pth"
    save_torch(path, arrays, legacy=legacy)
    found = load_torch(path)
    assert list(found) == ["a.weight", "b", "c"]
    assert all(found[name].dtype == np.float32 for name in found)
    assert all((found[name] == np.float32(arrays[name])).all() for name in found)


def test_views_of_one_storage_are_taken_by_their_strides(tmp_path):
    numbers = np.arange(12, dtype=np.float32)

    def state(torch):
        storage = Storage(torch.FloatStorage, "0", numbers)
        return {"turned": Tensor(storage, (3, 2), (1, 3), offset=4),
                "rest": Tensor(storage, (2,), (1,), offset=10)}

    path = tmp_path / "file.pth"
    save_torch(path, state)
    found = load_torch(path)
    assert found["turned"].tolist() == numbers[4:10].reshape(2, 3).T.tolist()
    assert found["rest"].tolist() == [10, 11]


@pytest.mark.parametrize("key", ["state_dict", "params", "model"])
def test_weights_in_a_larger_checkpoint_are_found(tmp_path, key):
    path = tmp_path / "file.pth"
    save_torch(path, lambda torch: {
        "epoch": 3, key: tensors({"module.a": np.float32([1, 2])}, torch), "best": 30.5})
    assert load_torch(path)["a"].tolist() == [1, 2]


@pytest.mark.parametrize("shape, strides, offset", [
    ((5,), (1,), 0), ((2,), (3,), 0), ((1,), (1,), 4), ((1,), (1,), -1), ((2,), (-1,), 3),
    ((2, 2), (1,), 0)])
def test_a_tensor_outside_its_storage_is_refused(tmp_path, shape, strides, offset):
    path = tmp_path / "file.pth"
    save_torch(path, lambda torch: {"a": Tensor(
        Storage(torch.FloatStorage, "0", np.zeros(3, np.float32)), shape, strides, offset)})
    with pytest.raises(InputError, match=r"file\.pth: a tensor of shape .* outside its storage"):
        load_torch(path)


class Call:
    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("legacy", [False, True])
def test_a_malicious_file_is_refused_and_not_run(tmp_path, legacy):
    path, witness = tmp_path / "evil.pth", tmp_path / "ran"
    for call in (Call(os.system, f"touch {witness}"), Call(eval, f"open({str(witness)!r}, 'w')")):
        save_torch(path, lambda torch, call=call: {"a": call}, legacy=legacy)
        with pytest.raises(InputError, match="refused: the file asks to run"):
            load_torch(path)
        assert not witness.exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    with pytest.raises(InputError, match="compresses nothing"):
        load_torch(path)


@pytest.mark.parametrize("content", [
    b"", b"PK\x03\x04", b"\x80\x02", pickle.dumps([1]), pickle.dumps({"a": 1}),
    pickle.dumps(OrderedDict(a=3))])
def test_what_is_no_checkpoint_is_one_line(tmp_path, content):
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.pth"):
        load_torch(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_any_truncation_is_refused(tmp_path, legacy):
    path = tmp_path / "cut.pth"
    save_torch(path, filled(plain_ecbsr_shapes(2, 1, 2)), legacy=legacy)
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.pth"):
            load_torch(path)


@each_checkpoint
def test_a_checkpoint_becomes_weights_with_their_provenance(tmp_path, model, config, shapes):
    path, output = tmp_path / "given.pt", tmp_path / "weights.safetensors"
    save_torch(path, filled(shapes))
    main([str(path), "--model", model, "-o", str(output), "--source", "a paper", *flags(config)])
    found = read(output)
    assert (found.network.name, found.degradation) == (model, "bicubic")
    assert {key: found.network.config[key] for key in config} == config
    provenance = read_metadata(output)["imported"]
    assert provenance["file"] == "given.pt" and provenance["source"] == "a paper"
    assert len(provenance["sha256"]) == 64 and provenance["tensors"] == len(shapes)
    json.dumps(found.metadata)


@each_checkpoint
def test_every_layer_is_mapped_or_named(model, config, shapes):
    network, arrays = build(model, config), filled(shapes)
    assert translated(network, arrays).keys() == network.graph.parameters().keys()
    constant = ("sub_mean", "add_mean")
    name = next(name for name in reversed(arrays) if not name.startswith(constant))
    layer = name.partition(".conv")[0]  # of a block, whose parts are one layer here
    if ".conv1x1" not in name:
        fewer = {key: array for key, array in arrays.items() if key != name}
        with pytest.raises(InputError, match=rf"{layer}.*: expected .* but got none"):
            translated(network, fewer)
        with pytest.raises(InputError, match=rf"{layer}.*: expected .* but got \(7,\)"):
            translated(network, {**arrays, name: np.zeros(7)})
    with pytest.raises(InputError, match=f"extra.weight: {model} has no such layer"):
        translated(network, {**arrays, "extra.weight": np.zeros(3)})


def test_every_network_with_published_names_is_tested_here():
    tested = {model for model, _, _ in CHECKPOINTS.values()} | {"mdsr"}  # as mdsr-baseline
    assert {name for name in NETWORKS if build(name, {}).published()} == tested
    with pytest.raises(InputError, match="no published checkpoints of elsr-y are known"):
        translated(build("elsr-y", {}), {})


def test_a_mean_other_than_div2k_s_is_refused():
    arrays = filled(edsr_shapes(2, 4, 1))
    arrays["sub_mean.bias"] = arrays["sub_mean.bias"] + 5
    with pytest.raises(InputError, match="expected the mean"):
        translated(build("edsr", {"scale": 2, "width": 4, "depth": 1}), arrays)


def test_a_range_of_255_is_refused_where_it_cannot_be_folded():
    with pytest.raises(InputError, match="espcn has tanh, but got 0..255"):
        translated(build("espcn", {"scale": 3}), filled(ESPCN), 255)


@pytest.mark.parametrize("arguments, message", [
    (["-o", "a.pt"], r"expected a .safetensors file for --output"),
    (["-o", "there.safetensors"], "exists; give --overwrite"),
    (["-o", "a.safetensors", "--scale", "2"], r"given.pt: the checkpoint is not one of espcn with "
     r".*scale 2.*last_part.0.weight: expected \(4, 32, 3, 3\) for tail.weight but got"),
])
def test_what_cannot_be_imported_is_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.safetensors").touch()
    save_torch(tmp_path / "given.pt", filled(ESPCN))
    with pytest.raises(InputError, match=message):
        main(["given.pt", "--model", "espcn", *arguments])


# The pictures: PyTorch's own layers of the published names, where PyTorch is installed.


def in_torch(model, config, shapes, arrays, lr):
    """The published network's output for lr, float64 (1, C, H, W) in [0, 1]."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    given = {name: torch.from_numpy(array).double() for name, array in arrays.items()}
    x, scale = torch.from_numpy(lr), config["scale"]

    def layer(x, name):
        weight = given[f"{name}.weight"]
        return functional.conv2d(x, weight, given[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def prelu(x, name):
        return functional.prelu(x, given[f"{name}.weight"])

    def block(x, name, factor=1.0):
        inner = layer(functional.relu(layer(x, f"{name}.body.0")), f"{name}.body.2")
        return x + factor * inner

    def up(x, name):
        for place, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[scale]):
            x = functional.pixel_shuffle(layer(x, f"{name}.{2 * place}"), factor)
        return x

    def edge_block(x, name):
        """As it is trained: five branches, whose inner border is padded with the inner bias."""
        total = layer(x, f"{name}.conv3x3")
        for branch in ("3x3", "sbx", "sby", "lpl"):
            part = {key: given[f"{name}.conv1x1_{branch}.{key}"] for key in
                    (("k0", "b0", "k1", "b1") if branch == "3x3" else
                     ("k0", "b0", "scale", "bias", "mask"))}
            inner = functional.conv2d(x, part["k0"], part["b0"])
            padded = part["b0"].view(1, -1, 1, 1).repeat(
                1, 1, inner.shape[2] + 2, inner.shape[3] + 2)
            padded[:, :, 1:-1, 1:-1] = inner
            if branch == "3x3":
                total = total + functional.conv2d(padded, part["k1"], part["b1"])
            else:
                kernel = part["scale"] * part["mask"]
                total = total + functional.conv2d(padded, kernel, part["bias"],
                                                  groups=len(kernel))
        return total

    if model == "espcn":
        x = torch.tanh(layer(torch.tanh(layer(x, "first_part.0")), "first_part.2"))
        return functional.pixel_shuffle(layer(x, "last_part.0"), scale)
    if model == "srcnn":
        x = functional.relu(layer(functional.relu(layer(x, "conv1")), "conv2"))
        return layer(x, "conv3")
    if model == "fsrcnn":
        x = prelu(layer(x, "first_part.0"), "first_part.1")
        for place in range(config["depth"] + 2):
            x = prelu(layer(x, f"mid_part.{2 * place}"), f"mid_part.{2 * place + 1}")
        return functional.conv_transpose2d(x, given["last_part.weight"], given["last_part.bias"],
                                           scale, 4, scale - 1)
    if model == "elsr":
        head = layer(x, "layer1")
        x = prelu(layer(head, "layer2_4.conv1"), "layer2_4.prelu")
        return functional.pixel_shuffle(layer(layer(x, "layer2_4.conv2") + head, "layer5"), scale)
    if model == "ecbsr":
        y, last = x, config["depth"] + 1
        for place in range(last + 1):
            name = f"backbone.{place}"
            if f"{name}.conv3x3.weight" in given:
                y, act = edge_block(y, name), f"{name}.act"
            else:
                y, act = layer(y, f"{name}.0"), f"{name}.1"
            y = y if place == last else prelu(y, act)
        return functional.pixel_shuffle(y + x, scale)
    head = layer(functional.conv2d(255 * x, given["sub_mean.weight"], given["sub_mean.bias"]),
                 "head.0")
    if model == "mdsr-baseline":
        place = scale - 2
        head = block(block(head, f"pre_process.{place}.0"), f"pre_process.{place}.1")
    x = head
    for index in range(config["depth"]):
        x = block(x, f"body.{index}", 0.1 if model == "edsr" else 1.0)
    x = layer(x, f"body.{config['depth']}") + head
    x = (layer(up(x, f"upsample.{scale - 2}"), "tail.0") if model == "mdsr-baseline"
         else layer(up(x, "tail.0"), "tail.1"))
    return functional.conv2d(x, given["add_mean.weight"], given["add_mean.bias"]) / 255


@each_checkpoint
def test_the_picture_is_pytorch_s(tmp_path, noise, model, config, shapes):
    torch = pytest.importorskip("torch")
    arrays = filled(shapes)
    path = tmp_path / "given.pt"
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    read_back = load_torch(path)
    assert all((read_back[name] == array).all() for name, array in arrays.items())
    network = build(model, config)
    graph = network.graph.bind(translated(network, read_back))
    image = noise(7, 9, network.channels)
    lr = image.transpose(2, 0, 1)[None] / 255
    if model == "srcnn":  # its input is enlarged before: by the bicubic of this project
        enlarged = next(index for index, node in enumerate(graph.nodes)
                        if node.op.title == "bicubic")
        lr = outputs(graph, image)[enlarged][None]
    expected = in_torch(model, config, shapes, arrays, lr)[0].numpy()
    np.testing.assert_allclose(outputs(graph, image)[-1], expected, atol=1e-5)


def test_torch_s_older_format_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "old.pth"
    weights = torch.nn.Conv2d(2, 3, 3).state_dict()
    torch.save(weights, path, _use_new_zipfile_serialization=False)
    assert all((load_torch(path)[name] == tensor.numpy()).all()
               for name, tensor in weights.items())


def test_a_whole_pickled_model_is_refused_with_the_remedy(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pth"
    torch.save(torch.nn.Conv2d(2, 3, 3), path)
    with pytest.raises(InputError, match="asks to run torch.*save the state_dict"):
        load_torch(path)


def test_reading_a_file_needs_no_torch(tmp_path, run_python):
    path = tmp_path / "given.pt"
    save_torch(path, filled(SRCNN))
    done = run_python("-c", "import sys; sys.modules['torch'] = sys.modules['paddle'] = None\n"
                      "from elsr_paddle.networks.pickles import load_torch\n"
                      f"print(len(load_torch({str(path)!r})))")
    assert done.stdout.strip() == "6", done.stderr
