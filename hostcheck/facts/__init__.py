"""Facts: plain functions of a Host, each a thin reader over a pure parser. No registry, no class."""
