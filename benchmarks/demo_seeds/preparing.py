"""What the demo prepares before it trains, for benchmarks that train its arms."""

from __future__ import annotations

from vkood.demo import jobs
from vkood.demo.plan import Plan, Workshop
from vkood.demo.towers import save_text_tower


def prepare(workshop: Workshop, planned: Plan) -> dict[str, int]:
    """What the demo prepares: text tower, vectors of facts, tables. Returns how many questions each table has."""
    save_text_tower(workshop.text_tower, seed=planned.seed)
    jobs.encode_facts(workshop, lambda done: None)
    return jobs.prepare_tables(planned, workshop, lambda done: None)
