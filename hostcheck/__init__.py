"""hostcheck says whether a Linux host will run containers, now and after its next boot."""

import os

__version__ = "0.1.0"

# Installed, the checks are the subpackage hostcheck.checks. In a checkout they lie beside this
# package, in checks/; there, let the import system look beside it too.
_checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if os.path.isfile(os.path.join(_checkout, "checks", "__init__.py")) and os.path.isfile(
    os.path.join(_checkout, "setup.cfg")
):
    __path__.append(_checkout)
