"""The demonstrations: photographs explained, and models trained on easy-VQA, flooded with facts, and compared."""
