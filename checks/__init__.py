"""The checks that hostcheck ships, one family a file. Files whose name begins with `_` are data."""

if __name__ != "hostcheck.checks":
    # A second name would make a second set of classes, which no policy or test would recognise.
    raise ImportError(f"import these as hostcheck.checks, not as {__name__}")
