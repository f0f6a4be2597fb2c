"""Golden tensors of image preprocessing, in ../image-preprocess.

    python pixels.py            all
    python pixels.py tensors    some: tensors, resizes, files, scaled

Needs FastEmbed 0.9.1 and Pillow 12. Every result is stored as a SHA-256 of its bytes: C order, little
endian. `configs.json` and `images/` are the input, written by hand.
"""

import hashlib
import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL
from fastembed.image.transform.operators import Compose
from PIL import Image

FOLDER = Path(__file__).parent.parent / "image-preprocess"
assert PIL.__version__.startswith("12."), "the order of passes changed with Pillow 13"


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def write(name, rows):
    """One entry a line."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items())
    (FOLDER / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def tensors():
    """What FastEmbed makes of each image under each configuration, or the exception."""
    configs = json.loads((FOLDER / "configs.json").read_text())
    images = sorted((FOLDER / "images").iterdir())
    rows = {}
    for name, config in configs.items():
        # One image is enough where the tensor is large.
        large = name in ("clip_large", "convnext_large", "idefics3_default_size")
        for path in images[-1:] if large else images:
            image = Image.open(path)
            try:
                result = np.stack(Compose.from_config(config)([image])[0])
                row = {"shape": result.shape, "dtype": str(result.dtype), "sha256": digest(result)}
            except Exception as error:
                row = {"error": f"{type(error).__name__}: {error}"}
            rows[f"{name}/{path.name}"] = row
    write("tensors.json", rows)


def noise(width, height, seed):
    """Random pixels, with every third row black and white: the tests make the same."""
    state = np.uint64(seed)
    numbers = np.empty(3 * width * height, dtype=np.uint8)
    with np.errstate(over="ignore"):
        for place in range(len(numbers)):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            numbers[place] = state >> np.uint64(56)
    rows = numbers.reshape(height, width, 3)
    rows[::3] = np.where(rows[::3] < 128, 0, 255)
    return rows


def resizes():
    """Pillow's own resize of noise, between all kinds of sizes, with each filter."""
    sizes = [
        (1, 1, 7, 5), (1, 1, 1, 3), (2, 3, 1, 1), (5, 1, 224, 3), (1, 5, 3, 224), (37, 23, 16, 16),
        (37, 23, 37, 16), (37, 23, 16, 23), (37, 23, 37, 23), (64, 64, 32, 32), (64, 48, 63, 47),
        (100, 75, 224, 224), (224, 224, 223, 225), (640, 3, 37, 5), (3, 640, 5, 37), (5000, 3, 224, 2),
        (3, 5000, 2, 224), (5000, 3, 5001, 7), (301, 199, 43, 31), (17, 53, 99, 10), (53, 17, 10, 99),
        (333, 250, 16, 12), (12, 9, 333, 250), (129, 65, 65, 129), (31, 33, 1, 40), (31, 33, 40, 1),
    ]
    rows = {}
    for width, height, to_width, to_height in sizes:
        image = Image.fromarray(noise(width, height, 1000 * width + height))
        for code in range(6):
            resized = np.asarray(image.resize((to_width, to_height), code))
            rows[f"{width}x{height} {to_width}x{to_height} {code}"] = digest(resized)
    write("resizes.json", rows)


def png(width, height, bits, colour, rows, *extra):
    """A PNG from rows of packed samples; `extra` are chunks before the data."""
    chunk = lambda kind, data: (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def bmp(width, height, bits, data, compression=0, palette=b"", masks=b"", header=40):
    """A BMP; `height` is negative where the first row is the top."""
    start = 14 + max(header, 40 + len(masks) if masks else 0) + len(palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    # Longer headers hold the masks; the one of 40 bytes is followed by them.
    info = (info + masks).ljust(header, b"\0")
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start) + info + palette + data


def tiff(tags, data, order="<", strips=1):
    """A TIFF of equal strips; `tags` maps numbers to a type (3 or 4) and its values."""
    length = len(data) // strips
    starts = [8 + strip * length for strip in range(strips)]
    tags = {**tags, 273: (4, starts), 279: (4, [length] * strips)}
    at = 8 + len(data) + 2 + 12 * len(tags) + 4
    entries, rest = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(order + {3: "H", 4: "I"}[kind] * len(values), *values)
        if len(packed) > 4:
            packed, rest = struct.pack(order + "I", at + len(rest)), rest + packed
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(data))
    return head + data + struct.pack(order + "H", len(tags)) + entries + b"\0" * 4 + rest


def made_files():
    """Name and content of images of every kind, most of them 13 x 7."""
    width, height = 13, 7
    rng = np.random.default_rng(7)
    random = lambda *shape, of=np.uint8: rng.integers(0, np.iinfo(of).max, shape, of, True)
    packed = lambda bits: [random((width * bits + 7) // 8) for _ in range(height)]
    palette = lambda count: (b"PLTE", random(count, 3).tobytes())

    for bits in (1, 2, 4):
        yield f"gray{bits}.png", png(width, height, bits, 0, packed(bits))
        yield f"palette{bits}.png", png(width, height, bits, 3, packed(bits), palette(2**bits))
    yield "gray_trns.png", png(width, height, 8, 0, packed(8), (b"tRNS", b"\0\7"))
    yield "gray16_trns.png", png(width, height, 16, 0, packed(16), (b"tRNS", b"\0\7"))
    yield "gray16_alpha.png", png(width, height, 16, 4, packed(32))
    yield "rgb16.png", png(width, height, 16, 2, packed(48))
    yield "rgba16.png", png(width, height, 16, 6, packed(64))
    yield "rgb_trns.png", png(width, height, 8, 2, packed(24), (b"tRNS", b"\0\7\0\7\0\7"))
    turned = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    yield "rgb_exif.png", png(width, height, 8, 2, packed(24), (b"eXIf", turned))

    def saved(image, format, **options):
        file = io.BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    rgb = Image.fromarray(random(height, width, 3))
    rgba = Image.fromarray(random(height, width, 4))
    gray = Image.fromarray(random(height, width))
    cmyk = Image.fromarray(random(height, width, 4), "CMYK")
    smooth = Image.fromarray(random(5, 5, 3)).resize((45, 31), Image.Resampling.BICUBIC)
    smooth_alpha = Image.fromarray(random(5, 5, 4)).resize((45, 31), Image.Resampling.BICUBIC)
    indexed = rgb.quantize(60)

    rows = lambda bits: b"".join(random((width * bits + 31) // 32 * 4).tobytes() for _ in range(height))
    for bits in (1, 4, 8):
        yield f"palette{bits}.bmp", bmp(width, height, bits, rows(bits), palette=random(2**bits, 4).tobytes())
    yield "rgb555.bmp", bmp(width, height, 16, rows(16))
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    yield "rgb565.bmp", bmp(width, height, 16, rows(16), 3, masks=masks)
    yield "rgb.bmp", bmp(width, height, 24, rows(24))
    yield "rgb_top_down.bmp", bmp(width, -height, 24, rows(24))
    yield "rgbx.bmp", bmp(width, height, 32, rows(32))
    run_lengths = b"".join(bytes([6, y, 0, 4, 1, 2, 3, y, 3, 9, 0, 0]) for y in range(height)) + b"\0\1"
    yield "rle8.bmp", bmp(width, height, 8, run_lengths, 1, palette=random(256, 4).tobytes())

    yield "plain.gif", saved(indexed, "GIF")
    yield "interlaced.gif", saved(indexed, "GIF", interlace=1)
    yield "transparent.gif", saved(indexed, "GIF", transparency=3)
    yield "gray.gif", saved(gray, "GIF")
    yield "animated.gif", saved(indexed, "GIF", save_all=True, append_images=[gray.convert("P")])
    frame = saved(indexed, "GIF", interlace=0)
    # The same frame on a larger canvas: its screen is 20 x 11, and it lies 3 to the right and 2 down.
    place = frame.index(b"," + struct.pack("<HHHH", 0, 0, width, height))
    moved = lambda to: (
        frame[:6] + struct.pack("<HH", 20, 11) + frame[10:place]
        + b"," + struct.pack("<HHHH", *to, width, height) + frame[place + 9 :]
    )
    yield "small_frame.gif", moved((3, 2))
    yield "overlapping_frame.gif", moved((10, 6))
    control = b"!\xf9\4\1\0\0\5\0"
    shifted = moved((3, 2))
    yield "small_transparent_frame.gif", shifted[:place] + control + shifted[place:]

    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossless_alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", saved(smooth, "WEBP", quality=80)
    yield "lossy_alpha.webp", saved(smooth_alpha, "WEBP", quality=80)
    frames = [smooth.rotate(180)]
    yield "animated.webp", saved(smooth, "WEBP", save_all=True, append_images=frames, lossless=True)

    short = lambda *values: (3, list(values))
    tags = lambda bits, photometric, **more: {
        256: short(width), 257: short(height), 258: short(*bits), 259: short(1), 262: short(photometric),
        277: short(len(bits)), 278: short(height), **{int(tag[1:]): value for tag, value in more.items()},
    }
    for bits in (1, 2, 4, 8):
        data = b"".join(map(bytes, packed(bits)))
        yield f"gray{bits}.tiff", tiff(tags([bits], 1), data)
        yield f"gray{bits}_inverted.tiff", tiff(tags([bits], 0), data)
        colours = short(*(int(v) for v in random(3 * 2**bits, of=np.uint16)))
        yield f"palette{bits}.tiff", tiff(tags([bits], 3, t320=colours), data)
    wide = random(height, width, of=np.uint16)
    wide[::2] >>= 7
    yield "gray16.tiff", tiff(tags([16], 1), wide.astype("<u2").tobytes())
    yield "gray16_big_endian.tiff", tiff(tags([16], 1), wide.astype(">u2").tobytes(), ">")
    yield "gray16_inverted.tiff", tiff(tags([16], 0), wide.astype("<u2").tobytes())
    signed = (wide.astype(np.int32) - 300).astype("<i2")
    yield "gray16_signed.tiff", tiff(tags([16], 1, t339=short(2)), signed.tobytes())
    yield "gray32.tiff", tiff(tags([32], 1), (random(height, width, of=np.uint32) >> 20).astype("<u4").tobytes())
    yield "gray32_signed.tiff", tiff(tags([32], 1, t339=short(2)), signed.astype("<i4").tobytes())
    floats = rng.normal(128, 100, (height, width)).astype("<f4")
    yield "float.tiff", tiff(tags([32], 1, t339=short(3)), floats.tobytes())
    yield "gray_alpha.tiff", tiff(tags([8, 8], 1, t338=short(2)), random(height, width, 2).tobytes())
    yield "rgb16.tiff", tiff(tags([16] * 3, 2), random(height, width, 3, of=np.uint16).tobytes())
    yield "rgba16.tiff", tiff(tags([16] * 4, 2, t338=short(2)), random(height, width, 4, of=np.uint16).tobytes())
    yield "rgba_premultiplied.tiff", tiff(tags([8] * 4, 2, t338=short(1)), random(height, width, 4).tobytes())
    for turn in range(1, 9):
        yield f"rgb_turned{turn}.tiff", tiff(tags([8] * 3, 2, t274=short(turn)), random(height, width, 3).tobytes())
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"rgb_{compression}.tiff", saved(rgb, "TIFF", compression=compression)
    yield "bilevel_group4.tiff", saved(gray.convert("1"), "TIFF", compression="group4")
    yield "rgba.tiff", saved(rgba, "TIFF")
    yield "cmyk.tiff", saved(cmyk, "TIFF")

    for name, options in {
        "444": {"subsampling": 0}, "422": {"subsampling": 1}, "420": {"subsampling": 2},
        "progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 2},
    }.items():
        yield f"{name}.jpg", saved(smooth, "JPEG", quality=85, **options)
    yield "gray.jpg", saved(smooth.convert("L"), "JPEG", quality=85)

    yield from variants(smooth)

    planes = random(3, height, width)
    yield "rgb_planes.tiff", tiff(tags([8] * 3, 2, t284=short(2)), planes.tobytes(), strips=3)


def variants(smooth):
    """Files that programs write seldom. They have random numbers of their own."""
    width, height = 13, 7
    rng = np.random.default_rng(11)
    random = lambda count: rng.integers(0, 256, count, np.uint8).tobytes()
    rows = lambda bits: b"".join(random((width * bits + 31) // 32 * 4) for _ in range(height))

    yield "os2v1.bmp", bmp(width, height, 8, rows(8), palette=random(3 * 256), header=12)
    yield "os2v2.bmp", bmp(width, height, 4, rows(4), palette=random(4 * 16), header=64)
    yield "headless.dib", bmp(width, height, 8, rows(8), palette=random(4 * 256))[14:]
    yield "short_palette.bmp", bmp(width, height, 8, rows(8), palette=random(4 * 100))
    grays = b"".join(bytes([gray] * 3 + [0]) for gray in range(256))
    yield "gray_palette.bmp", bmp(width, height, 8, rows(8), palette=grays)
    black_white = bytes([0, 0, 0, 0, 255, 255, 255, 0])
    yield "black_white.bmp", bmp(width, height, 1, rows(1), palette=black_white)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield "rgba_masks.bmp", bmp(width, height, 32, rows(32), 3, masks=masks, header=124)
    # A run of pairs, pixels one by one of an odd number, a move of the pen, and an early end of a row.
    row = bytes([5, 0x12, 0, 5, 0x34, 0x56, 0, 2, 1, 0, 0, 0])
    packed = row * (height - 1) + bytes([9, 0x78, 0, 0, 0, 1])
    yield "rle4.bmp", bmp(width, height, 4, packed, 2, palette=random(4 * 16))
    packed = bytes([0, 2, 3, 1, 4, 7, 0, 3, 1, 2, 3, 0, 99, 8, 0, 2, 0, 9])
    yield "rle8_moves.bmp", bmp(width, height, 8, packed, 1, palette=random(4 * 256))
    yield "rle8_top_down.bmp", bmp(width, -height, 8, packed, 1, palette=random(4 * 256))

    def saved(image, format, **options):
        file = io.BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    plain = saved(smooth.convert("L"), "GIF", interlace=0)  # its palette has all greys
    start = 13 + 3 * 256
    yield "no_palette.gif", plain[:10] + bytes([plain[10] & 0x7F]) + plain[11:13] + plain[start:]
    yield "short_palette.gif", plain[:10] + bytes([0x82]) + plain[11:13] + random(24) + plain[start:]
    long_control = b"!\xf9\4\1\0\0\5\2\0\0\0"
    yield "long_control.gif", plain[:start] + long_control + plain[start:]

    clear = smooth.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(smooth.size))
    frames = [clear.rotate(180)]
    blended = bytearray(saved(clear, "WEBP", save_all=True, append_images=frames, lossless=True, exact=True))
    blended[blended.index(b"ANMF") + 8 + 15] &= ~2  # blends with what is below
    yield "blended_first_frame.webp", bytes(blended)

    jpeg = saved(smooth, "JPEG", quality=85, subsampling=2)
    tables = jpeg.index(b"\xff\xdb")
    yield "stray_bytes.jpg", jpeg[:tables] + b"\0\0\x0d\xff\xff" + jpeg[tables:]
    corner = smooth.crop((0, 0, 4, 4))
    yield "420_4x4.jpg", saved(corner, "JPEG", quality=85, subsampling=2)
    progressive = saved(smooth, "JPEG", quality=85, progressive=True)
    scan = [at for at in range(len(progressive)) if progressive[at : at + 2] == b"\xff\xda"]
    yield "progressive_first_scans.jpg", progressive[: scan[2]] + b"\xff\xd9"
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\1\0\0\0\1\6\0\0\0\0\0\0\0"
    yield "orientation_byte.jpg", saved(smooth, "JPEG", quality=85, exif=turned)


def files():
    """What Pillow decodes from files of every kind and converts to RGB."""
    folder = FOLDER / "files"
    folder.mkdir(exist_ok=True)
    rows = {}
    for name, content in made_files():
        (folder / name).write_bytes(content)
    for path in sorted([*(FOLDER / "images").iterdir(), *folder.iterdir()]):
        try:
            image = Image.open(path)
            mode = image.mode
            image = image.convert("RGB")
            rows[path.name] = {"mode": mode, "size": image.size, "sha256": digest(np.asarray(image))}
        except Exception as error:
            rows[path.name] = {"error": f"{type(error).__name__}: {error}"}
    write("files.json", rows)


def landscape(width, height):
    """Pixels with the spectrum of a photograph: random numbers of every scale, and hard edges."""
    rng = np.random.default_rng(11)
    pixels = np.full((height, width, 3), 128.0)
    for octave in range(1, 8):
        small = rng.normal(0, 60 / octave, (2**octave, 2**octave, 3))
        small[..., 1:] = 0.7 * small[..., :1] + 0.3 * small[..., 1:]  # colours vary less than light
        for channel in range(3):
            layer = Image.fromarray(small[..., channel].astype(np.float32))
            pixels[..., channel] += np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (230, 40, 20)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def scaled():
    """What Pillow decodes from JPEG at a half, a quarter and an eighth of the size, and its resize from it."""
    folder = FOLDER / "scaled"
    folder.mkdir(exist_ok=True)
    image = landscape(333, 251)
    for name, mode, options in (
        ("420", "RGB", {"subsampling": 2}),
        ("444_progressive", "RGB", {"subsampling": 0, "progressive": True}),
        ("gray", "L", {}),
        ("cmyk", "CMYK", {}),
    ):
        image.convert(mode).save(folder / f"{name}.jpg", quality=85, **options)
    rows = {}
    for place in ("images", "files", "scaled"):
        for path in sorted((FOLDER / place).glob("*.jpg")):
            for scale in (2, 4, 8):
                image = Image.open(path)
                to = tuple(max(1, side // (2 * scale)) for side in image.size)
                _, box = image.draft(None, tuple(2 * side for side in to)) or (None, (0, 0, *image.size))
                image = image.convert("RGB")
                rows[f"{place}/{path.name} {to[0]}x{to[1]}"] = {
                    "size": image.size,
                    "sha256": digest(np.asarray(image)),
                    "resized": digest(np.asarray(image.resize(to, Image.Resampling.BICUBIC, box=box))),
                }
    write("scaled.json", rows)


def main():
    steps = {"tensors": tensors, "resizes": resizes, "files": files, "scaled": scaled}
    for name in sys.argv[1:] or steps:
        steps[name]()


if __name__ == "__main__":
    main()
