"""Questions about photographs of rooms (DAQUAR), with and without knowledge, against a baseline of language alone."""
