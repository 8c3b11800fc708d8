"""Readers of the files that data sets are distributed as: one module for each kind of file."""

from vkood.data.readers.source import BadRows, BadRowsError, Source, SourceError

__all__ = ["BadRows", "BadRowsError", "Source", "SourceError"]
