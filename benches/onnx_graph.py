"""A network of images, the shipped one or an NCSN++, as an ONNX graph, for `cargo bench --bench images`:

    python3 -m venv /tmp/onnx && /tmp/onnx/bin/pip install onnx==1.23.2 numpy==2.4.6 safetensors==0.8.0
    /tmp/onnx/bin/python benches/onnx_graph.py web/weights/cifar-32 /tmp/cifar-32.onnx

The operators are those that PyTorch's exporter writes for this graph: SiLU as Sigmoid and Mul, GroupNorm as
InstanceNormalization between two Reshapes, filters that halve and double as Conv and ConvTranspose of every channel by itself, as
EDM has them. Inputs are `x` [images, 3, side, side] and `time` [1]; no class is told.
"""
import json
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 17
# Filters where height and width change, in both directions.
FILTERS = {"box": [1, 1], "binomial": [1, 3, 3, 1]}


class Graph:
    def __init__(self, folder):
        with open(f"{folder}/manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        self.shape = manifest["architecture"]
        style = self.shape.get("style", "ddpm")
        # What NCSN++ and DDPM++ have, if it is one of them.
        self.song = style["song"] if isinstance(style, dict) else None
        if self.song and (self.song["encoder"], self.song["decoder"]) not in [("standard", "standard"), ("residual", "standard")]:
            raise SystemExit("sums over levels are not written here")
        self.side = manifest["image_size"]
        held = {}
        for part in manifest["files"]:
            held.update(load_file(f"{folder}/{part['name']}"))
        self.weights = {}
        for name, values in held.items():
            if name.endswith(".scale"):
                continue
            values = values.astype(np.float32)
            scale = held.get(f"{name}.scale")
            if scale is not None:
                values *= scale.astype(np.float32).reshape([-1] + [1] * (values.ndim - 1))
            self.weights[name] = values
        self.nodes, self.constants, self.made = [], {}, 0

    def add(self, kind, *inputs, **attributes):
        self.made += 1
        output = f"{kind}{self.made}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values):
        values = np.asarray(values)
        key = f"constant{len(self.constants)}"
        self.constants[key] = values
        return key

    def weight(self, name, change=lambda values: values):
        return self.constant(change(self.weights[name]))

    def numbers(self, *values):
        return self.constant(np.array(values, dtype=np.int64))

    def silu(self, x):
        return self.add("Mul", x, self.add("Sigmoid", x))

    def conv(self, x, name, strides=(1, 1), pads=None):
        kernel = self.weights[f"{name}.weight"].shape[2]
        pads = pads or [kernel // 2] * 4
        return self.add("Conv", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"),
                        kernel_shape=[kernel] * 2, strides=list(strides), pads=pads)

    def linear(self, x, name):
        return self.add("Gemm", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), transB=1)

    def norm(self, x, name, side):
        channels = self.weights[f"{name}.weight"].size
        groups = min(self.shape["groups"], channels // 4) if self.song else self.shape["groups"]
        y = self.add("Reshape", x, self.numbers(0, groups, -1))
        ones, zeros = self.constant(np.ones(groups, np.float32)), self.constant(np.zeros(groups, np.float32))
        y = self.add("InstanceNormalization", y, ones, zeros, epsilon=1e-6)
        y = self.add("Reshape", y, self.numbers(-1, channels, side, side))
        column = lambda values: values.reshape(-1, 1, 1)
        y = self.add("Mul", y, self.weight(f"{name}.weight", column))
        return self.add("Add", y, self.weight(f"{name}.bias", column))

    def filtered(self, x, channels, kind, scale=1.0, **attributes):
        """Every channel by itself, with the filter of the network times a scale."""
        taps = np.array(FILTERS[self.song["filter"]], np.float32)
        square = scale * np.outer(taps, taps) / taps.sum() ** 2
        kernels = self.constant(np.tile(square.astype(np.float32), (channels, 1, 1, 1)))
        return self.add(kind, x, kernels, kernel_shape=[taps.size] * 2, group=channels, **attributes)

    def halve(self, x, channels):
        pads = [len(FILTERS[self.song["filter"]]) // 2 - 1] * 4
        return self.filtered(x, channels, "Conv", strides=[2, 2], pads=pads)

    def double(self, x, channels):
        pads = [len(FILTERS[self.song["filter"]]) // 2 - 1] * 4
        return self.filtered(x, channels, "ConvTranspose", 4.0, strides=[2, 2], pads=pads)

    def in_size(self, total):
        """A sum of two, of the size of either in Song et al.'s networks."""
        return self.add("Mul", total, self.constant(np.float32(0.5 ** 0.5))) if self.song else total

    def resnet(self, x, name, told, side, change=None):
        """A residual block, which may halve or double; `side` is that of the result."""
        channels = self.weights[f"{name}.norm1.weight"].size
        before = side if change is None else 2 * side if change == self.halve else side // 2
        h = self.silu(self.norm(x, f"{name}.norm1", before))
        if change is not None:
            h, x = change(h, channels), change(x, channels)
        h = self.conv(h, f"{name}.conv1")
        told = self.linear(told, f"{name}.time_emb_proj")
        h = self.add("Add", h, self.add("Unsqueeze", told, self.numbers(2, 3)))
        h = self.conv(self.silu(self.norm(h, f"{name}.norm2", side)), f"{name}.conv2")
        if f"{name}.conv_shortcut.weight" in self.weights:
            x = self.conv(x, f"{name}.conv_shortcut")
        return self.in_size(self.add("Add", h, x))

    def attention(self, x, name, side):
        channels = self.weights[f"{name}.to_q.bias"].size
        y = self.norm(x, f"{name}.group_norm", side)
        y = self.add("Transpose", self.add("Reshape", y, self.numbers(-1, channels, side * side)), perm=[0, 2, 1])
        def at_pixels(y, layer):
            y = self.add("MatMul", y, self.weight(f"{name}.{layer}.weight", lambda values: values.T.copy()))
            return self.add("Add", y, self.weight(f"{name}.{layer}.bias"))
        query, key, value = (at_pixels(y, layer) for layer in ("to_q", "to_k", "to_v"))
        query = self.add("Mul", query, self.constant(np.float32(channels ** -0.5)))
        scores = self.add("MatMul", query, self.add("Transpose", key, perm=[0, 2, 1]))
        y = self.add("MatMul", self.add("Softmax", scores, axis=-1), value)
        y = self.add("Transpose", at_pixels(y, "to_out.0"), perm=[0, 2, 1])
        return self.in_size(self.add("Add", x, self.add("Reshape", y, self.numbers(-1, channels, side, side))))

    def waves(self):
        """The features of the time."""
        channels = self.shape["channels"]
        if self.song and self.song["noise"] == "fourier":
            rates = (2 * np.pi * self.weights["time_proj.weight"].astype(np.float64)).astype(np.float32)
        else:
            half = channels // 2
            rates = np.exp(-np.log(10000.0) * np.arange(half, dtype=np.float32) / (half - 1)).astype(np.float32)
        angle = self.add("Mul", self.add("Unsqueeze", "time", self.numbers(1)), self.constant(rates[None]))
        return self.add("Concat", self.add("Sin", angle), self.add("Cos", angle), axis=1)

    def tell_image(self, h, image, name, channels):
        """What a level is told of the image at half its size, added to its maps."""
        pads = [len(FILTERS[self.song["filter"]]) // 2] * 4
        blurred = self.filtered(image, channels, "Conv", strides=[1, 1], pads=pads)
        image = self.conv(blurred, f"{name}.skip_conv", strides=(2, 2), pads=[0] * 4)
        return self.in_size(self.add("Add", h, image))

    def build(self):
        shape, side = self.shape, self.side
        levels, layers = len(shape["multipliers"]), shape["layers"]
        waves = self.waves()
        told = self.linear(self.silu(self.linear(waves, "time_embedding.linear_1")), "time_embedding.linear_2")
        if shape["classes"]:
            told = self.add("Add", told, self.weight("class_embedding.weight", lambda values: values[-1:]))
        told = self.silu(told)
        h = self.conv("x", "conv_in")
        skips = [h]
        image, told_channels = "x", shape["image_channels"]
        for level in range(levels):
            name = f"down_blocks.{level}"
            for layer in range(layers):
                h = self.resnet(h, f"{name}.resnets.{layer}", told, side)
                if level in shape["attention_levels"]:
                    h = self.attention(h, f"{name}.attentions.{layer}", side)
                skips.append(h)
            if level + 1 < levels:
                side //= 2
                if self.song:
                    h = self.resnet(h, f"{name}.resnet_down", told, side, self.halve)
                    if self.song["encoder"] == "residual":
                        image = h = self.tell_image(h, image, name, told_channels)
                        told_channels = shape["channels"] * shape["multipliers"][level]
                else:
                    h = self.conv(h, f"{name}.downsamplers.0.conv", strides=(2, 2), pads=[0, 0, 1, 1])
                skips.append(h)
        h = self.resnet(h, "mid_block.resnets.0", told, side)
        h = self.attention(h, "mid_block.attentions.0", side)
        h = self.resnet(h, "mid_block.resnets.1", told, side)
        for index, level in enumerate(reversed(range(levels))):
            name = f"up_blocks.{index}"
            for layer in range(layers + 1):
                h = self.resnet(self.add("Concat", h, skips.pop(), axis=1), f"{name}.resnets.{layer}", told, side)
                # Song et al.'s networks have it after the last block only.
                if level in shape["attention_levels"] and (not self.song or layer == layers):
                    h = self.attention(h, f"{name}.attentions.{0 if self.song else layer}", side)
            if level > 0:
                side *= 2
                if self.song:
                    h = self.resnet(h, f"{name}.resnet_up", told, side, self.double)
                else:
                    scales = self.constant(np.array([1, 1, 2, 2], np.float32))
                    h = self.add("Resize", h, "", scales, mode="nearest", nearest_mode="floor",
                                 coordinate_transformation_mode="asymmetric")
                    h = self.conv(h, f"{name}.upsamplers.0.conv")
        h = self.conv(self.silu(self.norm(h, "conv_norm_out", side)), "conv_out")
        self.nodes.append(helper.make_node("Identity", [h], ["y"]))
        image = ["images", shape["image_channels"], self.side, self.side]
        value = lambda name, dimensions: helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)
        graph = helper.make_graph(
            self.nodes, "unet", [value("x", image), value("time", [1])], [value("y", image)],
            [numpy_helper.from_array(values, name) for name, values in self.constants.items()])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def main():
    folder, target = sys.argv[1:]
    model = Graph(folder).build()
    onnx.checker.check_model(model)
    onnx.save(model, target)


if __name__ == "__main__":
    main()
