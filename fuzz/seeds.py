"""Makes the seeds in fuzz/corpus from the golden files and from what the formats' specifications say; needs Python alone."""

import io, json, pathlib, struct, tarfile, zipfile, zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
CORPUS = ROOT / "fuzz" / "corpus"


def seed(reader, name, content):
    folder = CORPUS / reader
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def golden(name):
    return (GOLDEN / name).read_bytes()


for name in ["unet_views.pt", "torch_beside.pt", "unet_attack.pt"]:
    seed("zip", name, golden(name))
    seed("torch", name, golden(name))
    with zipfile.ZipFile(io.BytesIO(golden(name))) as archive:
        for inner in archive.namelist():
            if inner.endswith(".pkl"):
                seed("pickle", name + ".pkl", archive.read(inner))
for name in ["torch_old_2.pt", "torch_old_3.pt", "torch_old_4.pt", "torch_old_5.pt"]:
    seed("torch", name, golden(name))
    seed("pickle", name, golden(name))
seed("modules", "edm_start.pkl", golden("edm_small.pkl")[:3000])
seed("modules", "old_2.pkl", golden("torch_old_2.pt"))


def safetensors(tensors):
    offset, header, body = 0, {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(content)]}
        offset, body = offset + len(content), body + content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


seed("safetensors", "two", safetensors({"a": ("F32", [2, 1], bytes(8)), "b.weight": ("F16", [3], bytes(6))}))
seed("safetensors", "bf16", safetensors({"conv_in.weight": ("BF16", [1, 1, 3, 3], bytes(18))}))


def text(word):
    return bytes([0xA0 | len(word)]) + word.encode()


def array(shape, kind, content):
    dims = bytes([0x90 | len(shape)]) + bytes(shape)
    inner = b"\x93" + dims + text(kind) + b"\xc4" + bytes([len(content)]) + content
    return b"\xc7" + bytes([len(inner), 1]) + inner


leaf = array([2, 2], "float32", bytes(16))
seed("flax", "dense", b"\x81" + text("params") + b"\x81" + text("Dense_0") + b"\x82" + text("kernel") + leaf + text("bias") + array([2], "float32", bytes(8)))
for name in ["index.json", "cifar-32/manifest.json"]:
    seed("manifest", pathlib.Path(name).name, (ROOT / "web" / "weights" / name).read_bytes())
for name, content in {"stop": "\x08", "pause": "\x05", "load": "\x0a\x01\x03abc", "weights": "\x0b\x01\x02\x03abc", "failed": "\x10\x01\x01\x02\x01a"}.items():
    seed("wire", name, content)
    seed("remote", name, struct.pack("<I", len(content)) + content.encode())
for name, content in {
    "plane": "#dataset=moons&steps=20&seed=7&run=1",
    "images": "#experiment=images&weights=hub:a/b&solver=heun&steps=9&compare=heun,euler&lang=fa",
    "drawing": "#dataset=drawing&drawing=AAECAw&picture=00ff&clip=dynamic",
}.items():
    seed("link", name, content)
seed("settings", "plane", '{"experiment": "plane", "dataset": "moons", "steps": 20, "rate": 0.006, "seed": 1}')
seed("settings", "images", '{"experiment": "images", "weights": "a", "image_class": "any", "steps": "9"}')


def png(width, height, depth, colour, rows):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(12))) if colour == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


seed("png", "rgb", png(2, 2, 8, 2, bytes(14)))
seed("png", "grey16", png(2, 1, 16, 0, bytes(5)))
seed("png", "indexed", png(4, 1, 2, 3, b"\0\x1b"))
for kind in [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=kind) as archive:
        long = "long" * (20 if kind == tarfile.USTAR_FORMAT else 60)
        for name in ["images/0.png", f"images/{long}.png"]:
            entry = tarfile.TarInfo(name)
            entry.size = 5
            archive.addfile(entry, io.BytesIO(b"bytes"))
    seed("archive", f"tar{kind}", packed.getvalue())
seed("beside", "scheduler", '{"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "prediction_type": "epsilon"}')
seed("beside", "network", '{"_class_name": "UNet2DModel", "sample_size": 32, "in_channels": 3, "block_out_channels": [32, 64], "layers_per_block": 1, "norm_num_groups": 8}')
seed("beside", "answer", '{"id": "a/b", "sha": "' + "0" * 40 + '", "cardData": {"license": "mit"}, "siblings": [{"rfilename": "model.safetensors", "size": 9, "lfs": {"sha256": "' + "0" * 64 + '"}}]}')
for name, content in {
    "page": "GET /x/ HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n",
    "file": "HEAD /x/index.html?a=b HTTP/1.1\r\nHost: [::1]\r\nAccept: */*\r\n\r\n",
    "above": "GET /x/../a%20secret HTTP/1.1\r\nHost: x\r\n\r\n",
    "body": "POST /x/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\nOrigin: http://x\r\n\r\nabc",
    "chunks": "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "old": "GET /x/ HTTP/1.0\r\n\r\n",
}.items():
    seed("request", name, content)
