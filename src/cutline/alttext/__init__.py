"""Alt texts in web pages and documents: find what is missing, fill it, change nothing else."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.alttext.edit import Change as Change
    from cutline.alttext.edit import apply as apply
    from cutline.alttext.edit import check as check
    from cutline.alttext.edit import fill as fill

__all__ = ["Change", "apply", "check", "fill"]
_HOMES = {"Change": "edit", "apply": "edit", "check": "edit", "fill": "edit"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
