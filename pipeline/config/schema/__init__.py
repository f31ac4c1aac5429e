"""The settings, one module per section: their names, types, ranges, defaults and meanings."""
