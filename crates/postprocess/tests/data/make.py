"""Encodings of FastEmbed 0.9.1 at the sizes that people use, as samples: muvera-sizes.json."""

import json

import numpy as np
from fastembed.postprocess.muvera import Muvera

# k_sim, dim_proj, seed, vectors, their seed, how much of the first vector all others carry, dtype
CASES = [
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


def vectors(count, seed, shared, dtype):
    drawn = np.random.default_rng(seed).normal(size=(count, DIM))
    return (drawn + shared * drawn[0]).astype(dtype)


def sampled(encoding):
    # A step that is prime to the layout, so that all repetitions, clusters and columns occur.
    places = range(0, len(encoding), len(encoding) // 97 | 1)
    bits = np.bitwise_xor.reduce(
        encoding.view(np.uint64) * np.arange(1, len(encoding) + 1, dtype=np.uint64)
    )
    return {
        "step": len(encoding) // 97 | 1,
        "values": [float(encoding[place]) for place in places],
        "sum": float(sum(float(value) for value in encoding)),
        "nonzero": int(np.count_nonzero(encoding)),
        "xor_of_bits_times_index_plus_1": f"{int(bits):#018x}",
    }


cases = []
for k_sim, dim_proj, seed, count, vector_seed, shared, dtype in CASES:
    encoder = Muvera(DIM, k_sim=k_sim, dim_proj=dim_proj, r_reps=REPS, random_seed=seed)
    given = vectors(count, vector_seed, shared, dtype)
    ids = [projection.get_cluster_ids(given) for projection in encoder.simhash_projections]
    cases.append(
        {
            "k_sim": k_sim,
            "dim_proj": dim_proj,
            "random_seed": str(seed),
            "count": count,
            "vector_seed": vector_seed,
            "shared": shared,
            "dtype": dtype,
            "last_starts": [float(value) for value in given[-1][:3]],
            "clusters": [sorted({int(cluster) for cluster in of})[:8] for of in ids],
            "document": sampled(encoder.process_document(given)),
            "query": sampled(encoder.process_query(given)),
        }
    )
print(json.dumps({"dim": DIM, "r_reps": REPS, "cases": cases}, indent=None, separators=(",", ":")))
