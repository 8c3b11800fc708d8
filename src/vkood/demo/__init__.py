"""The demo: both jobs on easy-VQA, three arms, floods of facts, and a report."""

from vkood.demo.run import run_demo

__all__ = ["run_demo"]
