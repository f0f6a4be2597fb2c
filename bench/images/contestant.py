"""Libraries that read image files, as contestants: `pillow`, `pillow-simd` (the same code), or `libvips`.

The protocol is described in ../contestant/src/lib.rs. Each makes of a file the tensor of a CLIP model: resized to
the shortest edge, cropped at the centre, normalised. Without `scaled` the whole file is decoded; with it JPEG is
decoded at a fraction of its size, where the library offers that.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


class Pillow:
    def __init__(self):
        import PIL

        self.version = PIL.__version__

    def tensor(self, path, scaled, config):
        from PIL import Image

        edge = config["size"]["shortest_edge"]
        image = Image.open(path)
        width, height = image.size
        shortest = min(width, height)
        size = (int(edge * width / shortest), int(edge * height / shortest))
        box = (0, 0, width, height)
        if scaled:
            # As `thumbnail` does by default: at least twice the size that is wanted.
            _, box = image.draft(None, (2 * size[0], 2 * size[1])) or (None, box)
        image = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=box)
        left, top = (size[0] - edge) // 2, (size[1] - edge) // 2
        pixels = np.asarray(image.crop((left, top, left + edge, top + edge)))
        mean = np.array(config["image_mean"], np.float32)
        std = np.array(config["image_std"], np.float32)
        pixels = (pixels * (1 / 255)).astype(np.float32)
        return ((pixels - mean) / std).transpose(2, 0, 1)

    def make(self, request):
        """Photographs of each size, tiled from the given ones, as a camera writes them: with some noise."""
        from PIL import Image

        random = np.random.default_rng(1)
        photographs = [Image.open(path).convert("RGB") for path in request["pictures"]]
        for name, width, height, ending in request["files"]:
            whole = Image.new("RGB", (width, height))
            tile = (min(width, 1000), min(height, 750))
            places = [(x, y) for y in range(0, height, tile[1]) for x in range(0, width, tile[0])]
            for index, place in enumerate(places):
                photograph = photographs[index % len(photographs)]
                whole.paste(photograph.resize(tile, Image.Resampling.LANCZOS), place)
            noise = random.normal(0, 2, (height, width, 1)) + random.normal(0, 1, (height, width, 3))
            pixels = (np.asarray(whole) + noise).clip(0, 255).astype(np.uint8)
            options = {"quality": 85, "subsampling": 2} if ending == "jpg" else {}
            Image.fromarray(pixels).save(Path(request["folder"]) / f"{name}.{ending}", **options)
        return {}


class Vips:
    def __init__(self):
        import pyvips

        pyvips.cache_set_max(0)
        self.version = ".".join(str(pyvips.version(part)) for part in range(3))

    def tensor(self, path, scaled, config):
        import pyvips

        edge = config["size"]["shortest_edge"]
        if scaled:
            image = pyvips.Image.thumbnail(path, edge, height=edge, crop="centre")
        else:
            whole = pyvips.Image.new_from_file(path, access="sequential")
            image = whole.thumbnail_image(edge, height=edge, crop="centre")
        mean = [255 * value for value in config["image_mean"]]
        std = [255 * value for value in config["image_std"]]
        pixels = ((image - mean) / std).cast("float").numpy()
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


class Contestant:
    def __init__(self, library):
        self.library = library

    def version(self, request):
        return {"version": self.library.version}

    def make(self, request):
        return self.library.make(request)

    def files(self, request):
        """Each file to its tensor, in turn."""
        config = json.loads(Path(request["config"]).read_text())
        paths = Path(request["inputs"]).read_text(encoding="utf-8").splitlines()
        seconds, tensors = [], []
        for path in paths:
            start = time.perf_counter()
            tensor = self.library.tensor(path, request["scaled"], config)
            seconds.append(time.perf_counter() - start)
            if request.get("to"):
                tensors.append(tensor)
        if request.get("to"):
            with open(request["to"], "wb") as file:
                for tensor in tensors:
                    file.write(tensor.astype("<f4").tobytes())
        return {"seconds": seconds}


def main():
    contestant = Contestant(Vips() if sys.argv[1] == "libvips" else Pillow())
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["op"] not in ("version", "make", "files"):
                raise ValueError(f"there is no operation {request['op']}")
            answer = getattr(contestant, request["op"])(request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
