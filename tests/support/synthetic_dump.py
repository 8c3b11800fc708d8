"""Lines as ConceptNet's dump of assertions has them."""

import json


def assertion(
    start="/c/en/cat/n", relation="/r/IsA", end="/c/en/animal", weight=1.0, dataset="/d/wordnet/3.1", **more
):
    about = {"dataset": dataset, "license": "cc:by/4.0", "sources": [], **more, "weight": weight}
    return f"/a/[{relation}/,{start}/,{end}/]\t{relation}\t{start}\t{end}\t{json.dumps(about)}\n"
