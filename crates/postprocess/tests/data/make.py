"""Makes the golden data anew: what NumPy and FastEmbed 0.9.1 compute.

`python make.py` writes the three files beside it. Seeds, parameters and the vectors of the small
configurations are read from the files that are there; everything else is computed.
"""

import json
from pathlib import Path

import numpy as np
from fastembed.postprocess.muvera import Muvera

FOLDER = Path(__file__).parent

# The sizes that people use. k_sim, dim_proj, seed; vectors, their seed, how much of the first vector
# all of them carry, dtype.
SIZES = [
    (4, 16, 42, 128, 1, 0.0, "float32"),
    (4, 32, 42, 32, 2, 0.0, "float32"),
    (5, 16, 42, 128, 3, 0.0, "float32"),
    (5, 16, 7, 300, 4, 1.5, "float32"),
    (5, 24, 42, 77, 5, 0.5, "float64"),
    (5, 32, 42, 32, 6, 0.0, "float32"),
    (6, 16, 42, 128, 7, 0.0, "float64"),
    (6, 32, 42, 128, 8, 1.5, "float32"),
    (6, 32, 2**100 + 3, 5, 9, 0.0, "float32"),
    (6, 128, 42, 64, 10, 0.5, "float32"),
]
DIM, REPS = 128, 20


def checksum(values):
    """xor over i of the bits of value i times i + 1, modulo 2^64."""
    places = np.arange(1, len(values) + 1, dtype=np.uint64)
    return f"{int(np.bitwise_xor.reduce(values.view(np.uint64) * places)):#x}"


def choices(generator, count):
    return generator.choice([-1, 1], size=count).tolist()


def rng(old):
    """One row per seed of the old file, and a long run of normals."""
    seeds = []
    for seed in (int(row["seed"]) for row in old["seeds"]):
        state = np.random.PCG64(seed).state["state"]
        new = lambda: np.random.default_rng(seed)
        mixed = new()
        words = np.random.SeedSequence(seed).generate_state(4, np.uint64)
        seeds.append(
            {
                "seed": str(seed),
                "seed_sequence_u64x4": [f"{int(word):#x}" for word in words],
                "state": f"{state['state']:#x}",
                "inc": f"{state['inc']:#x}",
                "u64": [f"{int(word):#x}" for word in np.random.PCG64(seed).random_raw(6)],
                "random": new().random(4).tolist(),
                "normal": new().normal(size=12).tolist(),
                "choice_pm1": choices(new(), 40),
                "mixed": {
                    "normal3": mixed.normal(size=3).tolist(),
                    "choice5": choices(mixed, 5),
                    "normal2": mixed.normal(size=2).tolist(),
                    "choice4": choices(mixed, 4),
                },
            }
        )
    normals = np.random.default_rng(42).normal(size=200_000)
    tails = np.flatnonzero(np.abs(normals) > 3.6541528853610087963519472518)
    run = {
        "tail_index": tails.tolist(),
        "tail_value": normals[tails].tolist(),
        "xor_of_bits_times_index_plus_1": checksum(normals),
        "sum": float(normals.sum()),
        "last": normals[-3:].tolist(),
    }
    return {"about": old["about"], "seeds": seeds, "normal_seed42_200000": run}


def small(old):
    """The configurations of the old file: in full, or samples where the vectors are a recipe."""
    cases = []
    for row in old["cases"]:
        encoder = Muvera(**row["params"])
        case = {key: row[key] for key in ("name", "params", "vectors")}
        case["embedding_size"] = encoder.embedding_size
        if isinstance(row["vectors"], list):
            in_full(case, encoder, np.array(row["vectors"]))
        else:
            in_samples(case, encoder, np.random.default_rng(42).random((10, 128)), row["index"])
        cases.append(case)
    return {"about": old["about"], "cases": cases}


def in_full(case, encoder, vectors):
    planes = [projection.simhash_vectors for projection in encoder.simhash_projections]
    nonzero = vectors[np.any(vectors != 0, axis=1)]
    case["simhash_vectors"] = [plane.tolist() for plane in planes]
    case["dim_reduction_projections"] = encoder.dim_reduction_projections.tolist()
    case["cluster_ids"] = [
        projection.get_cluster_ids(vectors).tolist() for projection in encoder.simhash_projections
    ]
    case["document"] = encoder.process_document(vectors).tolist()
    case["query"] = encoder.process_query(vectors).tolist()
    case["fill_only"] = encoder.process(vectors, True, False).tolist()
    case["normalize_only"] = encoder.process(vectors, False, True).tolist()
    dots = [np.abs(nonzero @ plane).min() for plane in planes if plane.size]
    case["margin"] = float(min(dots)) if dots else None


def in_samples(case, encoder, vectors, places):
    case["vectors_first"] = vectors.flatten()[:4].tolist()
    case["vectors_last"] = vectors.flatten()[-4:].tolist()
    case["index"] = places
    encodings = {
        "document": encoder.process_document(vectors),
        "query": encoder.process_query(vectors),
    }
    for name, encoding in encodings.items():
        case[f"{name}_at_index"] = encoding[places].tolist()
        case[f"{name}_sum"] = float(encoding.sum())
        case[f"{name}_norm"] = float(np.linalg.norm(encoding))
    nonzero = encodings["query"][encodings["query"] != 0]
    case["query_nonzero"] = len(nonzero)
    case["document_first"] = encodings["document"][:16].tolist()
    case["query_nonzero_first"] = nonzero[:16].tolist()
    planes = [projection.simhash_vectors.flatten() for projection in encoder.simhash_projections]
    signs = encoder.dim_reduction_projections.flatten()
    case["simhash_rep0_first"] = planes[0][:8].tolist()
    case["simhash_rep19_last"] = planes[19][-8:].tolist()
    case["projection_first"] = signs[:32].tolist()
    case["projection_last"] = signs[-32:].tolist()
    clusters = encoder.simhash_projections[0].get_cluster_ids(vectors)
    case["cluster_ids_rep0"] = clusters.tolist()


def sizes():
    cases = []
    for k_sim, dim_proj, seed, count, vector_seed, shared, dtype in SIZES:
        encoder = Muvera(DIM, k_sim=k_sim, dim_proj=dim_proj, r_reps=REPS, random_seed=seed)
        drawn = np.random.default_rng(vector_seed).normal(size=(count, DIM))
        vectors = (drawn + shared * drawn[0]).astype(dtype)
        ids = [projection.get_cluster_ids(vectors) for projection in encoder.simhash_projections]
        cases.append(
            {
                "k_sim": k_sim,
                "dim_proj": dim_proj,
                "random_seed": str(seed),
                "count": count,
                "vector_seed": vector_seed,
                "shared": shared,
                "dtype": dtype,
                "last_starts": [float(value) for value in vectors[-1][:3]],
                # The lowest clusters that have vectors, in each repetition.
                "clusters": [np.unique(of)[:8].tolist() for of in ids],
                "document": sampled(encoder.process_document(vectors)),
                "query": sampled(encoder.process_query(vectors)),
            }
        )
    return {"dim": DIM, "r_reps": REPS, "cases": cases}


def sampled(encoding):
    # An odd step, so that all repetitions, clusters and columns occur.
    step = len(encoding) // 97 | 1
    return {
        "step": step,
        "values": encoding[::step].tolist(),
        "sum": float(sum(encoding.tolist())),
        "nonzero": int(np.count_nonzero(encoding)),
        "xor_of_bits_times_index_plus_1": checksum(encoding),
    }


def write(name, make):
    file = FOLDER / name
    old = (json.loads(file.read_text()),) if make is not sizes else ()
    file.write_text(json.dumps(make(*old), separators=(",", ":")) + "\n")


write("numpy-rng.json", rng)
write("muvera.json", small)
write("muvera-sizes.json", sizes)
