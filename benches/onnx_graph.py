"""The shipped network of images as an ONNX graph, for `cargo bench --bench images`:

    python3 -m venv /tmp/onnx && /tmp/onnx/bin/pip install onnx==1.23.2 numpy==2.4.6 safetensors==0.8.0
    /tmp/onnx/bin/python benches/onnx_graph.py web/weights/preview-32 /tmp/preview-32.onnx

The operators are those that PyTorch's exporter writes for this graph: SiLU as Sigmoid and Mul, GroupNorm as
InstanceNormalization between two Reshapes. Inputs are `x` [images, 3, side, side] and `time` [1]; no class is told.
"""
import json
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 17


class Graph:
    def __init__(self, folder):
        with open(f"{folder}/manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        self.shape = manifest["architecture"]
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
        groups = self.shape["groups"]
        channels = self.weights[f"{name}.weight"].size
        y = self.add("Reshape", x, self.numbers(0, groups, -1))
        ones, zeros = self.constant(np.ones(groups, np.float32)), self.constant(np.zeros(groups, np.float32))
        y = self.add("InstanceNormalization", y, ones, zeros, epsilon=1e-6)
        y = self.add("Reshape", y, self.numbers(-1, channels, side, side))
        column = lambda values: values.reshape(-1, 1, 1)
        y = self.add("Mul", y, self.weight(f"{name}.weight", column))
        return self.add("Add", y, self.weight(f"{name}.bias", column))

    def resnet(self, x, name, told, side):
        h = self.conv(self.silu(self.norm(x, f"{name}.norm1", side)), f"{name}.conv1")
        told = self.linear(told, f"{name}.time_emb_proj")
        h = self.add("Add", h, self.add("Unsqueeze", told, self.numbers(2, 3)))
        h = self.conv(self.silu(self.norm(h, f"{name}.norm2", side)), f"{name}.conv2")
        if f"{name}.conv_shortcut.weight" in self.weights:
            x = self.conv(x, f"{name}.conv_shortcut")
        return self.add("Add", h, x)

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
        return self.add("Add", x, self.add("Reshape", y, self.numbers(-1, channels, side, side)))

    def build(self):
        shape, side = self.shape, self.side
        levels, layers = len(shape["multipliers"]), shape["layers"]
        half = shape["channels"] // 2
        rates = np.exp(-np.log(10000.0) * np.arange(half, dtype=np.float32) / (half - 1)).astype(np.float32)
        angle = self.add("Mul", self.add("Unsqueeze", "time", self.numbers(1)), self.constant(rates[None]))
        waves = self.add("Concat", self.add("Sin", angle), self.add("Cos", angle), axis=1)
        told = self.linear(self.silu(self.linear(waves, "time_embedding.linear_1")), "time_embedding.linear_2")
        if shape["classes"]:
            told = self.add("Add", told, self.weight("class_embedding.weight", lambda values: values[-1:]))
        told = self.silu(told)
        h = self.conv("x", "conv_in")
        skips = [h]
        for level in range(levels):
            name = f"down_blocks.{level}"
            for layer in range(layers):
                h = self.resnet(h, f"{name}.resnets.{layer}", told, side)
                if level in shape["attention_levels"]:
                    h = self.attention(h, f"{name}.attentions.{layer}", side)
                skips.append(h)
            if level + 1 < levels:
                h = self.conv(h, f"{name}.downsamplers.0.conv", strides=(2, 2), pads=[0, 0, 1, 1])
                side //= 2
                skips.append(h)
        h = self.resnet(h, "mid_block.resnets.0", told, side)
        h = self.attention(h, "mid_block.attentions.0", side)
        h = self.resnet(h, "mid_block.resnets.1", told, side)
        for index, level in enumerate(reversed(range(levels))):
            name = f"up_blocks.{index}"
            for layer in range(layers + 1):
                h = self.resnet(self.add("Concat", h, skips.pop(), axis=1), f"{name}.resnets.{layer}", told, side)
                if level in shape["attention_levels"]:
                    h = self.attention(h, f"{name}.attentions.{layer}", side)
            if level > 0:
                scales = self.constant(np.array([1, 1, 2, 2], np.float32))
                h = self.add("Resize", h, "", scales, mode="nearest", nearest_mode="floor",
                             coordinate_transformation_mode="asymmetric")
                h = self.conv(h, f"{name}.upsamplers.0.conv")
                side *= 2
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
