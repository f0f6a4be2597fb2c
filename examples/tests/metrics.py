"""Makes metrics.json: rankings and judgements at random, with what trec_eval says of them.

    pip install pytrec_eval-terrier==0.5.11
    python examples/tests/metrics.py
"""

import json
import pathlib
import random

import pytrec_eval

random.seed(20)
cases = []
for number in range(30):
    documents = random.sample(range(100), random.randint(1, 99))
    judged = random.sample(range(100), random.randint(1, 40))
    grades = {document: random.choice([0, 0, 1, 1, 2, 3]) for document in judged}
    ranking = {str(document): float(len(documents) - at) for at, document in enumerate(documents)}
    judgements = {str(document): grade for document, grade in grades.items()}
    measures = {"ndcg_cut.10", "recall.100", "recip_rank"}
    evaluator = pytrec_eval.RelevanceEvaluator({"q": judgements}, measures)
    found = evaluator.evaluate({"q": ranking})["q"]
    cases.append(
        {
            "ranking": documents,
            "grades": grades,
            "ndcg_10": found["ndcg_cut_10"],
            "recall_100": found["recall_100"],
            "reciprocal_rank": found["recip_rank"],
        }
    )
lines = ",\n".join(json.dumps(case) for case in cases)
pathlib.Path(__file__).with_suffix(".json").write_text(f"[\n{lines}\n]\n")
