"""TIFF files of every kind and what Pillow makes of them, in ../image-preprocess/tiff and tiff.json.

    python tiffs.py

Needs Pillow 12. A row of tiff.json has size and SHA-256 of Pillow's RGB. It has `error` where we refuse
the file, whatever Pillow does, and `same` where Pillow fails or gives wrong pixels: the file that has the
same picture. What Pillow does is in `original` then.
"""

import io
import lzma
import struct
import zlib

import numpy as np
from PIL import Image

from pixels import FOLDER, digest, write

TIFF = FOLDER / "tiff"
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
WIDTH, HEIGHT = 21, 19
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
SIZES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", UNDEFINED: "B", 16: "Q"}


def tiff(tags, strips, order="<", big=False, places=(273, 279), behind=b"", following=0):
    """A file of `tags` (number to type and values; None leaves one out) and `strips`, or tiles."""
    long, head, entry = ("Q", 16, 20) if big else ("I", 8, 12)
    body, offsets = b"", []
    for strip in strips:
        offsets.append(head + len(body))
        body += strip + b"\0" * (len(strip) % 2)
    listed = {places[0]: (16 if big else LONG, offsets), places[1]: (16 if big else LONG, [len(s) for s in strips])}
    tags = {number: tag for number, tag in {**listed, **tags}.items() if tag}
    start = head + len(body)
    rest = start + (8 if big else 2) + entry * len(tags) + (8 if big else 4)
    entries, values = b"", b""
    for number, (kind, listed) in sorted(tags.items()):
        packed = struct.pack(order + SIZES[kind] * len(listed), *listed)
        count = len(listed) // (2 if kind == RATIONAL else 1)
        if len(packed) > (8 if big else 4):
            values += b"\0" * (len(values) % 2)
            packed, values = struct.pack(order + long, rest + len(values)), values + packed
        entries += struct.pack(order + "HH" + long, number, kind, count) + packed.ljust(8 if big else 4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    header = struct.pack(order + "HHHQ", 43, 8, 0, start) if big else struct.pack(order + "HI", 42, start)
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    return mark + header + body + count + entries + struct.pack(order + long, following) + values + behind


def strip_of(image, compression, **options):
    """The one strip that Pillow writes of an image."""
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression, tiffinfo={278: image.height, **options})
    saved = Image.open(io.BytesIO(file.getvalue()))
    (start,), (length,) = saved.tag_v2[273], saved.tag_v2[279]
    return file.getvalue()[start : start + length]


def by_pillow(name):
    return lambda data: strip_of(Image.frombytes("L", (len(data), 1), data), name)


def old_lzw(data):
    """Codes from the lowest bit on, as before TIFF 6; the table is cleared before codes get longer."""
    codes = []
    for index, byte in enumerate(data):
        if index % 200 == 0:
            codes.append(256)
        codes.append(byte)
    bits = sum(code << (9 * index) for index, code in enumerate([*codes, 257]))
    return bits.to_bytes((9 * (len(codes) + 1) + 7) // 8, "little")


def xz(data):
    filters = [{"id": lzma.FILTER_DELTA, "dist": 3}, {"id": lzma.FILTER_LZMA2}]
    return lzma.compress(data, check=lzma.CHECK_CRC64, filters=filters)


CODES = {
    "raw": (1, bytes), "lzw": (5, by_pillow("tiff_lzw")), "old_lzw": (5, old_lzw),
    "deflate": (8, zlib.compress), "old_deflate": (32946, zlib.compress),
    "packbits": (32773, by_pillow("packbits")), "lzma": (34925, xz), "zstd": (50000, by_pillow("zstd")),
}


def packed(samples, order):
    """Rows of samples (rows, columns, channels) with their number of bits."""
    array, bits = samples
    if bits >= 8:
        return array.astype(array.dtype.newbyteorder(order)).tobytes()
    rows = (("".join(f"{value:0{bits}b}" for value in row.ravel())) for row in array)
    rows = (row + "0" * (-len(row) % 8) for row in rows)
    return b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)


def differences(array, predictor):
    if predictor == 2:
        return np.concatenate([array[:, :1], array[:, 1:] - array[:, :-1]], axis=1)
    planes = array[:, :, 0].astype(">f4").view(np.uint8).reshape(*array.shape[:2], 4)
    planes = planes.transpose(0, 2, 1).reshape(len(array), -1)
    return differences(planes[:, :, None], 2)


def coded(samples, photometric, code="raw", order="<", planes=False, rows=7, tile=None, predictor=1,
          fill=1, extra=None, form=1, big=False, change=(), **file):
    """A file of samples: an array of rows, columns and channels, and the bits of a sample."""
    array, bits = samples
    number, encode = CODES[code]
    parts = []
    for part in [array[:, :, [at]] for at in range(array.shape[2])] if planes else [array]:
        across, down = tile or (WIDTH, rows)
        if tile:
            part = np.pad(part, ((0, -HEIGHT % down), (0, -WIDTH % across), (0, 0)))
        for top in range(0, part.shape[0], down):
            for left in range(0, part.shape[1], across):
                parts.append(part[top : top + down, left : left + across])
    parts = [part if predictor == 1 else differences(part, predictor) for part in parts]
    strips = [encode(packed((part, bits), order)) for part in parts]
    strips = [strip.translate(REVERSED) if fill == 2 else strip for strip in strips]
    count = array.shape[2]
    tags = {
        256: (LONG, [WIDTH]), 257: (LONG, [HEIGHT]), 258: (SHORT, [bits] * count), 259: (SHORT, [number]),
        262: (SHORT, [photometric]), 277: (SHORT, [count]), 266: (SHORT, [fill]),
        284: (SHORT, [2 if planes else 1]), 317: (SHORT, [predictor]), 339: (SHORT, [form] * count),
    }
    tags |= {322: (LONG, [tile[0]]), 323: (LONG, [tile[1]])} if tile else {278: (LONG, [rows])}
    if extra:
        tags[338] = (SHORT, extra)
    places = (324, 325) if tile else (273, 279)
    return tiff({**tags, **dict(change)}, strips, order, big, places, **file)


def files():
    """Name, content, and what we do otherwise than Pillow."""
    rng = np.random.default_rng(12)
    noise = lambda channels, of=np.uint8, most=None: rng.integers(
        0, most or np.iinfo(of).max, (HEIGHT, WIDTH, channels), of, True)
    rgb, four, six = (noise(3), 8), (noise(4), 8), (noise(6), 8)
    gray, indices = (noise(1), 8), (noise(2), 8)
    wide, wide4 = (noise(3, np.uint16), 16), (noise(4, np.uint16), 16)
    gray16 = noise(1, np.uint16)
    gray16[::2] >>= 8
    gray16 = (gray16, 16)
    signed = (rng.integers(-100, 400, (HEIGHT, WIDTH, 1)).astype(np.int16), 16)
    signed32 = (signed[0].astype(np.int32), 32)
    floats = (rng.normal(128, 100, (HEIGHT, WIDTH, 1)).astype(np.float32), 32)
    tag = lambda number, kind, *values: (number, (kind, list(values)))
    colours = tag(320, SHORT, *rng.integers(0, 65536, 768).tolist())

    for code in CODES:
        yield f"rgb_{code}", coded(rgb, 2, code), {}
        if code in ("lzw", "deflate", "lzma", "zstd"):
            yield f"rgb_{code}_predictor", coded(rgb, 2, code, predictor=2), {}
            yield f"gray16_{code}_predictor", coded(gray16, 1, code, predictor=2), {}
    yield "rgb_packbits_predictor_without_effect", coded(rgb, 2, "packbits", change=[tag(317, SHORT, 2)]), {}
    yield "gray16_big_endian_predictor", coded(gray16, 1, "lzw", ">", predictor=2), {}
    yield "gray16_tiles", coded(gray16, 1, "deflate", tile=(16, 16), predictor=2), {}
    for code in ("raw", "lzw", "deflate"):
        yield f"rgb_fill_order_{code}", coded(rgb, 2, code, fill=2), {}
        yield f"rgb_tiles_{code}", coded(rgb, 2, code, tile=(16, 16)), {}
        yield f"rgb_planes_{code}", coded(rgb, 2, code, planes=True), {}
        yield f"rgb_planes_tiles_{code}", coded(rgb, 2, code, planes=True, tile=(16, 16)), {}
    for bits in (1, 2, 4):
        few = (noise(1, most=2**bits - 1), bits)
        for photometric in (0, 1):
            for code in ("raw", "packbits"):
                yield f"gray{bits}_{photometric}_fill_order_{code}", coded(few, photometric, code, fill=2), {}
        yield f"palette{bits}_fill_order", coded(few, 3, "lzw", fill=2, change=[tag(320, SHORT, *colours[1][1][: 3 * 2**bits])]), {}
    yield "gray_fill_order", coded(gray, 1, fill=2), {}
    yield "gray16_fill_order", coded(gray16, 1, fill=2), {}
    yield "gray12", gray12(noise(1, np.uint16, 600)), {}

    yield "palette_unspecified", coded(indices, 3, "lzw", extra=[0], change=[colours]), {}
    yield "palette_alpha", coded(indices, 3, extra=[2], change=[colours]), {}
    yield "palette_short", coded(gray, 3, change=[tag(320, SHORT, *colours[1][1][:300])]), {}
    yield "four_unnamed", coded(four, 2, "lzw", predictor=2), {}
    yield "four_unspecified", coded(four, 2, "deflate", predictor=2, extra=[0]), {}
    yield "four_premultiplied", coded(four, 2, extra=[1]), {}
    yield "four_planes_premultiplied", coded(four, 2, "lzw", planes=True, extra=[1]), {}
    yield "four_planes_unnamed", coded(four, 2, "lzw", planes=True), {}
    yield "four_planes_alpha", coded(four, 2, "lzw", planes=True, extra=[2]), {}
    yield "six_unspecified", coded(six, 2, "lzw", extra=[0, 0, 0]), {}
    yield "six_premultiplied", coded(six, 2, extra=[1, 0, 0]), {}
    yield "six_inks", coded(six, 5, extra=[0, 0]), {}
    yield "inks", coded(four, 5, "lzw", predictor=2), {}
    yield "inks16", coded(wide4, 5, "lzw"), {}
    yield "wide_lzw", coded(wide, 2, "lzw", predictor=2), {}
    yield "wide_lzw_big_endian", coded(wide, 2, "lzw", ">"), {}
    yield "wide_planes", coded(wide, 2, "deflate", planes=True), {}
    yield "wide_planes_big_endian", coded(wide, 2, "lzw", ">", planes=True, predictor=2), {}
    yield "wide_planes_raw", coded(wide, 2, planes=True), {"same": "wide_planes"}
    yield "wide4_premultiplied", coded(wide4, 2, extra=[1]), {}
    yield "signed", coded(signed, 1, "lzw", form=2, predictor=2), {}
    yield "signed_big_endian", coded(signed, 1, order=">", form=2), {}
    yield "signed_big_endian_lzw", coded(signed, 1, "lzw", ">", form=2), {"same": "signed"}
    yield "signed32_big_endian_deflate", coded(signed32, 1, "deflate", ">", form=2), {"same": "signed"}
    yield "unsigned32_big_endian", coded((abs(signed32[0]), 32), 1, order=">"), {"error": True}
    yield "float", coded(floats, 1, "deflate", form=3, predictor=3), {}
    yield "float_big_endian", coded(floats, 1, order=">", form=3), {}
    yield "float_big_endian_predictor", coded(floats, 1, "lzw", ">", form=3, predictor=3), {"same": "float"}

    yield "lab", coded(rgb, 8, "lzw"), {}
    yield "lab_planes", coded(rgb, 8, "lzw", planes=True), {"same": "lab"}
    codes = noise(3)
    one = tag(530, SHORT, 1, 1)
    yield "ycbcr", coded((codes, 8), 6, "lzw", change=[one]), {}
    yield "ycbcr_raw", coded((codes, 8), 6, change=[one]), {"same": "ycbcr"}
    yield "ycbcr_planes", coded((codes, 8), 6, "lzw", planes=True, change=[one]), {}
    for across, down in ((2, 1), (2, 2), (1, 2), (4, 1), (4, 2)):
        blocks = lambda width, height: rng.integers(
            0, 256, -(-width // across) * -(-height // down) * (across * down + 2), np.uint8).tobytes()
        tags = dict([*page(6, 3, 5), tag(278, LONG, 8), tag(530, SHORT, across, down)])
        strips = [CODES["lzw"][1](blocks(WIDTH, min(8, HEIGHT - top))) for top in range(0, HEIGHT, 8)]
        yield f"ycbcr{across}{down}", tiff(tags, strips), {}
        del tags[278]
        tags |= dict([tag(322, LONG, 16), tag(323, LONG, 16)])
        tags |= dict([tag(529, RATIONAL, 2126, 10000, 7152, 10000, 722, 10000)])
        tags |= dict([tag(532, RATIONAL, 15, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)])
        tiles = [CODES["lzw"][1](blocks(16, 16)) for _ in range(4)]
        yield f"ycbcr{across}{down}_tiles", tiff(tags, tiles, places=(324, 325)), {}

    smooth = Image.fromarray(rng.integers(0, 256, (3, 4, 4), np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    for mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        source = smooth if mode in ("LA", "RGBA") else smooth.convert("RGB")
        file = io.BytesIO()
        source.convert(mode).save(file, "TIFF", compression="jpeg", tiffinfo={278: 8})
        yield f"jpeg_{mode}", file.getvalue(), {}
    jpeg = io.BytesIO()
    smooth.convert("RGB").save(jpeg, "JPEG", subsampling=2)
    jpeg = jpeg.getvalue()
    yield "jpeg_whole", tiff(dict([*page(6, 3, 7), tag(278, LONG, HEIGHT)]), [jpeg]), {}
    yield "jpeg_old", tiff(dict([*page(6, 3, 6), tag(278, LONG, HEIGHT), tag(513, LONG, 8)]), [jpeg]), {}
    yield "jpeg_old_strip", tiff(dict([*page(6, 3, 6), tag(278, LONG, HEIGHT)]), [jpeg]), {}
    yield "jpeg_old_tables", tiff(dict([*page(6, 3, 6), tag(278, LONG, HEIGHT), tag(519, LONG, 8)]), [jpeg[600:]]), {"error": True}
    yield "jpeg_of_other_size", tiff(dict([*page(6, 3, 7), tag(256, LONG, 30), tag(278, LONG, HEIGHT)]), [jpeg]), {"error": True}

    fax = Image.fromarray(np.repeat(rng.integers(0, 2, (40, 10)), 7, 1).astype(bool))
    for name, options in {
        "tiff_ccitt": {}, "group3": {}, "group3_2d": {292: 1}, "group3_aligned": {292: 4}, "group4": {},
        "group4_reversed": {266: 2}, "group3_2d_reversed": {292: 1, 266: 2}, "group4_strips": {278: 9},
    }.items():
        method = name if name == "tiff_ccitt" else name[:6]
        file = io.BytesIO()
        fax.save(file, "TIFF", compression=method, tiffinfo={278: 2**31 - 1, **options})
        yield f"fax_{name}", file.getvalue(), {}
    file = io.BytesIO()
    fax.save(file, "TIFF", compression="tiff_raw_16")
    yield "fax_words", file.getvalue(), {"same": "fax_group4"}
    short = strip_of(fax, "group4")
    tags = dict([*page(0, 1, 4, 1), tag(256, LONG, 70), tag(257, LONG, 50), tag(278, LONG, 50)])
    yield "fax_too_short", tiff(tags, [short]), {"error": True}

    xmp = lambda value: tag(700, BYTE, *f'<x tiff:Orientation="{value}"/>'.encode())
    for name, tags in {
        "short": [tag(274, SHORT, 6)], "byte": [tag(274, BYTE, 6)], "text": [tag(274, ASCII, 54, 0)],
        "fraction": [tag(274, RATIONAL, 12, 2)], "long": [tag(274, LONG, 3)], "unknown": [tag(274, SHORT, 9)],
        "xmp": [xmp(6)], "xmp_and_short": [xmp(6), tag(274, SHORT, 3)], "xmp_and_byte": [xmp(6), tag(274, BYTE, 3)],
    }.items():
        yield f"turned_{name}", coded(rgb, 2, "deflate", change=tags), {}
    yield "turned_gray_in_one_strip", coded(gray, 1, "deflate", rows=HEIGHT, change=[tag(274, SHORT, 6)]), {}
    # The original maps raw ones into memory with sides that are exchanged already.
    same = {"same": "turned_gray_in_one_strip"}
    yield "turned_gray_in_one_raw_strip", coded(gray, 1, rows=HEIGHT, change=[tag(274, SHORT, 6)]), same
    yield "turned_inks", coded(four, 5, "deflate", rows=HEIGHT, change=[tag(274, SHORT, 6)]), {}
    yield "turned_inks_raw", coded(four, 5, rows=HEIGHT, change=[tag(274, SHORT, 6)]), {"same": "turned_inks"}

    yield "rgb_bigtiff", coded(rgb, 2, "lzw", big=True), {}
    yield "rgb_bigtiff_big_endian", coded(rgb, 2, "lzw", ">", big=True), {"same": "rgb_bigtiff"}
    swapped = coded(rgb, 2)
    yield "rgb_version_swapped", swapped[:2] + swapped[3:1:-1] + swapped[4:], {}
    yield "rgb_broken_second_page", coded(rgb, 2, "lzw", following=10**8), {}
    yield "rgb_one_number_of_bits", coded(rgb, 2, change=[tag(258, SHORT, 8)]), {}
    yield "rgb_without_lengths", coded(rgb, 2, change=[(279, None)]), {}
    yield "rgb_largest_strip", coded(rgb, 2, "lzw", rows=HEIGHT, change=[tag(278, LONG, 2**32 - 1)]), {}
    two = np.concatenate([rgb[0], four[0][:, :, :3]])
    strips = [two[top : top + HEIGHT].tobytes() for top in (0, HEIGHT)]
    yield "rgb_two_whole_strips", tiff(dict([*page(2, 3, 1), tag(278, LONG, HEIGHT)]), strips), {}

    for name, tags in {
        "fill_order": [tag(266, SHORT, 3)], "planar_configuration": [tag(284, SHORT, 3)],
        "predictor": [tag(317, SHORT, 9)], "compression": [tag(259, SHORT, 34887)], "webp": [tag(259, SHORT, 50001)],
        "photometric": [tag(262, SHORT, 32844)], "formats": [tag(339, SHORT, 1, 1, 2)], "bits": [tag(258, SHORT, 8, 8, 4)],
        "text_for_compression": [tag(259, ASCII, 53, 0)], "rows": [tag(278, LONG, 0)], "no_width": [(256, None)],
        "extra": [tag(338, SHORT, 0)], "no_strips": [(273, None)], "far_strips": [tag(273, LONG, 10**6)],
        "float_predictor": [tag(317, SHORT, 3)],
    }.items():
        yield f"refused_{name}", coded(rgb, 2, "lzw", rows=HEIGHT, change=tags), {"error": True}
    yield "refused_cut", coded(rgb, 2, rows=HEIGHT)[:900], {"error": True}
    for code, (number, encode) in list(CODES.items())[1:]:
        tags = dict([*page(2, 3, number), tag(278, LONG, HEIGHT)])
        yield f"refused_short_{code}", tiff(tags, [encode(rgb[0].tobytes()[:-1])]), {"error": True}


def page(photometric, channels, compression, bits=8):
    """The tags of a page of the usual size."""
    return [
        (256, (LONG, [WIDTH])), (257, (LONG, [HEIGHT])), (258, (SHORT, [bits] * channels)),
        (259, (SHORT, [compression])), (262, (SHORT, [photometric])), (277, (SHORT, [channels])),
    ]


def gray12(array):
    rows = ("".join(f"{value:012b}" for value in row.ravel()) for row in array)
    rows = [int(row + "0" * (-len(row) % 8), 2).to_bytes((12 * WIDTH + 7) // 8, "big") for row in rows]
    return tiff(dict([*page(1, 1, 1, 12), (278, (LONG, [HEIGHT]))]), [b"".join(rows)])


def original(path):
    """Size and digest of Pillow's pixels, or its exception."""
    try:
        image = Image.open(path).convert("RGB")
        return {"size": image.size, "sha256": digest(np.asarray(image))}
    except Exception as error:
        return {"error": type(error).__name__}


def main():
    TIFF.mkdir(exist_ok=True)
    for path in TIFF.iterdir():
        path.unlink()
    rows = {}
    for name, content, other in files():
        path = TIFF / f"{name}.tiff"
        path.write_bytes(content)
        row = original(path)
        if "same" in other:
            assert row != rows[other["same"] + ".tiff"], f"{name} needs no exception"
            row = {"same": other["same"] + ".tiff", "original": row}
        elif "error" in other:
            row = {"error": "refused", "original": row}
        else:
            assert "error" not in row, f"{name}: {row}"
        rows[path.name] = row
    write("tiff.json", rows)


if __name__ == "__main__":
    main()
