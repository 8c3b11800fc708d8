"""The two-stream family, METER's architecture with gated facts."""
